"""The status of a training job as a whole, and the counting of its attempts."""

import math

from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.training_status import DatasetStatus, TrainingJobStatus
from classifier_operator.plan import conditions, report
from classifier_operator.plan.activity import activity
from classifier_operator.plan.base_model import resolve_base
from classifier_operator.plan.conditions import Aspect
from classifier_operator.plan.output import output_uri
from classifier_operator.plan.types import PodView, Problem, TrainingObserved
from classifier_operator.wire.progress import ProgressReport


def nodes(job: ClassifierTrainingJob) -> int:
    """Pods that train together."""
    return job.spec.nodes or 1


def leaders(observed: TrainingObserved) -> list[PodView]:
    """The pods that speak for all: of several nodes the first one's, oldest first."""
    return [pod for pod in observed.pods if pod.index == 0]


def selecting_metric(job: ClassifierTrainingJob, dataset: DatasetStatus | None) -> str:
    """The metric that the best checkpoint is best at, as the trainer calls it."""
    chosen = (job.spec.hyperparameters and job.spec.hyperparameters.select_by) or "Auto"
    if chosen == "Auto":
        chosen = "AveragePrecision" if dataset is not None and dataset.task_type == "Binary" else "MacroF1"
    return chosen[0].lower() + chosen[1:]


def attempt(observed: TrainingObserved) -> int | None:
    """Number of the attempt that runs or ran last; one of several nodes is made of a pod each."""
    child = observed.child
    counted = math.ceil((child.active + child.failed + child.succeeded) / nodes(observed.job)) if child else 0
    return max(observed.job.status.attempt or 0, len(leaders(observed)), counted) or None


def attempt_of(observed: TrainingObserved, ended: PodView) -> int:
    """Number of the attempt that a pod belonged to."""
    later = sum(pod.created > ended.created for pod in observed.pods if pod.index == ended.index)
    return max(1, (attempt(observed) or 1) - later)


def standing(
    observed: TrainingObserved,
    phase: str,
    message: str,
    aspects: list[Aspect],
    said: ProgressReport | None = None,
) -> TrainingJobStatus:
    """The status that says so; what was known before stays."""
    job, child, before, now = observed.job, observed.child, observed.job.status, observed.now
    kind = phase if phase in ("Succeeded", "Failed") else None
    reason = aspects[0].reason
    aspects_now = [
        Aspect("Complete", kind == "Succeeded", reason, message if kind == "Succeeded" else ""),
        Aspect("Failed", kind == "Failed", reason, message if kind == "Failed" else ""),
        Aspect("Suspended", phase == "Suspended", reason),
        *aspects,
    ]
    spent = activity(before, child, now)
    started = min((pod.started_at for pod in observed.pods if pod.started_at), default=None)
    best = report.best_name(said, before.best) if said else before.best
    found = before.checkpoints
    base = resolve_base(observed)
    dataset = report.dataset_status(said.dataset, before.dataset) if said else before.dataset
    if said is not None:
        found = report.checkpoints_status(said.checkpoints, before.checkpoints, best=best, output_uri=output_uri(job))
    return TrainingJobStatus(
        observed_generation=job.metadata.generation,
        phase=phase,
        message=message,
        attempt=attempt(observed),
        job_name=child.name if child else before.job_name,
        start_time=before.start_time or started,
        completion_time=before.completion_time,
        active_seconds=spent.seconds or before.active_seconds,
        active_since=spent.since,
        base_model=before.base_model if isinstance(base, Problem) else base,
        progress=report.progress_status(said.progress, before.progress, now) if said else before.progress,
        dataset=dataset,
        checkpoints=found,
        best=best,
        score=report.score(found, best, selecting_metric(job, dataset)),
        conditions=conditions.merged(before.conditions, aspects_now, generation=job.metadata.generation, at=now),
    )
