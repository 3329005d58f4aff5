"""Whether a deployment is in use: a row a note of the rule."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.api.scalars import format_time
from classifier_operator.plan.awake import ScheduleNow
from classifier_operator.plan.idleness import idleness
from classifier_operator.plan.types import AppView, DeploymentObserved, PodStats, WakeView
from support.builders import NOW, ago, condition, deployment, pod_view

READY = AppView(uid="app", observed_generation=1, wanted=1, replicas=1, updated=1, ready=1)
STARTING = AppView(uid="app", observed_generation=1, wanted=1, replicas=1, updated=1, ready=0)
ROLLING = AppView(uid="app", observed_generation=2, generation=2, wanted=1, replicas=2, updated=1, ready=1)
ZERO = AppView(uid="app", observed_generation=1, wanted=0)
PORT = 10_001


def stats(*, in_flight: int = 0, completed: float | None = None, ready: float = 5000, age: float = 1) -> PodStats:
    return PodStats(in_flight, completed, ready, age)


def asked(seconds: float) -> WakeView:
    return WakeView(PORT, since_asked=seconds)


def window(seconds: float) -> ScheduleNow:
    return ScheduleNow(on=True, wakes_outside=False, started=ago(seconds), next_start=None)


ROWS: list[tuple[str, dict[str, Any], bool]] = [
    ("the first start", {"app": None}, True),
    ("nothing asked for the whole timeout", {"stats": (stats(completed=600),)}, False),
    ("an answer within it", {"stats": (stats(completed=599),)}, True),
    ("never asked, ready for long", {"stats": (stats(),)}, False),
    ("never asked, ready a while ago", {"stats": (stats(ready=30),)}, True),
    ("one in flight", {"stats": (stats(in_flight=1, completed=9000),)}, True),
    ("one in flight in the second pod", {"stats": (stats(completed=9000), stats(in_flight=1, completed=9000))}, True),
    ("the latest of two pods counts", {"stats": (stats(completed=9000), stats(completed=30))}, True),
    ("a pod does not say", {"stats": (stats(completed=9000), None)}, True),
    ("pods start", {"app": STARTING, "stats": ()}, True),
    ("pods are replaced", {"app": ROLLING, "stats": (stats(completed=9000),)}, True),
    ("held at this moment", {"stats": (stats(completed=9000),), "wake": asked(1)}, True),
    ("held a moment ago", {"app": ZERO, "wake": asked(9)}, True),
    ("held long ago, and not since", {"app": ZERO, "wake": asked(601)}, False),
    ("asked within the timeout, and asleep since", {"app": ZERO, "wake": asked(100)}, True),
    ("asleep", {"app": ZERO}, False),
    ("the window has just begun", {"app": ZERO, "schedule": window(5)}, True),
    ("the window began long ago", {"app": ZERO, "schedule": window(700)}, False),
    (
        "its suspension has ended",
        {"app": ZERO, "status": {"phase": "Suspended", "observedGeneration": 1}, "metadata": {"generation": 2}},
        True,
    ),
    ("woken by a person", {"app": ZERO, "annotations": {names.WAKE_ANNOTATION: format_time(ago(20))}}, True),
    ("woken by a person long ago", {"app": ZERO, "annotations": {names.WAKE_ANNOTATION: format_time(ago(900))}}, False),
    (
        "woken by a person whose clock is a little ahead",
        {"app": ZERO, "annotations": {names.WAKE_ANNOTATION: format_time(NOW + timedelta(seconds=40))}},
        True,
    ),
    (
        "a wish for later is none",
        {"app": ZERO, "annotations": {names.WAKE_ANNOTATION: format_time(NOW + timedelta(hours=3))}},
        False,
    ),
    (
        "sent to sleep before the window began",
        {
            "app": ZERO,
            "annotations": {names.SLEEP_ANNOTATION: format_time(ago(30))},
            "schedule": window(5),
        },
        True,
    ),
    (
        "sent to sleep before its pods became ready",
        {"stats": (stats(ready=20),), "annotations": {names.SLEEP_ANNOTATION: format_time(ago(30))}},
        True,
    ),
    ("an annotation that is no time", {"app": ZERO, "annotations": {names.WAKE_ANNOTATION: "now"}}, False),
    (
        "sent to sleep by a person",
        {"stats": (stats(completed=60),), "annotations": {names.SLEEP_ANNOTATION: format_time(ago(30))}},
        False,
    ),
    (
        "sent to sleep, asked since",
        {"stats": (stats(completed=20),), "annotations": {names.SLEEP_ANNOTATION: format_time(ago(30))}},
        True,
    ),
    (
        "sent to sleep, one in flight",
        {"stats": (stats(completed=60, in_flight=1),), "annotations": {names.SLEEP_ANNOTATION: format_time(ago(30))}},
        True,
    ),
    (
        "sent to sleep, woken since",
        {
            "stats": (stats(completed=60),),
            "annotations": {
                names.SLEEP_ANNOTATION: format_time(ago(30)),
                names.WAKE_ANNOTATION: format_time(ago(10)),
            },
        },
        True,
    ),
    ("the wake failed, asked before", {"app": ZERO, "wake": asked(8), "failed": 5}, False),
    ("the wake failed, asked since", {"app": ZERO, "wake": asked(1), "failed": 8}, True),
    ("the wake failed, its pods are still there", {"app": STARTING, "stats": (), "failed": 5}, False),
]


def observed(
    *,
    app: AppView | None = READY,
    status: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    timeout: str = "10m",
    **more: Any,
) -> DeploymentObserved:
    made = deployment(
        status=status, metadata={**(metadata or {}), "annotations": annotations or {}}, inactivityTimeout=timeout
    )
    return DeploymentObserved(deployment=made, now=NOW, app=app, pods=(pod_view(),), **more)


@pytest.mark.parametrize(("given", "active"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_note(given: dict[str, Any], active: bool) -> None:
    given = dict(given)
    schedule, failed = given.pop("schedule", None), given.pop("failed", None)
    found = idleness(observed(**given), schedule, None if failed is None else ago(failed))
    assert found.active is active, found


def test_without_a_timeout_it_is_never_idle() -> None:
    never = DeploymentObserved(deployment=deployment(), now=NOW, app=READY, stats=(stats(completed=1e9),))
    assert idleness(never, None, None).active


def test_a_silent_pod_is_told_from_a_busy_one() -> None:
    assert idleness(observed(stats=(None,)), None, None).unknown
    assert not idleness(observed(stats=(stats(in_flight=1),)), None, None).unknown


def test_it_says_when_it_may_be_idle_at_the_earliest() -> None:
    assert idleness(observed(stats=(stats(completed=60),)), None, None).left == 540
    assert idleness(observed(stats=(stats(completed=60, in_flight=1),)), None, None).left is None


def test_the_last_request_survives_the_pods() -> None:
    before = {"lastRequestTime": format_time(ago(3000)), "conditions": [condition("Awake", False)]}
    assert idleness(observed(app=ZERO, status=before), None, None).last_request == ago(3000)
    assert idleness(observed(stats=(stats(completed=60),), status=before), None, None).last_request == ago(60)
