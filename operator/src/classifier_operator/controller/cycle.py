"""What reconciling a training job and a deployment have in common: carrying out a plan, and one write of the status."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from classifier_operator.controller.keys import Key
from classifier_operator.controller.queue import KeyQueue
from classifier_operator.controller.state import State
from classifier_operator.errors import KubeError, SpecError, WaitError
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import Resource
from classifier_operator.kube.write import Writer
from classifier_operator.metrics import STATUS_WRITES
from classifier_operator.plan.types import DeploymentPlan, Problem, TrainingPlan

logger = logging.getLogger(__name__)

_SHOWN_FAILURES: Final = 3
"""Failures in a row after which an error that may pass is shown in the status."""

P = TypeVar("P", TrainingPlan, DeploymentPlan)


@dataclass(frozen=True, slots=True)
class Done:
    """What came of the actions of a plan."""

    value: Json | None
    """The object afterwards; None if it is gone, or another one by now."""
    problem: Problem | None
    failure: KubeError | None

    @property
    def tells(self) -> bool:
        """Whether the status may be written: not while a failure is too young to be shown."""
        return self.failure is None or self.problem is not None


class Cycle:
    """The steps of a pass over one object after it was planned."""

    def __init__(self, client: KubeClient, state: State, queue: KeyQueue[Key], writer: Writer) -> None:
        self._client = client
        self._state = state
        self._queue = queue
        self._writer = writer

    async def carry_out(
        self, resource: Resource, key: Key, value: Json, steps: Sequence[Callable[[], Awaitable[None]]]
    ) -> Done:
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
        return Done(fresh if same else None, problem, failure)

    def next_plan(self, key: Key, before: P, after: P, done: Done) -> P:
        """The plan after its own actions. If it wants something else now, that is for the next pass."""
        if done.problem is None and done.failure is None and set(after.actions) - set(before.actions):
            self._queue.add(key)
        return after

    def finish(self, key: Key, plan: TrainingPlan | DeploymentPlan, done: Done) -> None:
        """Comes back when the plan wants to. Raises the KubeError that ended its actions."""
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

    async def write_status(self, resource: Resource, key: Key, value: Json, patch: Json) -> None:
        """Writes it over this version of the object alone. Raises KubeError, a conflict where there is a newer one."""
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

    async def write_misfit(self, resource: Resource, key: Key, value: Json, error: SpecError) -> None:
        """Says what is wrong with an object that this version cannot read, in the fields that every version has."""
        before = value.get("status") or {}
        after = {
            "phase": "Failed",
            "message": error.message,
            "observedGeneration": value["metadata"].get("generation", 1),
        }
        patch = {name: text for name, text in after.items() if before.get(name) != text}
        if patch:
            await self.write_status(resource, key, value, patch)
