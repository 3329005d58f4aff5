"""Where a run is written."""

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.training import OutputClaim


def output_claim(job: ClassifierTrainingJob) -> OutputClaim:
    """What the specification says of the claim."""
    return (job.spec.output and job.spec.output.claim) or OutputClaim()


def made_claim(job: ClassifierTrainingJob) -> str | None:
    """Name of the claim that the operator makes; None where the job names one that exists."""
    return None if output_claim(job).name else names.claim_name(job.metadata.name)


def output_uri(job: ClassifierTrainingJob) -> str:
    """Address of the run, e.g. `pvc://models/newsgroups`."""
    claim = output_claim(job)
    name = claim.name or names.claim_name(job.metadata.name)
    return f"pvc://{name}" + (f"/{claim.path}" if claim.path else "")
