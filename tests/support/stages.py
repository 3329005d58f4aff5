"""Where deployments stand between awake and asleep: by watches of this process's own, with its own clock."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType

from classifier_operator.api import names
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import APP_DEPLOYMENTS, ENDPOINT_SLICES, PODS, Resource
from classifier_operator.kube.trim import SERVICE_NAME_LABEL, SLICE_MANAGER_LABEL
from support.control_plane import Cluster, endless_watch

_KEPT = 200


class Stage(StrEnum):
    """A place on the way from awake to asleep and back."""

    AWAKE = "awake"
    """The Service leads to server pods alone."""
    BOTH = "both"
    """It leads to the gateway too: just before the pods go, or just after they came."""
    DRAINING = "draining"
    """No pods are wanted any more, and some finish what they have."""
    ASLEEP = "asleep"
    STARTING = "starting"
    """Pods are wanted, none is ready, and the Service leads to the gateway."""
    NOBODY = "nobody"
    """It leads nowhere."""


@dataclass
class View:
    """What the API server says of one deployment."""

    wanted: int = 0
    ours: set[str] = field(default_factory=set)
    """Our own EndpointSlices."""
    ready: dict[str, int] = field(default_factory=dict)
    """Ready endpoints in each of Kubernetes' own."""
    pods: set[str] = field(default_factory=set)

    @property
    def stage(self) -> Stage:
        served = any(self.ready.values())
        if self.wanted == 0 and (self.ours or served):
            return Stage.DRAINING if self.pods else Stage.ASLEEP
        if served:
            return Stage.BOTH if self.ours else Stage.AWAKE
        return Stage.STARTING if self.ours else Stage.NOBODY

    def see(self, resource: Resource, value: Json, *, gone: bool) -> None:
        """Takes in what became of one of its objects."""
        name = value["metadata"]["name"]
        if resource is APP_DEPLOYMENTS:
            self.wanted = 0 if gone else value["spec"]["replicas"]
        elif resource is PODS:
            (self.pods.discard if gone else self.pods.add)(name)
        elif value["metadata"]["labels"].get(SLICE_MANAGER_LABEL) == names.MANAGED_BY:
            (self.ours.discard if gone else self.ours.add)(name)
        else:
            endpoints = () if gone else value.get("endpoints") or ()
            self.ready[name] = sum(each["conditions"].get("ready") is not False for each in endpoints)


@dataclass(frozen=True, slots=True)
class Moment:
    """When a deployment came to a stage, by the monotonic clock."""

    stage: Stage
    at: float


class StageWatch:
    """Follows all deployments of a namespace.

    Attributes:
        created: when the pods of each deployment were created, as this process heard of it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._views: dict[str, View] = defaultdict(View)
        self._moments: dict[str, deque[Moment]] = defaultdict(lambda: deque(maxlen=_KEPT))
        self._tasks: list[asyncio.Task[None]] = []
        self._changed = asyncio.Condition()
        self.created: dict[str, list[float]] = defaultdict(list)

    async def __aenter__(self) -> StageWatch:
        for resource in (APP_DEPLOYMENTS, ENDPOINT_SLICES, PODS):
            listed = await self._cluster.client.request("GET", resource.path(self._cluster.namespace))
            for item in listed["items"]:
                self._see(resource, item, gone=False)
            at = listed["metadata"]["resourceVersion"]
            self._tasks.append(asyncio.create_task(self._watch(resource, at)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def check(self) -> None:
        """Fails if a watch broke, so that what is known may be old."""
        for task in self._tasks:
            assert not task.done(), f"a watch broke: {task.exception()}"

    def view(self, name: str) -> View:
        return self._views[name]

    def stage(self, name: str) -> Stage:
        return self._views[name].stage

    def moments(self, name: str) -> list[Moment]:
        """The last stages of a deployment, the oldest first."""
        return list(self._moments[name])

    def came_to(self, name: str, stages: Iterable[Stage], since: float) -> float | None:
        """When the deployment first came to one of these stages since a time; None: it has not."""
        wanted = frozenset(stages)
        return next((each.at for each in self._moments[name] if each.at >= since and each.stage in wanted), None)

    async def until(self, check: Callable[[], bool], *, seconds: float, what: str) -> None:
        """Waits, as events come in, until `check` is true.

        Raises:
            TimeoutError: it is not within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds), self._changed:
                while not check():
                    self.check()
                    await self._changed.wait()
        except TimeoutError:
            stages = {name: view.stage.value for name, view in self._views.items()}
            raise TimeoutError(f"{what}: not within {seconds:.0f} s; {stages}") from None

    async def _watch(self, resource: Resource, at: str) -> None:
        async for event in endless_watch(self._cluster.client, resource.path(self._cluster.namespace), at):
            value = event["object"]
            if resource is PODS and event["type"] == "ADDED":
                self.created[_owner(resource, value)].append(time.monotonic())
            self._see(resource, value, gone=event["type"] == "DELETED")
            async with self._changed:
                self._changed.notify_all()

    def _see(self, resource: Resource, value: Json, *, gone: bool) -> None:
        name = _owner(resource, value)
        if not name:
            return
        view, moments = self._views[name], self._moments[name]
        view.see(resource, value, gone=gone)
        if not moments or moments[-1].stage is not view.stage:
            moments.append(Moment(view.stage, time.monotonic()))


def _owner(resource: Resource, value: Json) -> str:
    """The name of the deployment that an object belongs to; empty: to none."""
    labels: dict[str, str] = value["metadata"].get("labels") or {}
    if resource is APP_DEPLOYMENTS:
        return str(value["metadata"]["name"])
    return labels.get(SERVICE_NAME_LABEL if resource is ENDPOINT_SLICES else names.DEPLOYMENT_LABEL, "")
