"""The specification and status of a ClassifierDeployment."""

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

from pydantic import ConfigDict, Field, WithJsonSchema

from classifier_operator.api.addresses import ModelAddress
from classifier_operator.api.base import SCHEMA_DEFAULT, Model, list_map, rule, rules
from classifier_operator.api.hyperparameters import Precision
from classifier_operator.api.meta import Condition
from classifier_operator.api.pod_template import PodTemplate, ResourceRequirements
from classifier_operator.api.references import CheckpointReference
from classifier_operator.api.scalars import Duration, ImageName, LongText, ObjectName, Time
from classifier_operator.api.schedule import Schedule
from classifier_operator.api.sleep import Auth, Autoscaling, ModelRequirement, NextTransition, Wake

DeploymentPhase = Literal["Pending", "Deploying", "Deployed", "Sleeping", "Waking", "Suspended", "Failed"]

DEFAULT_STARTUP_TIMEOUT: Final = timedelta(minutes=30)
DEFAULT_PORT: Final = 80

_AUTO_OR_TOKENS: Final[dict[str, Any]] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
    "minimum": 1,
    "maximum": 10_000_000,
    "maxLength": 16,
    **rules(
        rule(
            "type(self) == int || self == 'Auto'",
            "server.maxBatchTokens must be a number of tokens, e.g. 16384, or Auto",
        )
    ),
}
BatchTokens = Annotated[Annotated[int, Field(ge=1, le=10_000_000)] | Literal["Auto"], WithJsonSchema(_AUTO_OR_TOKENS)]


