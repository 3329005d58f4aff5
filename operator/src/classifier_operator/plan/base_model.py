"""Which model a training job starts from: a checkpoint of another job is found once and remembered."""

from classifier_operator.api.training_status import BaseModelStatus
from classifier_operator.plan.checkpoint import find_checkpoint, missing_job
from classifier_operator.plan.types import Problem, TrainingObserved


def resolve_base(observed: TrainingObserved) -> BaseModelStatus | Problem:
    """The base model, or why there is none yet."""
    source, known = observed.job.spec.base_model, observed.job.status.base_model
    if source.uri is not None:
        return BaseModelStatus(display=source.uri, uri=source.uri)
    if known is not None and known.uri is not None:
        return known  # the specification cannot be changed
    reference = source.checkpoint
    if reference is None:
        return Problem("InvalidSpec", "baseModel needs exactly one of uri and checkpoint")
    if observed.base_job is None:
        created = observed.job.metadata.creation_timestamp
        way_out = "apply this job under a new name with the address of a model as baseModel.uri"
        return missing_job(reference, created=created, now=observed.now, way_out=way_out)
    found = find_checkpoint(observed.base_job, reference)
    if isinstance(found, Problem):
        return found
    return BaseModelStatus(display=found.display, uri=found.uri, adapter_base=found.adapter_base)
