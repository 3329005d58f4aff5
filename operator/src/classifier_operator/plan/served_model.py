"""Which folder a deployment serves: a checkpoint is found once and remembered, since its job may go before it."""

from dataclasses import dataclass

from classifier_operator.api.deployment import ModelStatus
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.references import CheckpointReference
from classifier_operator.plan.checkpoint import BEST, LAST, adapter_base, find_checkpoint, missing_job
from classifier_operator.plan.promotion import passes
from classifier_operator.plan.types import DeploymentObserved, Problem


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
        created = observed.deployment.metadata.creation_timestamp
        way_out = f"write model.uri with the address of a model, e.g. pvc://{reference.training_job_name}-output/model"
        return missing_job(reference, created=created, now=observed.now, way_out=way_out)
    found = find_checkpoint(job, reference)
    if isinstance(found, Problem):
        return found
    score = None
    if spec.require is not None:
        score = passes(spec.require, job, found, known)
        if isinstance(score, Problem):
            return score
    status = ModelStatus(
        display=found.display,
        uri=found.uri,
        checkpoint=found.name,
        metric=spec.require.metric if spec.require is not None else None,
        score=score,
    )
    return Resolved(status, found.adapter_base)


def served_before(observed: DeploymentObserved) -> Resolved | None:
    """What the Deployment serves as it is, asleep or awake; None where there is none, or none that is known."""
    known, served = observed.deployment.status.model, observed.served
    if observed.app is None or known is None or served is None or known.uri != served.model.uri:
        return None
    return Resolved(known, served.base_model.uri if served.base_model is not None else None)


def _answers(known: ModelStatus, reference: CheckpointReference) -> bool:
    """Whether what was found before is what is named now."""
    if not known.uri or not known.checkpoint or known.display != f"{reference.training_job_name}/{known.checkpoint}":
        return False
    if reference.name == BEST:
        return known.uri.endswith("/model")
    return "/checkpoints/" in known.uri and reference.name in (LAST, known.checkpoint)


def _with_base(
    observed: DeploymentObserved,
    known: ModelStatus,
    reference: CheckpointReference,
    job: ClassifierTrainingJob | None,
) -> Resolved | Problem:
    if reference.name == BEST:
        return Resolved(known)  # merged: it needs no base model
    if job is not None:
        return Resolved(known, adapter_base(job))
    served = observed.served
    if served is not None and served.base_model is not None:
        return Resolved(known, served.base_model.uri)
    if served is not None and served.model.uri == known.uri:
        return Resolved(known)  # deployed without a base model, so the checkpoint is whole
    return Problem(
        "TrainingJobNotFound",
        f"ClassifierTrainingJob {reference.training_job_name}, which names the base model of {known.display}, is gone: "
        "write model.uri with the address of a merged model instead",
    )
