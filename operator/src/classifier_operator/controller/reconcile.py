"""Observe, plan, apply, status: the one way through, for one key at a time."""

import logging
from datetime import datetime
from typing import Final

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
from classifier_operator.plan.training import is_finished, plan_training
from classifier_operator.plan.types import DeploymentPlan, Problem, TrainingObserved, TrainingPlan
from classifier_operator.pods.progress import ProgressPoller

logger = logging.getLogger(__name__)

_SHOWN_FAILURES: Final = 3
"""Failures in a row after which an error that may pass is shown in the status."""


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
        problem: Problem | None = None
        failure: KubeError | None = None
        for action in plan.actions:
            try:
                await self._training.apply(observed.job, action)
            except (SpecError, WaitError, KubeError) as error:
                problem, failure = self._problem(key, error)
                break
        if plan.actions or problem:
            fresh = self._state[TRAINING_JOBS].get(key.namespace, key.name)
            if fresh is None or fresh["metadata"]["uid"] != value["metadata"]["uid"]:
                return
            value = fresh
            observed = self._observe_training(key, value, problem)
            later = plan_training(observed)
            if not problem and set(later.actions) - set(plan.actions):
                self._queue.add(key)
            plan = later
        self._poll(key, observed, finished=is_finished(plan.status))
        if not (failure and problem is None):
            await self._write_training_status(key, value, plan, observed.job)
        self._again(key, plan.again_after)
        if failure is not None:
            raise failure

    def _observe_training(self, key: Key, value: Json, problem: Problem | None) -> TrainingObserved:
        said = self._poller.report(key)
        return observe_training(self._state, key, value, now=self._clock.now(), said=said, problem=problem)

    def _poll(self, key: Key, observed: TrainingObserved, *, finished: bool) -> None:
        pod = next((pod for pod in reversed(observed.pods) if pod.running and pod.ip), None)
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
        uid = value["metadata"]["uid"]
        observed = observe_deployment(
            self._state, key, value, now=self._clock.now(), answers=self._deployments.answers(uid)
        )
        if observed.ready_endpoints == 0:
            self._deployments.forget_answer(uid)
        plan: DeploymentPlan = plan_deployment(observed)
        problem: Problem | None = None
        failure: KubeError | None = None
        for action in plan.actions:
            try:
                await self._deployments.apply(observed.deployment, action)
            except (SpecError, WaitError, KubeError) as error:
                problem, failure = self._problem(key, error)
                break
        if plan.actions or problem:
            fresh = self._state[DEPLOYMENTS].get(key.namespace, key.name)
            if fresh is None or fresh["metadata"]["uid"] != uid:
                return
            value = fresh
            observed = observe_deployment(
                self._state,
                key,
                value,
                now=self._clock.now(),
                answers=self._deployments.answers(uid),
                problem=problem,
            )
            later = plan_deployment(observed)
            if not problem and set(later.actions) - set(plan.actions):
                self._queue.add(key)
            plan = later
        if not (failure and problem is None):
            patch = status_patch(value.get("status") or {}, plan.status)
            if patch:
                await self._write_status(DEPLOYMENTS, key, value, patch)
        self._again(key, plan.again_after)
        if failure is not None:
            raise failure

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

    def _again(self, key: Key, seconds: float | None) -> None:
        if seconds is not None:
            self._queue.add_after(key, seconds)

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
