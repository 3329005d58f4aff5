"""Checkpoints of training jobs: where one is, and why there is none yet, or none at all."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.references import CheckpointReference
from classifier_operator.api.training_status import MAX_CHECKPOINTS
from classifier_operator.plan import conditions
from classifier_operator.plan.output import keeps_all, output_uri, writes_adapters
from classifier_operator.plan.types import Problem

MISSING_JOB_GRACE_SECONDS: Final = 60.0
"""Who names a job and the job itself may be applied together, in any order."""

BEST: Final = "best"
LAST: Final = "last"


@dataclass(frozen=True, slots=True)
class Found:
    """A checkpoint that is there."""

    job: str
    name: str
    uri: str
    adapter_base: str | None = None
    """Address of the base model, where the folder may hold only an adapter."""

    @property
    def display(self) -> str:
        """E.g. `newsgroups/epoch-3`."""
        return f"{self.job}/{self.name}"[:2048]


def find_checkpoint(job: ClassifierTrainingJob, reference: CheckpointReference) -> Found | Problem:
    """The checkpoint of this job that the reference names, or why there is none."""
    status, name, wanted = job.status, job.metadata.name, reference.name
    succeeded = conditions.holds(status.conditions, "Complete")
    failed = conditions.holds(status.conditions, "Failed")
    # One without an address was deleted again, as checkpoints.keep says.
    found = {each.name: each.uri for each in status.checkpoints or () if each.uri}
    root = output_uri(job)
    if wanted == BEST and succeeded:
        return Found(name, status.best or newest(job) or BEST, f"{root}/model")
    # Where only some are kept, one that is there while the job runs may be gone when it is wanted.
    settled = succeeded or failed or keeps_all(job)
    chosen = newest(job) if wanted == LAST and (succeeded or failed) else wanted
    clipped = len(found) >= MAX_CHECKPOINTS and keeps_all(job) and succeeded and wanted.startswith("epoch-")
    if chosen is not None and settled and (chosen in found or clipped):
        return Found(name, chosen, found.get(chosen) or f"{root}/checkpoints/{chosen}", adapter_base(job))
    if failed:
        return Problem(
            "TrainingJobFailed",
            f"ClassifierTrainingJob {name} failed, so it has no checkpoint {wanted}: {status.message}",
        )
    if succeeded:
        names = ", ".join([BEST, *([LAST] if newest(job) in found else []), *found])
        return Problem(
            "CheckpointNotFound", f"ClassifierTrainingJob {name} has no checkpoint {wanted}: write one of {names}"
        )
    phase = status.phase or "Pending"
    return Problem(
        "WaitingForCheckpoint",
        f"waiting for checkpoint {wanted} of ClassifierTrainingJob {name}, which is {phase}",
        stalled=False,
    )


def adapter_base(job: ClassifierTrainingJob) -> str | None:
    """Address of the base model that the adapters of this job need; None where its checkpoints are whole.

    A run that began with an adapter merges that first, so that its own adapters would have no base model: its
    checkpoints are whole.
    """
    if not writes_adapters(job):
        return None
    if job.spec.base_model.uri is not None:
        return job.spec.base_model.uri
    begun = job.status.base_model
    return begun.uri if begun is not None and begun.adapter_base is None else None


def missing_job(reference: CheckpointReference, *, created: datetime | None, now: datetime, way_out: str) -> Problem:
    """Why there is no checkpoint where there is no job.

    Args:
        created: when the object was created that names the job.
        way_out: what to write instead.
    """
    name = reference.training_job_name
    if grace_left(created, now) > 0:
        return Problem(
            "WaitingForTrainingJob", f"waiting for ClassifierTrainingJob {name} to be created", stalled=False
        )
    return Problem("TrainingJobNotFound", f"ClassifierTrainingJob {name} does not exist: create it, or {way_out}")


def grace_left(created: datetime | None, now: datetime) -> float:
    """Seconds until a missing training job counts as an error."""
    return MISSING_JOB_GRACE_SECONDS - (now - (created or now)).total_seconds()


def newest(job: ClassifierTrainingJob) -> str | None:
    """Name of the checkpoint that was written last."""
    checkpoints = job.status.checkpoints or []
    return max(checkpoints, key=lambda each: each.step or 0).name if checkpoints else None
