"""One pass over a training job."""

from datetime import datetime
from functools import partial

from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.controller.apply_training import TrainingApplier
from classifier_operator.controller.budget import ProgressBudget
from classifier_operator.controller.clock import Clock
from classifier_operator.controller.cycle import Cycle
from classifier_operator.controller.keys import Key
from classifier_operator.controller.observe import observe_training
from classifier_operator.controller.queue import KeyQueue
from classifier_operator.controller.state import State
from classifier_operator.controller.status import is_chatter, status_patch, wait_seconds
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import TRAINING_JOBS
from classifier_operator.plan.standing import leaders
from classifier_operator.plan.training import is_finished, plan_training
from classifier_operator.plan.types import Problem, TrainingObserved, TrainingPlan
from classifier_operator.pods.progress import ProgressPoller


class TrainingReconciler:
    """Brings a training job nearer to what it says, and asks its pod for its progress."""

    def __init__(
        self,
        cycle: Cycle,
        state: State,
        queue: KeyQueue[Key],
        *,
        applier: TrainingApplier,
        poller: ProgressPoller[Key],
        budget: ProgressBudget[Key],
        clock: Clock,
        progress_seconds: float,
    ) -> None:
        self._cycle = cycle
        self._state = state
        self._queue = queue
        self._training = applier
        self._poller = poller
        self._budget = budget
        self._clock = clock
        self._progress_seconds = progress_seconds
        self._progress_written: dict[Key, datetime] = {}

    def forget(self, key: Key) -> None:
        """The job is gone."""
        self._progress_written.pop(key, None)
        self._poller.forget(key)
        self._budget.forget(key)

    async def reconcile(self, key: Key, value: Json) -> None:
        """One pass. Raises SpecError where the object cannot be read, and KubeError where it is to be tried again."""
        observed = self._observe(key, value, None)
        plan = plan_training(observed)
        job = observed.job
        done = await self._cycle.carry_out(
            TRAINING_JOBS, key, value, [partial(self._training.apply, job, action) for action in plan.actions]
        )
        if done.value is None:
            return
        if plan.actions:
            observed = self._observe(key, done.value, done.problem)
            plan = self._cycle.next_plan(key, plan, plan_training(observed), done)
        self._poll(key, observed, finished=is_finished(plan.status))
        if done.tells:
            await self._write_status(key, done.value, plan, observed.job)
        self._cycle.finish(key, plan, done)

    def _observe(self, key: Key, value: Json, problem: Problem | None) -> TrainingObserved:
        said = self._poller.report(key)
        return observe_training(self._state, key, value, now=self._clock.now(), said=said, problem=problem)

    def _poll(self, key: Key, observed: TrainingObserved, *, finished: bool) -> None:
        pod = next((pod for pod in reversed(leaders(observed)) if pod.running and pod.ip), None)
        if pod is not None and pod.ip is not None:
            self._poller.watch(key, pod.uid, pod.ip)
        elif observed.report_pod is not None and not finished:
            self._poller.pause(key)
        else:
            self._poller.forget(key)

    async def _write_status(self, key: Key, value: Json, plan: TrainingPlan, job: ClassifierTrainingJob) -> None:
        before = value.get("status") or {}
        patch = status_patch(before, plan.status)
        if not patch:
            self._budget.forget(key)
            return
        chatter = is_chatter(patch, before)
        if chatter:
            written = self._progress_written.get(key)
            wait = wait_seconds(job.status, self._clock.now(), pause=self._progress_seconds, written=written)
            if wait > 0:
                self._queue.add_after(key, wait)
                return
            last = written or (job.status.progress.update_time if job.status.progress else None)
            if not self._budget.take(key, last or job.metadata.creation_timestamp or self._clock.now()):
                return
        await self._cycle.write_status(TRAINING_JOBS, key, value, patch)
        self._budget.forget(key)
        if "progress" in patch or chatter:
            self._progress_written[key] = self._clock.now()
