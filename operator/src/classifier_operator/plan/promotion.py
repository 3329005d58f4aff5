"""Whether a checkpoint is good enough to be served: `model.require`."""

from classifier_operator.api.deployment import ModelStatus
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.sleep import ModelRequirement
from classifier_operator.plan.checkpoint import Found
from classifier_operator.plan.types import Problem

REFUSED = "CheckpointRefused"


def passes(
    requirement: ModelRequirement, job: ClassifierTrainingJob, found: Found, served: ModelStatus | None
) -> str | Problem:
    """The checkpoint's test result in the metric that is required, or why it is refused.

    Args:
        served: what is served now; it may only be replaced by something that is not worse.
    """
    metric = requirement.metric
    results = _results(job, found.name)
    if metric not in results:
        known = ", ".join(sorted(results)) or "none: the job has no test set"
        return Problem(
            REFUSED, f"{found.display} has no test result {metric}: write one of {known} as model.require.metric"
        )
    text = results[metric]
    value = _number(text)
    if value is None:
        return Problem(REFUSED, f"the test result {metric} of {found.display} is no number: {text}")
    floor = requirement.at_least
    if floor is not None and value < floor:
        return Problem(
            REFUSED,
            f"{found.display} has {metric} {text}, below model.require.atLeast {floor:g}: serve another checkpoint, or "
            "lower it",
        )
    rival = _served_result(metric, job, served)
    if served is not None and rival is not None and value < rival:
        return Problem(
            REFUSED,
            f"{found.display} has {metric} {text}, and {served.display}, which is served, has {rival:g}: serve another "
            "checkpoint, or remove model.require",
        )
    return text


def _served_result(metric: str, job: ClassifierTrainingJob, served: ModelStatus | None) -> float | None:
    """What is served, in the same metric; None where nobody knows."""
    if served is None:
        return None
    if served.metric == metric and served.score is not None:
        return _number(served.score)
    if served.checkpoint and served.display == f"{job.metadata.name}/{served.checkpoint}":
        return _number(_results(job, served.checkpoint).get(metric, ""))
    return None


def _results(job: ClassifierTrainingJob, checkpoint: str) -> dict[str, str]:
    found = next((each for each in job.status.checkpoints or () if each.name == checkpoint), None)
    return dict((found.metrics if found is not None else None) or {})


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
