"""A small world in which the real decisions are carried out: whatever happens in it, no request is lost.

Time, pods, endpoint slices and gateways are simulated, with the delays that they have in a cluster; what is decided is
decided by plan_deployment. A request is lost if it meets nobody, or a pod that has stopped listening.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from classifier_operator.plan.deployment import plan_deployment
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyOrder,
    ApplySlice,
    AppView,
    AskPods,
    DeleteSlice,
    DeploymentObserved,
    GatewayView,
    PodStats,
    PodView,
    ServiceView,
    SliceView,
    WakeView,
)
from classifier_operator.wire.wake import RENEW_SECONDS, GatewayOrder
from support.builders import NOW, deployment, pod_view

PORT = 10_001
STEP = 0.25
START_SECONDS = 3.0
DRAIN_SECONDS = 5.0
LAG_SECONDS = 0.5
"""Until a change of the pods or of our slice is in force on a node."""
TIMEOUT_SECONDS = 20


@dataclass
class Pod:
    born: float
    ready_at: float | None = None
    gone_at: float | None = None
    """When it was told to go."""
    in_flight: list[float] = field(default_factory=list)
    """When each of its requests will be answered."""
    answered: float | None = None

    def listens(self, now: float) -> bool:
        return self.ready_at is not None and (self.gone_at is None or now < self.gone_at + DRAIN_SECONDS)


@dataclass
class World:
    draw: random.Random
    spec: dict[str, Any]
    now: float = 0.0
    pods: list[Pod] = field(default_factory=list)
    wanted: int | None = None
    slice: frozenset[str] | None = None
    gateways: set[str] = field(default_factory=lambda: {"g1", "g2"})
    order: GatewayOrder | None = None
    held: int = 0
    asked: float | None = None
    fresh: float | None = None
    """When the pods were asked last."""
    status: dict[str, Any] = field(default_factory=dict)
    in_force: list[tuple[float, frozenset[int], frozenset[str]]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    answers: int = 0
    refused: int = 0

    # -- what others do ----------------------------------------------------------------------------------------------

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds / STEP)):
            self.now += STEP
            for pod in self.pods:
                if pod.ready_at is None and pod.gone_at is None and self.now - pod.born >= START_SECONDS:
                    pod.ready_at = self.now
                due = [each for each in pod.in_flight if each <= self.now]
                if due:
                    pod.in_flight = [each for each in pod.in_flight if each > self.now]
                    pod.answered = self.now
                    self.answers += len(due)
            self.pods = [
                pod for pod in self.pods if pod.gone_at is None or self.now < pod.gone_at + 20 or pod.in_flight
            ]
            self._gateway()
            self._publish()
            self.operate()

    def _gateway(self) -> None:
        ready = [pod for pod in self.pods if pod.ready_at is not None and pod.gone_at is None]
        if self.held and ready:
            ready[0].in_flight += [self.now + STEP] * self.held
            self.held = 0
        elif self.held and (self.asked is None or self.now - self.asked >= RENEW_SECONDS):
            self.asked = self.now

    def _publish(self) -> None:
        alive = frozenset(
            number for number, pod in enumerate(self.pods) if pod.ready_at is not None and pod.gone_at is None
        )
        born = frozenset(id(self.pods[number]) for number in alive)
        self.in_force.append((self.now, born, self.slice or frozenset()))
        self.in_force = [each for each in self.in_force if self.now - each[0] <= 2 * LAG_SECONDS + STEP]

    def request(self) -> None:
        """A request of a new connection, which may follow what was in force a moment ago."""
        if not self.in_force:
            return
        _, pods, gateways = self.draw.choice([each for each in self.in_force if self.now - each[0] <= LAG_SECONDS])
        targets = [*sorted(pods), *sorted(gateways)]
        if not targets:
            if self.started:
                self.lost.append(f"{self.now}: nobody there")
            return
        target = self.draw.choice(targets)
        if isinstance(target, int):
            pod = next((each for each in self.pods if id(each) == target), None)
            if pod is None or not pod.listens(self.now):
                self.lost.append(f"{self.now}: a pod that has stopped")
                return
            pod.in_flight.append(self.now + self.draw.choice([STEP, 2.0, 8.0]))
            return
        # A gateway that is not ready any more still answers, until no slice names it.
        ready = [pod for pod in self.pods if pod.ready_at is not None and pod.gone_at is None]
        if ready:
            self.asked = self.now
            ready[0].in_flight.append(self.now + STEP)
        elif self.order is not None and self.order.answer == "Hold":
            self.held += 1
            self.asked = self.now
        else:
            self.refused += 1

    @property
    def started(self) -> bool:
        """Whether the Service has ever led to anybody."""
        return self.slice is not None or any(pod.ready_at is not None for pod in self.pods) or self.answers > 0

    # -- the operator ------------------------------------------------------------------------------------------------

    def operate(self) -> None:
        for _ in range(6):
            before = (self.wanted, self.slice, self.fresh, self.order)
            plan = plan_deployment(self.observed())
            for action in plan.actions:
                self._apply(action)
            self.status = plan_deployment(self.observed()).status.to_json_object()
            if before == (self.wanted, self.slice, self.fresh, self.order):
                return

    def _apply(self, action: object) -> None:
        match action:
            case ApplyDeployment(replicas=count):
                self.wanted = count
                alive = [pod for pod in self.pods if pod.gone_at is None]
                for pod in alive[count:]:
                    pod.gone_at = self.now
                self.pods += [Pod(self.now) for _ in range(count - len(alive))]
            case ApplySlice(gateways=gateways):
                self.slice = frozenset(each.ip for each in gateways)
            case DeleteSlice():
                self.slice = None
            case ApplyOrder(order=order):
                self.order = order
            case AskPods():
                self.fresh = self.now

    def observed(self) -> DeploymentObserved:
        alive = [pod for pod in self.pods if pod.gone_at is None]
        ready = [pod for pod in alive if pod.ready_at is not None]
        app = None
        if self.wanted is not None:
            app = AppView(
                uid="app",
                observed_generation=1,
                wanted=self.wanted,
                replicas=len(alive),
                updated=len(alive),
                ready=len(ready),
            )
        age = 9.0 if self.fresh is None else self.now - self.fresh
        return DeploymentObserved(
            deployment=deployment(status=self.status, **self.spec),
            now=NOW + timedelta(seconds=self.now),
            app=app,
            service=ServiceView("svc", "10.1.2.3"),
            pods=tuple(self._view(pod) for pod in self.pods),
            ready_endpoints=len(self._endpoints()),
            answers=True,
            stats=tuple(self._stats(pod, age) for pod in ready),
            gateways=tuple(GatewayView(ip) for ip in sorted(self.gateways)),
            slice=None if self.slice is None else SliceView("slice", PORT, self.slice),
            wake=WakeView(PORT, since_asked=None if self.asked is None else self.now - self.asked),
        )

    def _endpoints(self) -> frozenset[int]:
        """Kubernetes' own, as the operator sees them: a moment late."""
        late = [each for each in self.in_force if self.now - each[0] >= LAG_SECONDS]
        return late[-1][1] if late else frozenset()

    def _stats(self, pod: Pod, age: float) -> PodStats:
        assert pod.ready_at is not None
        since = None if pod.answered is None else self.now - pod.answered
        return PodStats(len(pod.in_flight), since, self.now - pod.ready_at, age)

    def _view(self, pod: Pod) -> PodView:
        ready = pod.ready_at is not None and pod.gone_at is None
        return replace(
            pod_view(ready=ready, deleting=pod.gone_at is not None), created=NOW + timedelta(seconds=pod.born)
        )


