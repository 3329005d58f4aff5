"""Decisions about a training job: one pure function from what is observed to what is done and said."""

from datetime import timedelta
from typing import Final

from classifier_operator.api import names
from classifier_operator.api.training_status import TrainingJobStatus
from classifier_operator.plan import conditions, report
from classifier_operator.plan.activity import Activity, activity
from classifier_operator.plan.conditions import Aspect
from classifier_operator.plan.outcome import Outcome, failed_outcome
from classifier_operator.plan.output import made_claim, output_uri
from classifier_operator.plan.sentences import last_report, one_line, why_ended, why_waiting
from classifier_operator.plan.types import (
    CreateClaim,
    CreateJob,
    DeleteJob,
    DeleteTrainingJob,
    JobView,
    PodView,
    SuspendJob,
    TrainingAction,
    TrainingObserved,
    TrainingPlan,
)
from classifier_operator.wire.progress import ProgressReport

DEADLINE_EXCEEDED: Final = "DeadlineExceeded"
LAST_WORD_SECONDS: Final = 10.0
"""How long a finished Job waits for its pod's termination message, which comes by another watch."""
PROBLEM_SECONDS: Final = 30.0


def plan_training(observed: TrainingObserved) -> TrainingPlan:
    """Decides about a training job."""
    status = observed.job.status
    if observed.job.metadata.deletion_timestamp is not None:
        return TrainingPlan(status)  # its children go with it, by their owner references
    if is_finished(status):
        return _after_the_end(observed)
    child = observed.child
    if observed.problem is not None and (observed.problem.final or child is None):
        return _with_problem(observed)
    if child is None or child.deleting:
        return _without_job(observed)
    if child.finished:
        return _finished(observed, child)
    return _with_job(observed, child)


def is_finished(status: TrainingJobStatus) -> bool:
    """Done is done: from here on no Job is ever made again."""
    return conditions.holds(status.conditions, "Complete") or conditions.holds(status.conditions, "Failed")


def _after_the_end(observed: TrainingObserved) -> TrainingPlan:
    job, child = observed.job, observed.child
    status = job.status.model_copy(update={"observed_generation": job.metadata.generation})
    actions: list[TrainingAction] = []
    if child is not None and not child.finished and not child.deleting:
        # The deadline is over, or another operator's late write came after the end: nothing may run any more.
        actions.append(DeleteJob(child.name, child.uid))
    ttl = job.spec.ttl_seconds_after_finished
    if ttl is None or observed.named_by is not None:
        return TrainingPlan(status, tuple(actions))
    end = status.completion_time or observed.now
    left = (end + timedelta(seconds=ttl) - observed.now).total_seconds()
    if left > 0:
        return TrainingPlan(status, tuple(actions), again_after=left)
    return TrainingPlan(status, (*actions, DeleteTrainingJob()))


def _with_problem(observed: TrainingObserved) -> TrainingPlan:
    problem = observed.problem
    assert problem is not None  # noqa: S101  # the caller looked
    if problem.final:
        return TrainingPlan(_ended(observed, Outcome(False, problem.reason, problem.message)))
    aspects = (conditions.stalled if problem.stalled else conditions.reconciling)(problem.reason, problem.message)
    return TrainingPlan(
        _status(observed, "Pending", problem.message, aspects),
        again_after=PROBLEM_SECONDS if problem.stalled else None,
    )


def _without_job(observed: TrainingObserved) -> TrainingPlan:
    job, child = observed.job, observed.child
    if child is not None:
        text = f"Job {child.name} is being deleted; another is made when it is gone"
        return TrainingPlan(_status(observed, "Pending", text, conditions.reconciling("JobDeleted", text)))
    suspended = bool(job.spec.suspend)
    actions = _claim_first(observed, suspended)
    name = names.job_name(job.metadata.name, job.metadata.uid)
    actions.append(CreateJob(name, output_uri(job), suspended))
    text = f"making Job {name}"
    return TrainingPlan(
        _status(observed, "Pending", text, conditions.reconciling("JobMissing", text)), actions=tuple(actions)
    )


def _claim_first(observed: TrainingObserved, suspended: bool) -> list[TrainingAction]:
    """The claim is made when the Job may run: one that waits in a queue takes no storage."""
    claim = made_claim(observed.job)
    return [CreateClaim(claim)] if claim is not None and observed.claim is None and not suspended else []


def _with_job(observed: TrainingObserved, child: JobView) -> TrainingPlan:
    job = observed.job
    wanted = bool(job.spec.suspend)
    actions = _claim_first(observed, wanted) if child.suspended else []
    if child.suspended != wanted:
        actions.append(SuspendJob(child.name, child.uid, wanted))
    spent = activity(job.status, child, observed.now)
    again = None
    limit = job.spec.active_deadline_seconds
    if limit is not None:
        left = limit - spent.total(observed.now)
        if left <= 0:
            text = f"the job was active for {limit} s, as long as activeDeadlineSeconds allows"
            return TrainingPlan(_ended(observed, Outcome(False, DEADLINE_EXCEEDED, text)))
        again = left if spent.since is not None else None
    if child.suspended or wanted:
        text = (
            "suspended" if not any(pod.running for pod in observed.pods) else "suspending: the trainer saves its state"
        )
        return TrainingPlan(_status(observed, "Suspended", text, conditions.ready("Suspended", text)), tuple(actions))
    return TrainingPlan(_active_status(observed, child), tuple(actions), again_after=again)