class ServedModel(Model):
    """The model to serve; exactly one of checkpoint and uri."""

    checkpoint: CheckpointReference | None = None
    """A checkpoint of a training job; the deployment waits until it exists. Mutable: a change rolls the pods."""
    uri: ModelAddress | None = None
    """Any transformers sequence-classification folder: pvc://claim/path, hf://org/name[@revision], s3://bucket/prefix,
    https://host/archive.tar.gz, or file:///path in the image. Mutable: a change rolls the pods."""
    require: ModelRequirement | None = None
    """What a checkpoint's test results must hold before it is served: a floor, and never less than the checkpoint that
    is served. One that does not is refused, and what is served stays. Default: nothing. Mutable."""
    secret_name: ObjectName | None = None
    """Secret whose keys become environment variables of the server, e.g. HF_TOKEN or, for a checkpoint in s3:// too,
    AWS_ACCESS_KEY_ID. Default: none. Mutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.checkpoint) != has(self.uri)", "model needs exactly one of checkpoint and uri"),
            rule(
                "!has(self.require) || has(self.checkpoint)",
                "model.require looks at test results of a checkpoint: write model.checkpoint, or leave it out",
            ),
        )
    )


class ServiceTemplate(Model):
    """The Service in front of the pods."""

    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    """Type of the Service. Default: ClusterIP. Mutable."""
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    """Port of the Service. Default: 80. Mutable."""
    annotations: dict[str, Annotated[str, Field(max_length=4096)]] | None = Field(default=None, max_length=64)
    """Annotations of the Service, at most 64 of at most 4096 characters. Mutable."""


class ServerSettings(Model):
    """How the server works."""

    max_length: int | None = Field(default=None, ge=8, le=131072)
    """Tokens of a text, after which it is cut. Default: what the model was trained with. Mutable."""
    max_batch_tokens: BatchTokens | None = None
    """Tokens in one batch. Default: Auto, 512 on a CPU and 16384 on a GPU. Mutable."""
    max_queue: int | None = Field(default=None, ge=1, le=1_000_000)
    """Texts that may wait; above it requests get 429. Default: 512. Mutable."""
    precision: Precision | None = None
    """Number format of the model. Default: Auto, BFloat16 where the GPU has it. Mutable."""
    allow_pickle: bool | None = None
    """Whether pickled weights (pytorch_model.bin), which can run code of whoever wrote them, are read where there
    are no safetensors. Default: false. Mutable."""
    classify_dialect: Literal["VLLM", "Infinity"] | None = None
    """Whose requests and answers POST /classify speaks; /vllm/classify and /infinity/classify are always there.
    Default: VLLM. Mutable."""
    unflagged_labels: list[Annotated[str, Field(min_length=1, max_length=256)]] | None = Field(
        default=None, max_length=1000
    )
    """Labels that do not make POST /v1/moderations say `flagged`, at most 1000, e.g. [ok]. Default: none. Mutable."""


class DeploymentSpec(Model):
    """What to serve, and how. Everything may be changed."""

    model: ServedModel
    """The model to serve. Required. Mutable: a change rolls the pods."""
    replicas: int = Field(default=1, ge=0, le=1000, json_schema_extra={SCHEMA_DEFAULT: True, "format": "int32"})
    """Number of pods while awake, 0 to 1000; ignored under autoscaling. Default: 1. Mutable, also by the scale
    subresource, so that an HPA or KEDA can drive it."""
    autoscaling: Autoscaling | None = None
    """Number of pods by the requests in flight, instead of replicas. Default: none. Mutable."""
    inactivity_timeout: Duration | None = Field(
        default=None,
        json_schema_extra=rules(
            rule(
                "duration(self) >= duration('10s') && duration(self) <= duration('720h')",
                "inactivityTimeout must be between 10s and 720h, e.g. 30m",
            )
        ),
    )
    """How long nothing may be asked before the pods go, 10s to 720h. The next request brings them back. Default: never.
    Mutable."""
    schedule: Schedule | None = None
    """When the deployment is on. Default: always. Mutable."""
    wake: Wake = Wake()
    """What becomes of a request that comes while there is no pod that is ready. Mutable."""
    startup_timeout: Duration = Field(
        default=DEFAULT_STARTUP_TIMEOUT,
        json_schema_extra=rules(
            rule(
                "duration(self) >= duration('10s') && duration(self) <= duration('24h')",
                "startupTimeout must be between 10s and 24h, e.g. 30m",
            )
        ),
    )
    """Time from the pod to its readiness, after which it counts as failed, 10s to 24h. Default: 30m. Mutable."""
    update_strategy: Literal["RollingUpdate", "Recreate"] = "RollingUpdate"
    """How pods are replaced. Recreate: where there is one GPU, or a claim that only one node can mount. Default:
    RollingUpdate. Mutable."""
    service: ServiceTemplate = ServiceTemplate()
    """The Service in front of the pods. Mutable."""
    suspend: bool = False
    """Whether the deployment is off, without pods. Default: false. Mutable."""
    auth: Auth | None = None
    """Who may ask. Default: everybody who reaches the Service. Mutable."""
    server: ServerSettings | None = None
    """How the server works. Mutable: a change rolls the pods."""
    resources: ResourceRequirements | None = None
    """Compute resources of the server. Default: none. Mutable: a change rolls the pods."""
    image: ImageName | None = None
    """Image of the server. Default: from the operator's settings. Mutable: a change rolls the pods."""
    pod_template: PodTemplate | None = None
    """Labels, scheduling, environment and volumes of the pods. Mutable: a change rolls the pods."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.schedule) || !has(self.schedule.outside) || self.schedule.outside != 'WakeOnRequest'"
                " || has(self.inactivityTimeout)",
                "schedule.outside: WakeOnRequest needs inactivityTimeout, after which it sleeps again: write e.g. 30m",
            ),
            rule(
                "!has(self.schedule) || !has(self.schedule.outside) || self.schedule.outside != 'WakeOnRequest'"
                " || !has(self.wake) || !has(self.wake.onRequest) || self.wake.onRequest",
                "schedule.outside: WakeOnRequest and wake.onRequest: false contradict each other: write one of them",
            ),
        )
    )


class ModelStatus(Model):
    """The model that is served."""

    display: str | None = Field(default=None, max_length=2048)
    """The model, for people, e.g. newsgroups/epoch-3."""
    uri: str | None = Field(default=None, max_length=2048)
    """Where the model is."""
    checkpoint: str | None = Field(default=None, max_length=64)
    """Name of the checkpoint, when a training job is served."""
    metric: str | None = Field(default=None, max_length=64)
    """The metric of model.require, by which this checkpoint was let through."""
    score: str | None = Field(default=None, max_length=64)
    """Test result of the checkpoint in that metric."""


class DeploymentStatus(Model):
    """What the operator has seen; written by the operator alone."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The metadata.generation that this status was computed from."""
    phase: DeploymentPhase | None = None
    """Where the deployment stands, in one word. Deployed: the model is loaded and answers through the Service."""
    message: LongText | None = None
    """Where the deployment stands, or what is wrong and what to write instead, in a sentence."""
    model: ModelStatus | None = None
    """The model that is served."""
    url: str | None = Field(default=None, max_length=2048)
    """Where the model answers, inside the cluster."""
    ready: str | None = Field(default=None, max_length=16)
    """Pods that are ready and wanted, for people, e.g. 1/1."""
    replicas: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int32"})
    """Number of pods."""
    ready_replicas: int | None = Field(default=None, ge=0, json_schema_extra={"format": "int32"})
    """Number of pods that are ready."""
    selector: str | None = Field(default=None, max_length=1024)
    """Selector of the pods, for the scale subresource."""
    last_request_time: Time | None = None
    """About when the last request was answered, to a minute."""
    next_transition: NextTransition | None = None
    """The next change that is known: by the schedule, or by idleness if nothing is asked until then."""
    wake_seconds: float | None = Field(default=None, ge=0)
    """How long the last wake took, from the request (or the start of the window) to the first pod that was ready."""
    conditions: list[Condition] | None = Field(default=None, max_length=16, json_schema_extra=list_map("type"))
    """Ready, Reconciling and Stalled as kstatus reads them; Awake: whether it has pods, and why; ActivityUnknown, while
    its pods do not tell what they do, so that it does not sleep."""
