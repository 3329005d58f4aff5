"""What is observed and what is decided: frozen values, so that a decision can be tested without a cluster."""

from dataclasses import dataclass
from datetime import datetime

from classifier_operator.api.deployment import DeploymentStatus
from classifier_operator.api.kinds import ClassifierDeployment, ClassifierTrainingJob
from classifier_operator.api.training_status import BaseModelStatus, TrainingJobStatus
from classifier_operator.wire.progress import ProgressReport
from classifier_operator.wire.serve_config import ServeConfig
from classifier_operator.wire.wake import GatewayOrder


@dataclass(frozen=True, slots=True)
class Problem:
    """Why an object cannot go on.

    Attributes:
        stalled: only the user can mend it; else it may pass and is retried.
        final: it can never be mended: the object has failed.
    """

    reason: str
    message: str
    stalled: bool = True
    final: bool = False


@dataclass(frozen=True, slots=True)
class JobView:
    """The batch Job of a training job."""

    name: str
    uid: str
    suspended: bool = False
    deleting: bool = False
    start_time: datetime | None = None
    end_time: datetime | None = None
    """When it became complete or failed."""
    suspended_at: datetime | None = None
    complete: bool = False
    failed_reason: str | None = None
    """Set when the Job has failed."""
    failed_message: str = ""
    active: int = 0
    failed: int = 0
    succeeded: int = 0

    @property
    def finished(self) -> bool:
        return self.complete or self.failed_reason is not None


@dataclass(frozen=True, slots=True)
class PodView:
    """A pod, as far as its one container matters."""

    name: str
    uid: str
    created: datetime
    phase: str = "Pending"
    ip: str | None = None
    deleting: bool = False
    generation: str = ""
    """Label pod-template-hash of a Deployment's pod."""
    index: int = 0
    """Number of its node in a job of several, from 0."""
    ready: bool = False
    unschedulable: str | None = None
    waiting_reason: str | None = None
    waiting_message: str = ""
    started_at: datetime | None = None
    """When its container first ran."""
    exit_code: int | None = None
    """Of the container's last end."""
    exit_reason: str = ""
    last_words: str = ""
    """Termination message of the container's last end."""
    restarts: int = 0
    evicted: str = ""
    """Why the whole pod failed, e.g. Evicted."""

    @property
    def ended(self) -> bool:
        return self.phase in ("Succeeded", "Failed")

    @property
    def running(self) -> bool:
        return self.phase == "Running" and not self.deleting


@dataclass(frozen=True, slots=True)
class ClaimView:
    """The claim that the operator makes for a training job."""

    name: str
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class TrainingObserved:
    """All that a decision about a training job depends on."""

    job: ClassifierTrainingJob
    now: datetime
    child: JobView | None = None
    pods: tuple[PodView, ...] = ()
    """Pods of the child, oldest first."""
    claim: ClaimView | None = None
    has_service: bool = False
    """Whether the headless Service is there by which several nodes find each other."""
    base_job: ClassifierTrainingJob | None = None
    """The training job that the base model is a checkpoint of."""
    report: ProgressReport | None = None
    """What the running pod said last."""
    report_pod: str | None = None
    """UID of the pod that said it."""
    named_by: str | None = None
    """A ClassifierDeployment that serves this job by its name, or an unfinished training job that starts from it."""
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class AppView:
    """The apps/v1 Deployment of a ClassifierDeployment."""

    uid: str
    generation: int = 1
    observed_generation: int = 0
    wanted: int = 1
    replicas: int = 0
    updated: int = 0
    ready: int = 0
    late: str | None = None
    """Set when the progress deadline has passed: its message."""
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The Service of a ClassifierDeployment."""

    uid: str
    cluster_ip: str | None = None


@dataclass(frozen=True, slots=True)
class PodStats:
    """What one ready pod said of its activity; all in seconds, counted on to now."""

    in_flight: int
    since_completion: float | None
    """Since its last answer; None: it has given none yet."""
    since_ready: float
    age: float
    """Since it said so."""


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A gateway pod that is ready, and listens for this deployment."""

    ip: str
    node: str = ""
    pod: str = ""


@dataclass(frozen=True, slots=True)
class SliceView:
    """Our own EndpointSlice of the Service, which leads to the gateway."""

    uid: str
    port: int
    ips: frozenset[str]


@dataclass(frozen=True, slots=True)
class WakeView:
    """What memory and Leases tell about being asked for."""

    port: int
    """The gateway's port for this deployment."""
    since_asked: float | None = None
    """Seconds since a gateway last asked for pods; None: not that anybody knows."""
    took: float | None = None
    """Seconds of the wake that has just ended; None: none has."""


