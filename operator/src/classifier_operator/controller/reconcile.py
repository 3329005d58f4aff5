"""Observe, plan, apply, status: the one way through, for one key at a time."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final, TypeVar

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.controller.apply_deployment import DeploymentApplier
from classifier_operator.controller.apply_training import TrainingApplier
from classifier_operator.controller.budget import ProgressBudget
from classifier_operator.controller.clock import Clock
from classifier_operator.controller.keys import Key
from classifier_operator.controller.observe import observe_deployment, observe_training
from classifier_operator.controller.queue import KeyQueue
from classifier_operator.controller.state import State
from classifier_operator.controller.status import is_chatter, status_patch, wait_seconds
from classifier_operator.errors import KubeError, SpecError, WaitError
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import DEPLOYMENTS, TRAINING_JOBS, Resource
from classifier_operator.kube.write import Writer
from classifier_operator.metrics import STATUS_WRITES
from classifier_operator.plan.deployment import plan_deployment
from classifier_operator.plan.standing import leaders
from classifier_operator.plan.training import is_finished, plan_training
from classifier_operator.plan.types import DeploymentObserved, DeploymentPlan, Problem, TrainingObserved, TrainingPlan
from classifier_operator.pods.progress import ProgressPoller

logger = logging.getLogger(__name__)

_SHOWN_FAILURES: Final = 3
"""Failures in a row after which an error that may pass is shown in the status."""


P = TypeVar("P", TrainingPlan, DeploymentPlan)


@dataclass(frozen=True, slots=True)
class _Done:
    """What came of the actions of a plan."""

    value: Json | None
    """The object afterwards; None if it is gone, or another one by now."""
    problem: Problem | None
    failure: KubeError | None

    @property
    def tells(self) -> bool:
        """Whether the status may be written: not while a failure is too young to be shown."""
        return self.failure is None or self.problem is not None


class Reconciler:
    """Brings one object nearer to what it says. Raises KubeError where it is to be tried again."""

    def __init__(
        self,
        *,
        client: KubeClient,
        state: State,
        queue: KeyQueue[Key],
        writer: Writer,
        training: TrainingApplier,
        deployments: DeploymentApplier,
        poller: ProgressPoller[Key],
        budget: ProgressBudget[Key],
        clock: Clock,
        progress_seconds: float,
    ) -> None:
        self._client = client
        self._state = state
        self._queue = queue
        self._writer = writer
        self._training = training
        self._deployments = deployments
        self._poller = poller
        self._budget = budget
        self._clock = clock
        self._progress_seconds = progress_seconds
        self._uids: dict[Key, str] = {}
        self._progress_written: dict[Key, datetime] = {}

    async def reconcile(self, key: Key) -> None:
        """One pass over one object."""
        resource = TRAINING_JOBS if key.kind == names.TRAINING_JOB_KIND else DEPLOYMENTS
        value = self._state[resource].get(key.namespace, key.name)
        known = self._uids.get(key)
        if value is None or (known is not None and known != value["metadata"]["uid"]):
            self._forget(key, known)
        if value is None:
            return
        self._uids[key] = value["metadata"]["uid"]
        try:
            if resource is TRAINING_JOBS:
                await self._reconcile_training(key, value)
            else:
                await self._reconcile_deployment(key, value)
        except SpecError as error:  # the object itself cannot be read: there is no plan to put it into
            await self._write_misfit(resource, key, value, error)

    def _forget(self, key: Key, uid: str | None) -> None:
        self._uids.pop(key, None)
        self._progress_written.pop(key, None)
        self._poller.forget(key)
        self._budget.forget(key)
        if uid is not None:
            self._deployments.forget(uid)

    async def _reconcile_training(self, key: Key, value: Json) -> None:
        observed = self._observe_training(key, value, None)
        plan = plan_training(observed)
        job = observed.job
        done = await self._carry_out(
            TRAINING_JOBS, key, value, [partial(self._training.apply, job, action) for action in plan.actions]
        )
        if done.value is None:
            return
        if plan.actions:
            observed = self._observe_training(key, done.value, done.problem)
            plan = self._next(key, plan, plan_training(observed), done)
        self._poll(key, observed, finished=is_finished(plan.status))
        if done.tells:
            await self._write_training_status(key, done.value, plan, observed.job)
        self._finish(key, plan, done)

    def _observe_training(self, key: Key, value: Json, problem: Problem | None) -> TrainingObserved:
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

    async def _write_training_status(
        self, key: Key, value: Json, plan: TrainingPlan, job: ClassifierTrainingJob
    ) -> None:
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
        await self._write_status(TRAINING_JOBS, key, value, patch)
        self._budget.forget(key)
        if "progress" in patch or chatter:
            self._progress_written[key] = self._clock.now()

    async def _reconcile_deployment(self, key: Key, value: Json) -> None:
        observed = self._observe_deployment(key, value, None)
        if observed.ready_endpoints == 0:
            self._deployments.forget_answer(observed.deployment.metadata.uid)
        plan = plan_deployment(observed)
        made = observed.deployment
        done = await self._carry_out(
            DEPLOYMENTS, key, value, [partial(self._deployments.apply, made, action) for action in plan.actions]
        )
        if done.value is None:
            return
        if plan.actions:
            plan = self._next(key, plan, plan_deployment(self._observe_deployment(key, done.value, done.problem)), done)
        patch = status_patch(done.value.get("status") or {}, plan.status)
        if patch and done.tells:
            await self._write_status(DEPLOYMENTS, key, done.value, patch)
        self._finish(key, plan, done)

    def _observe_deployment(self, key: Key, value: Json, problem: Problem | None) -> DeploymentObserved:
        answers = self._deployments.answers(value["metadata"]["uid"])
        return observe_deployment(self._state, key, value, now=self._clock.now(), answers=answers, problem=problem)

    async def _carry_out(
        self, resource: Resource, key: Key, value: Json, steps: Sequence[Callable[[], Awaitable[None]]]
    ) -> _Done:
        """Takes the steps until one of them fails; then looks at the object as it is now."""
        problem: Problem | None = None
        failure: KubeError | None = None
        for step in steps:
            try:
                await step()
            except (SpecError, WaitError, KubeError) as error:
                problem, failure = self._problem(key, error)
                break
        fresh = self._state[resource].get(key.namespace, key.name) if steps else value
        same = fresh is not None and fresh["metadata"]["uid"] == value["metadata"]["uid"]
        return _Done(fresh if same else None, problem, failure)

    def _next(self, key: Key, before: P, after: P, done: _Done) -> P:
        """The plan after its own actions. If it wants something else now, that is for the next pass."""
        if done.problem is None and done.failure is None and set(after.actions) - set(before.actions):
            self._queue.add(key)
        return after

    def _finish(self, key: Key, plan: TrainingPlan | DeploymentPlan, done: _Done) -> None:
        if plan.again_after is not None:
            self._queue.add_after(key, plan.again_after)
        if done.failure is not None:
            raise done.failure

    def _problem(self, key: Key, error: SpecError | WaitError | KubeError) -> tuple[Problem | None, KubeError | None]:
        """What is shown of an error, and what is raised to be tried again."""
        if isinstance(error, SpecError):
            return Problem(error.reason, error.message, final=error.final), None
        if isinstance(error, WaitError):
            self._queue.add_after(key, error.seconds)
            return Problem(error.reason, error.message, stalled=False), None
        if error.status == 0 or error.status == 409 or self._queue.failures(key) < _SHOWN_FAILURES:
            return None, error
        return Problem("ApiError", f"the API server refuses, and is asked again: {error.message}", stalled=False), error

    async def _write_status(self, resource: Resource, key: Key, value: Json, patch: Json) -> None:
        version = value["metadata"]["resourceVersion"]
        try:
            answer = await self._writer.patch_status(resource, key.namespace, key.name, patch, version=version)
        except KubeError as error:
            if error.not_found:
                return
            if error.conflict:
                await self._refresh(resource, key)
            raise
        STATUS_WRITES.labels(key.kind).inc()
        if "phase" in patch:
            logger.info("%s: %s, %s", key, patch["phase"], patch.get("message") or "as before")
        if "completionTime" in patch:
            self._state[resource].put(answer)  # the end of a job has consequences of its own
        else:
            self._state.put_own_status(resource, key, answer)

    async def _refresh(self, resource: Resource, key: Key) -> None:
        """Takes the live object in: somebody wrote it, and the watch has not said so yet."""
        self._state[resource].put(await self._client.request("GET", resource.path(key.namespace, key.name)))

    async def _write_misfit(self, resource: Resource, key: Key, value: Json, error: SpecError) -> None:
        """Says what is wrong with an object that this version cannot read, in the fields that every version has."""
        before = value.get("status") or {}
        after = {
            "phase": "Failed",
            "message": error.message,
            "observedGeneration": value["metadata"].get("generation", 1),
        }
        patch = {name: text for name, text in after.items() if before.get(name) != text}
        if patch:
            await self._write_status(resource, key, value, patch)
