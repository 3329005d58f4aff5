"""Which folder a deployment serves: a checkpoint is found once and remembered, since its job may go before it."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from classifier_operator.api.deployment import CheckpointReference, ModelStatus
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.training_status import MAX_CHECKPOINTS
from classifier_operator.plan import conditions
from classifier_operator.plan.output import output_uri
from classifier_operator.plan.types import DeploymentObserved, Problem

MISSING_JOB_GRACE_SECONDS: Final = 60.0
"""Job and deployment may be applied together, in any order."""

_BEST: Final = "best"
_LAST: Final = "last"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A model that can be served."""

    status: ModelStatus
    base_model_uri: str | None = None

    @property
    def uri(self) -> str:
        return self.status.uri or ""


def resolve(observed: DeploymentObserved) -> Resolved | Problem:
    """The model to serve, or why there is none."""
    spec = observed.deployment.spec.model
    if spec.uri is not None:
        return Resolved(ModelStatus(display=spec.uri, uri=spec.uri))
    reference = spec.checkpoint
    if reference is None:
        return Problem("InvalidSpec", "model needs exactly one of checkpoint and uri")
    known = observed.deployment.status.model
    job = observed.training_job
    if known is not None and _answers(known, reference):
        return _with_base(observed, known, reference, job)
    if job is None:
        return _without_job(observed, reference)
    return _from_job(job, reference)


def _answers(known: ModelStatus, reference: CheckpointReference) -> bool:
    """Whether what was found before is what is named now."""
    if not known.uri or not known.checkpoint or known.display != f"{reference.training_job_name}/{known.checkpoint}":
        return False
    if reference.name == _BEST:
        return known.uri.endswith("/model")
    return "/checkpoints/" in known.uri and reference.name in (_LAST, known.checkpoint)


def _with_base(
    observed: DeploymentObserved,
    known: ModelStatus,
    reference: CheckpointReference,
    job: ClassifierTrainingJob | None,
) -> Resolved | Problem:
    if reference.name == _BEST:
        return Resolved(known)  # merged: it needs no base model
    if job is not None:
        return Resolved(known, job.spec.base_model.uri)
    if observed.served is not None and observed.served.base_model is not None:
        return Resolved(known, observed.served.base_model.uri)
    return Problem(
        "TrainingJobNotFound",
        f"ClassifierTrainingJob {reference.training_job_name}, which names the base model of {known.display}, is gone: "
        "write model.uri with the address of a merged model instead",
    )


def _without_job(observed: DeploymentObserved, reference: CheckpointReference) -> Problem:
    name = reference.training_job_name
    created = observed.deployment.metadata.creation_timestamp or observed.now
    if (observed.now - created).total_seconds() < MISSING_JOB_GRACE_SECONDS:
        return Problem(
            "WaitingForTrainingJob", f"waiting for ClassifierTrainingJob {name} to be created", stalled=False
        )
    return Problem(
        "TrainingJobNotFound",
        f"ClassifierTrainingJob {name} does not exist: create it, or write model.uri with the address of a model, "
        f"e.g. pvc://{name}-output/model",
    )


def _from_job(job: ClassifierTrainingJob, reference: CheckpointReference) -> Resolved | Problem:
    status, name, wanted = job.status, job.metadata.name, reference.name
    succeeded = conditions.holds(status.conditions, "Complete")
    failed = conditions.holds(status.conditions, "Failed")
    found = {each.name: each for each in status.checkpoints or ()}
    root = output_uri(job)
    if wanted == _BEST and succeeded:
        best = status.best or _newest(job) or _BEST
        return Resolved(ModelStatus(display=f"{name}/{best}"[:2048], uri=f"{root}/model", checkpoint=best))
    chosen = _newest(job) if wanted == _LAST and (succeeded or failed) else wanted
    clipped = len(found) >= MAX_CHECKPOINTS and succeeded and wanted.startswith("epoch-")
    if chosen is not None and (chosen in found or clipped):
        uri = (found[chosen].uri if chosen in found else None) or f"{root}/checkpoints/{chosen}"
        model = ModelStatus(display=f"{name}/{chosen}"[:2048], uri=uri, checkpoint=chosen)
        return Resolved(model, job.spec.base_model.uri)
    if failed:
        return Problem(
            "TrainingJobFailed",
            f"ClassifierTrainingJob {name} failed, so it has no checkpoint {wanted}: {status.message}",
        )
    if succeeded:
        names = ", ".join(["best", "last", *found])
        return Problem(
            "CheckpointNotFound", f"ClassifierTrainingJob {name} has no checkpoint {wanted}: write one of {names}"
        )
    phase = status.phase or "Pending"
    return Problem(
        "WaitingForCheckpoint",
        f"waiting for checkpoint {wanted} of ClassifierTrainingJob {name}, which is {phase}",
        stalled=False,
    )


def _newest(job: ClassifierTrainingJob) -> str | None:
    checkpoints = job.status.checkpoints or []
    return max(checkpoints, key=lambda each: each.step or 0).name if checkpoints else None


def grace_left(observed: DeploymentObserved, now: datetime) -> float:
    """Seconds until a missing training job counts as an error."""
    created = observed.deployment.metadata.creation_timestamp or now
    return max(1.0, MISSING_JOB_GRACE_SECONDS - (now - created).total_seconds())