@dataclass(frozen=True, slots=True)
class KeysView:
    """The API keys of a deployment; without digests it is closed."""

    digests: tuple[str, ...]
    problem: str | None = None
    """Why there are none, in a sentence."""


@dataclass(frozen=True, slots=True)
class DeploymentObserved:
    """All that a decision about a deployment depends on."""

    deployment: ClassifierDeployment
    now: datetime
    training_job: ClassifierTrainingJob | None = None
    """The training job that the model is a checkpoint of."""
    app: AppView | None = None
    service: ServiceView | None = None
    pods: tuple[PodView, ...] = ()
    """Pods of the Deployment, oldest first."""
    served: ServeConfig | None = None
    """The serve configuration of the Deployment as it is."""
    ready_endpoints: int = 0
    answers: bool | None = None
    """Whether the Service answered when it was last asked; None: not asked yet."""
    stats: tuple[PodStats | None, ...] = ()
    """For each ready pod what it said last; None: it does not say."""
    gateways: tuple[GatewayView, ...] = ()
    """Gateway pods that are ready and listen for this deployment."""
    slice: SliceView | None = None
    wake: WakeView | None = None
    """None: there is no gateway's port for this deployment."""
    keys: KeysView | None = None
    """None: it asks for no keys."""
    steady_demand: int | None = None
    """Under autoscaling: the most pods that the requests in flight called for within the steady window."""
    has_disruption_budget: bool = False
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class CreateClaim:
    """Make the output claim."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateService:
    """Make the headless Service by which the nodes of a job find each other."""

    name: str


@dataclass(frozen=True, slots=True)
class CreateJob:
    """Make the batch Job, after a last look at the live object."""

    name: str
    output_uri: str
    suspended: bool
    base_model: BaseModelStatus


@dataclass(frozen=True, slots=True)
class SuspendJob:
    """Suspend or resume the batch Job."""

    name: str
    uid: str
    suspended: bool


@dataclass(frozen=True, slots=True)
class DeleteJob:
    """Delete the batch Job and its pods."""

    name: str
    uid: str


@dataclass(frozen=True, slots=True)
class DeleteTrainingJob:
    """Delete the training job itself: its time to live is over."""


@dataclass(frozen=True, slots=True)
class ApplyDeployment:
    """Make the Deployment so."""

    replicas: int
    model_uri: str
    checkpoint: str | None = None
    base_model_uri: str | None = None


@dataclass(frozen=True, slots=True)
class ScaleToZero:
    """Take the pods away, whatever else the Deployment says."""

    uid: str


@dataclass(frozen=True, slots=True)
class ApplyService:
    """Make the Service so."""


@dataclass(frozen=True, slots=True)
class ProbeService:
    """Ask the Service whether it answers."""


@dataclass(frozen=True, slots=True)
class ApplyOrder:
    """Tell the gateway, by the wake Lease, what to do with requests."""

    order: GatewayOrder


@dataclass(frozen=True, slots=True)
class ApplySlice:
    """Lead the Service to these gateway pods, too."""

    port: int
    gateways: tuple[GatewayView, ...]


@dataclass(frozen=True, slots=True)
class DeleteSlice:
    """Lead the Service to the server pods alone."""

    uid: str


@dataclass(frozen=True, slots=True)
class AskGateways:
    """Ask the gateway pods on which ports they listen."""


@dataclass(frozen=True, slots=True)
class AskPods:
    """Ask the server pods for their activity, now."""


@dataclass(frozen=True, slots=True)
class ApplyDisruptionBudget:
    """Let evictions take one pod at a time."""


@dataclass(frozen=True, slots=True)
class DeleteDisruptionBudget:
    """With one pod, a budget would block every drain of its node."""


TrainingAction = CreateClaim | CreateService | CreateJob | SuspendJob | DeleteJob | DeleteTrainingJob
DeploymentAction = (
    ApplyDeployment
    | ScaleToZero
    | ApplyService
    | ProbeService
    | ApplyOrder
    | ApplySlice
    | DeleteSlice
    | AskGateways
    | AskPods
    | ApplyDisruptionBudget
    | DeleteDisruptionBudget
)


@dataclass(frozen=True, slots=True)
class TrainingPlan:
    """A decision about a training job: what to say, what to do, and when (in seconds) to look again at the latest."""

    status: TrainingJobStatus
    actions: tuple[TrainingAction, ...] = ()
    again_after: float | None = None


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """A decision about a deployment: what to say, what to do, and when (in seconds) to look again at the latest."""

    status: DeploymentStatus
    actions: tuple[DeploymentAction, ...] = ()
    again_after: float | None = None