def _active_status(observed: TrainingObserved, child: JobView) -> TrainingJobStatus:
    pod = next((pod for pod in reversed(observed.pods) if not pod.ended), None)
    ended = next((pod for pod in reversed(observed.pods) if pod.phase == "Failed"), None)
    before = observed.job.status
    if pod is not None and pod.running:
        said = observed.report if observed.report_pod == pod.uid else None
        if said is None and before.attempt == _attempt(observed) and before.phase in ("Training", "Testing"):
            # The operator began anew and has not asked yet: what stands there is not worse than nothing.
            return _status(observed, before.phase, before.message or "", conditions.ready("Running", ""))
        phase = said.phase if said and said.phase in ("Preparing", "Training", "Testing") else None
        if said is not None and phase is None:
            phase = before.phase if before.phase in ("Training", "Testing") else "Preparing"
        text = one_line(said.message) if said else "the trainer starts"
        return _status(observed, phase or "Preparing", text, conditions.ready("Running", ""), said)
    if ended is not None and (pod is None or pod.created >= ended.created):
        text = f"attempt {_attempt_of(observed, ended)} failed: {why_ended(ended, 'trainer')}; another one follows"
        blocked = why_waiting(pod) if pod else None
        if blocked:
            text = f"{text}; {blocked[1]}"
        return _status(
            observed,
            "Pending",
            text,
            conditions.reconciling(blocked[0] if blocked else "Retrying", text),
            last_report(ended),
        )
    if pod is not None:
        reason, text = why_waiting(pod) or ("PodStarting", "the pod starts")
        return _status(observed, "Pending", text, conditions.reconciling(reason, text))
    if any(each.phase == "Succeeded" for each in observed.pods):
        return _status(observed, before.phase or "Preparing", before.message or "", conditions.ready("Running", ""))
    text = f"Job {child.name} waits for its pod"
    return _status(observed, "Pending", text, conditions.reconciling("PodMissing", text))


def _finished(observed: TrainingObserved, child: JobView) -> TrainingPlan:
    end = child.end_time or observed.now
    speaking = [pod for pod in observed.pods if not pod.ended and not pod.deleting]
    if speaking and (observed.now - end).total_seconds() < LAST_WORD_SECONDS:
        return TrainingPlan(observed.job.status, again_after=0.5)
    if not child.complete:
        return TrainingPlan(_ended(observed, failed_outcome(child, observed.pods)))
    pod = next((pod for pod in reversed(observed.pods) if pod.phase == "Succeeded"), None)
    said = (last_report(pod) if pod else None) or observed.report
    text = one_line(said.message) if said and said.phase == "Succeeded" else ""
    return TrainingPlan(_ended(observed, Outcome(True, "Succeeded", text or "training is complete", said)))


def _ended(observed: TrainingObserved, outcome: Outcome) -> TrainingJobStatus:
    phase = "Succeeded" if outcome.succeeded else "Failed"
    if outcome.succeeded:
        aspects = conditions.ready(outcome.reason, outcome.message)
    else:
        aspects = conditions.stalled(outcome.reason, outcome.message)
    status = _status(observed, phase, outcome.message, aspects, outcome.report)
    child = observed.child
    end = (child.end_time if child else None) or observed.now
    closed: Activity = activity(observed.job.status, child, observed.now).closed(end)
    changes: dict[str, object] = {
        "completion_time": end,
        "active_seconds": closed.seconds if status.start_time or closed.seconds else None,
        "active_since": None,
    }
    if outcome.succeeded:
        changes["progress"] = report.finished_progress(status.progress, observed.now)
    elif status.progress is not None:
        changes["progress"] = status.progress.model_copy(update={"eta": None, "estimated_completion_time": None})
    return status.model_copy(update=changes)


def _attempt(observed: TrainingObserved) -> int | None:
    child = observed.child
    seen = max(len(observed.pods), (child.active + child.failed + child.succeeded) if child else 0)
    return max(observed.job.status.attempt or 0, seen) or None


def _attempt_of(observed: TrainingObserved, ended: PodView) -> int:
    later = sum(pod.created > ended.created for pod in observed.pods)
    return max(1, (_attempt(observed) or 1) - later)


def _status(
    observed: TrainingObserved,
    phase: str,
    message: str,
    aspects: list[Aspect],
    said: ProgressReport | None = None,
) -> TrainingJobStatus:
    job, child, before, now = observed.job, observed.child, observed.job.status, observed.now
    kind = phase if phase in ("Succeeded", "Failed") else None
    reason = aspects[0].reason
    standing = [
        Aspect("Complete", kind == "Succeeded", reason, message if kind == "Succeeded" else ""),
        Aspect("Failed", kind == "Failed", reason, message if kind == "Failed" else ""),
        Aspect("Suspended", phase == "Suspended", reason),
        *aspects,
    ]
    spent = activity(before, child, now)
    started = min((pod.started_at for pod in observed.pods if pod.started_at), default=None)
    best = report.best_name(said, before.best) if said else before.best
    found = before.checkpoints
    if said is not None:
        found = report.checkpoints_status(said.checkpoints, before.checkpoints, best=best, output_uri=output_uri(job))
    return TrainingJobStatus(
        observed_generation=job.metadata.generation,
        phase=phase,
        message=message,
        attempt=_attempt(observed),
        job_name=child.name if child else before.job_name,
        start_time=before.start_time or started,
        completion_time=before.completion_time,
        active_seconds=spent.seconds or before.active_seconds,
        active_since=spent.since,
        progress=report.progress_status(said.progress, before.progress, now) if said else before.progress,
        dataset=report.dataset_status(said.dataset, before.dataset) if said else before.dataset,
        checkpoints=found,
        best=best,
        score=report.score(found, best),
        conditions=conditions.merged(before.conditions, standing, generation=job.metadata.generation, at=now),
    )
