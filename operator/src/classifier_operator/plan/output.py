"""Where a run is written, and what it leaves there."""

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.output import Checkpoints, OutputClaim


def output_claim(job: ClassifierTrainingJob) -> OutputClaim:
    """What the specification says of the claim."""
    return (job.spec.output and job.spec.output.claim) or OutputClaim()


def made_claim(job: ClassifierTrainingJob) -> str | None:
    """Name of the claim that the operator makes; None where the job names one that exists, or an object store."""
    if (job.spec.output and job.spec.output.uri) or output_claim(job).name:
        return None
    return names.claim_name(job.metadata.name)


def output_uri(job: ClassifierTrainingJob) -> str:
    """Address of the run, e.g. `pvc://models/newsgroups` or `s3://models/newsgroups`."""
    if job.spec.output and job.spec.output.uri:
        return job.spec.output.uri.rstrip("/")
    claim = output_claim(job)
    name = claim.name or names.claim_name(job.metadata.name)
    return f"pvc://{name}" + (f"/{claim.path}" if claim.path else "")


def keeps_all(job: ClassifierTrainingJob) -> bool:
    """Whether every checkpoint stays."""
    return (job.spec.checkpoints or Checkpoints()).keep in (None, "All")


def writes_adapters(job: ClassifierTrainingJob) -> bool:
    """Whether the folders in checkpoints/ may hold adapters only."""
    chosen = (job.spec.checkpoints or Checkpoints()).format or "Auto"
    method = (job.spec.hyperparameters and job.spec.hyperparameters.method) or "LoRA"
    return chosen == "Adapter" or (chosen == "Auto" and method == "LoRA")