EVENTS = st.one_of(
    st.tuples(st.just("wait"), st.sampled_from([0.25, 1.0, 5.0, 19.0, 20.0, 20.25, 21.0, 24.0, 60.0])),
    st.tuples(st.just("ask"), st.integers(1, 5)),
    st.tuples(st.just("gateways"), st.sampled_from([(), ("g1",), ("g1", "g2"), ("g3",)])),
    st.tuples(st.just("suspend"), st.booleans()),
)


@given(st.lists(EVENTS, min_size=5, max_size=25), st.integers(0, 2**32))
@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_no_request_is_lost(events: list[tuple[str, Any]], seed: int) -> None:
    world = World(random.Random(seed), {"inactivityTimeout": f"{TIMEOUT_SECONDS}s"})
    world.operate()
    world.advance(6)
    for kind, value in events:
        if kind == "wait":
            world.advance(value)
        elif kind == "gateways":
            world.gateways = set(value)
            world.operate()
            world.advance(2 * LAG_SECONDS + STEP)  # one that stops waits until no slice names it
        elif kind == "suspend":
            world.spec = {**world.spec, "suspend": value}
            world.operate()
        else:
            for _ in range(value):
                if world.gateways or world.observed().ready_endpoints:
                    world.request()
                world.operate()
                world.advance(STEP)
    assert not world.lost
    # Whatever happened: once there is a gateway again and nobody asks, what is held is answered, and it sleeps.
    world.spec = {**world.spec, "suspend": False}
    world.gateways = {"g1"}
    world.operate()
    world.advance(30)
    assert world.held == 0
    world.advance(2 * TIMEOUT_SECONDS + 30)
    assert world.wanted == 0
    assert world.status["phase"] == "Sleeping"
    world.request()
    assert world.held == 1
    world.advance(START_SECONDS + 1)
    assert world.held == 0
    assert world.wanted == 1


@pytest.mark.parametrize("offset", [step / 4 for step in range(-8, 9)])
def test_a_request_at_the_very_moment_of_sleep(offset: float) -> None:
    world = World(random.Random(1), {"inactivityTimeout": f"{TIMEOUT_SECONDS}s"})
    world.operate()
    world.advance(START_SECONDS + STEP + TIMEOUT_SECONDS + offset)
    for _ in range(20):
        world.request()
        world.advance(STEP)
    world.advance(20)
    assert not world.lost
    assert world.answers == 20
