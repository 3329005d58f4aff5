"""Decisions about a training job: one pure function from what is observed to what is done and said."""

from datetime import timedelta
from typing import Final

from classifier_operator.api import names
from classifier_operator.api.training_status import TrainingJobStatus
from classifier_operator.plan import conditions, report
from classifier_operator.plan.activity import Activity, activity
from classifier_operator.plan.base_model import resolve_base
from classifier_operator.plan.checkpoint import grace_left
from classifier_operator.plan.outcome import Outcome, failed_outcome
from classifier_operator.plan.output import made_claim, output_uri
from classifier_operator.plan.sentences import last_report, one_line, why_ended, why_waiting
from classifier_operator.plan.standing import attempt, attempt_of, leaders, nodes, standing
from classifier_operator.plan.types import (
    CreateClaim,
    CreateJob,
    CreateService,
    DeleteJob,
    DeleteTrainingJob,
    JobView,
    Problem,
    SuspendJob,
    TrainingAction,
    TrainingObserved,
    TrainingPlan,
)

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
        return _with_problem(observed, observed.problem)
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


def _with_problem(observed: TrainingObserved, problem: Problem) -> TrainingPlan:
    if problem.final:
        return TrainingPlan(_ended(observed, Outcome(False, problem.reason, problem.message)))
    aspects = (conditions.stalled if problem.stalled else conditions.reconciling)(problem.reason, problem.message)
    return TrainingPlan(
        standing(observed, "Pending", problem.message, aspects),
        again_after=PROBLEM_SECONDS if problem.stalled else None,
    )


def _without_job(observed: TrainingObserved) -> TrainingPlan:
    job, child = observed.job, observed.child
    if child is not None:
        text = f"Job {child.name} is being deleted; another is made when it is gone"
        return TrainingPlan(standing(observed, "Pending", text, conditions.reconciling("JobDeleted", text)))
    base = resolve_base(observed)
    if isinstance(base, Problem):
        plan = _with_problem(observed, base)
        if base.stalled or observed.base_job is not None:
            return plan
        left = grace_left(job.metadata.creation_timestamp, observed.now)
        return TrainingPlan(plan.status, again_after=max(1.0, left))
    suspended = bool(job.spec.suspend)
    name = names.job_name(job.metadata.name, job.metadata.uid)
    actions = [*_claim_first(observed, suspended), *_service(observed, name)]
    actions.append(CreateJob(name, output_uri(job), suspended, base))
    text = f"making Job {name}"
    return TrainingPlan(
        standing(observed, "Pending", text, conditions.reconciling("JobMissing", text)), actions=tuple(actions)
    )


def _claim_first(observed: TrainingObserved, suspended: bool) -> list[TrainingAction]:
    """The claim is made when the Job may run: one that waits in a queue takes no storage."""
    claim = made_claim(observed.job)
    return [CreateClaim(claim)] if claim is not None and observed.claim is None and not suspended else []


def _service(observed: TrainingObserved, name: str) -> list[TrainingAction]:
    return [CreateService(name)] if nodes(observed.job) > 1 and not observed.has_service else []


def _with_job(observed: TrainingObserved, child: JobView) -> TrainingPlan:
    job = observed.job
    wanted = bool(job.spec.suspend)
    actions = _claim_first(observed, wanted) if child.suspended else []
    actions += _service(observed, child.name)
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
        return TrainingPlan(standing(observed, "Suspended", text, conditions.ready("Suspended", text)), tuple(actions))
    return TrainingPlan(_active_status(observed, child), tuple(actions), again_after=again)


def _active_status(observed: TrainingObserved, child: JobView) -> TrainingJobStatus:
    pods = leaders(observed)
    pod = next((pod for pod in reversed(pods) if not pod.ended), None)
    # One that was taken away by a suspension has not failed.
    ended = next((pod for pod in reversed(pods) if pod.phase == "Failed" and not pod.deleting), None)
    before = observed.job.status
    if pod is not None and pod.running and (missing := _missing_node(observed)):
        reason, text = missing
        return standing(observed, "Pending", text, conditions.reconciling(reason, text))
    if pod is not None and pod.running:
        said = observed.report if observed.report_pod == pod.uid else None
        if said is None and before.attempt == attempt(observed) and before.phase in ("Training", "Testing"):
            # The operator began anew and has not asked yet: what stands there is not worse than nothing.
            return standing(observed, before.phase, before.message or "", conditions.ready("Running", ""))
        phase = said.phase if said and said.phase in ("Preparing", "Training", "Testing") else None
        if said is not None and phase is None:
            phase = before.phase if before.phase in ("Training", "Testing") else "Preparing"
        text = one_line(said.message) if said else "the trainer starts"
        return standing(observed, phase or "Preparing", text, conditions.ready("Running", ""), said)
    if ended is not None and (pod is None or pod.created >= ended.created):
        text = f"attempt {attempt_of(observed, ended)} failed: {why_ended(ended, 'trainer')}; another one follows"
        blocked = why_waiting(pod) if pod else None
        if blocked:
            text = f"{text}; {blocked[1]}"
        return standing(
            observed,
            "Pending",
            text,
            conditions.reconciling(blocked[0] if blocked else "Retrying", text),
            last_report(ended),
        )
    if pod is not None:
        reason, text = why_waiting(pod) or ("PodStarting", "the pod starts")
        return standing(observed, "Pending", text, conditions.reconciling(reason, text))
    if any(each.phase == "Succeeded" for each in pods):
        return standing(observed, before.phase or "Preparing", before.message or "", conditions.ready("Running", ""))
    text = f"Job {child.name} waits for its pod"
    return standing(observed, "Pending", text, conditions.reconciling("PodMissing", text))


def _missing_node(observed: TrainingObserved) -> tuple[str, str] | None:
    """Reason and sentence of a node that cannot start: the others wait for it."""
    for pod in observed.pods:
        blocked = why_waiting(pod) if pod.index and not pod.ended and not pod.running else None
        if blocked:
            return blocked[0], f"node {pod.index + 1} of {nodes(observed.job)}: {blocked[1]}"
    return None


def _finished(observed: TrainingObserved, child: JobView) -> TrainingPlan:
    end = child.end_time or observed.now
    speaking = [pod for pod in observed.pods if not pod.ended and not pod.deleting]
    if speaking and (observed.now - end).total_seconds() < LAST_WORD_SECONDS:
        return TrainingPlan(observed.job.status, again_after=0.5)
    if not child.complete:
        return TrainingPlan(_ended(observed, failed_outcome(child, observed.pods, nodes(observed.job))))
    pod = next((pod for pod in reversed(leaders(observed)) if pod.phase == "Succeeded"), None)
    said = (last_report(pod) if pod else None) or observed.report
    text = one_line(said.message) if said and said.phase == "Succeeded" else ""
    return TrainingPlan(_ended(observed, Outcome(True, "Succeeded", text or "training is complete", said)))


def _ended(observed: TrainingObserved, outcome: Outcome) -> TrainingJobStatus:
    phase = "Succeeded" if outcome.succeeded else "Failed"
    if outcome.succeeded:
        aspects = conditions.ready(outcome.reason, outcome.message)
    else:
        aspects = conditions.stalled(outcome.reason, outcome.message)
    status = standing(observed, phase, outcome.message, aspects, outcome.report)
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
