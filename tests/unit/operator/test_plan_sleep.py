"""Going to sleep and waking, step by step: what is done in which order, and what the gateway is told meanwhile."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from classifier_operator.plan.deployment import plan_deployment
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyDisruptionBudget,
    ApplySlice,
    AskPods,
    DeleteDisruptionBudget,
    DeleteSlice,
    GatewayView,
    KeysView,
    PodStats,
    SliceView,
    WakeView,
)
from support.builders import NOW, ago, condition, deployment, pod_view, training_job
from support.sleeper import (
    ASLEEP,
    ASLEEP_APP,
    AWAKE,
    AWAKE_APP,
    BUSY,
    GATEWAY,
    IDLE_NOW,
    PORT,
    SLICE,
    STARTING,
    decide,
    kinds,
    observed,
    order,
    replicas,
    verdict,
)

# -- going to sleep ---------------------------------------------------------------------------------------------------


def test_the_slice_comes_first_then_a_last_look_then_the_pods_go() -> None:
    first = decide(**AWAKE)
    assert (kinds(first), replicas(first)) == (["ApplySlice"], 1)
    second = decide(**AWAKE, slice=SLICE)
    assert (kinds(second), replicas(second)) == (["AskPods"], 1)
    third = decide(**{**AWAKE, "stats": (IDLE_NOW,)}, slice=SLICE)
    assert (kinds(third), replicas(third)) == ([], 0)


def test_the_slice_is_applied_before_the_deployment_is_scaled() -> None:
    plan = decide(**{**AWAKE, "stats": (IDLE_NOW,)}, suspend=True)
    names = [type(each).__name__ for each in plan.actions]
    assert names.index("ApplySlice") < names.index("ApplyDeployment")
    assert replicas(plan) == 0, "a suspension waits for nobody"


def test_a_request_at_the_last_look_stops_the_sleep_and_the_slice_goes_again() -> None:
    plan = decide(**{**AWAKE, "stats": (BUSY,)}, slice=SLICE)
    assert (kinds(plan), replicas(plan)) == (["DeleteSlice"], 1)
    asked = decide(**{**AWAKE, "stats": (IDLE_NOW,)}, slice=SLICE, wake=WakeView(PORT, since_asked=0.05))
    assert (kinds(asked), replicas(asked)) == (["DeleteSlice"], 1)


@pytest.mark.parametrize(
    ("gateways", "present"),
    [((), None), ((), SLICE), ((GatewayView("10.0.0.2"),), SLICE)],
    ids=["no gateway", "the gateway has gone", "the slice leads to another gateway"],
)
def test_without_a_gateway_nothing_sleeps_for_idleness(
    gateways: tuple[GatewayView, ...], present: SliceView | None
) -> None:
    plan = decide(**{**AWAKE, "stats": (IDLE_NOW,)}, gateways=gateways, slice=present)
    assert replicas(plan) == 1
    assert plan.status.message == "going to sleep: it stays awake until a gateway pod is ready to take its requests"
    assert plan.again_after == 1.0


def test_without_a_gateway_a_suspension_and_a_schedule_still_hold() -> None:
    assert replicas(decide(**AWAKE, gateways=(), wake=None, suspend=True)) == 0
    night = {"timeZone": "UTC", "windows": [{"start": "0 14 * * *", "stop": "0 15 * * *"}]}
    assert replicas(decide(**AWAKE, gateways=(), wake=None, schedule=night)) == 0


def test_a_pod_that_does_not_say_keeps_it_awake_and_the_status_says_so() -> None:
    plan = decide(**{**AWAKE, "stats": (None,)})
    assert replicas(plan) == 1
    assert verdict(plan.status, "ActivityUnknown") == "True/PodSilent"
    assert verdict(decide(**AWAKE).status, "ActivityUnknown") == "False/Known"


# -- asleep -----------------------------------------------------------------------------------------------------------


def test_asleep_counts_as_ready_for_kstatus() -> None:
    plan = decide(**ASLEEP)
    assert (plan.status.phase, plan.status.ready, plan.status.replicas) == ("Sleeping", "0/0", 0)
    assert verdict(plan.status, "Ready") == "True/Asleep"
    assert verdict(plan.status, "Awake") == "False/Idle"
    assert plan.status.message == "asleep, since nothing was asked for 10 minutes; the next request wakes it"
    assert kinds(plan) == []


def test_a_new_model_is_applied_asleep_and_wakes_nobody() -> None:
    plan = decide(**ASLEEP, metadata={"generation": 2}, model={"uri": "file:///newer"})
    assert [each for each in plan.actions if isinstance(each, ApplyDeployment)] == [ApplyDeployment(0, "file:///newer")]


def test_the_gateway_pods_of_now_stand_in_the_slice() -> None:
    other = GatewayView("10.0.0.2", "node-b", "gateway-2")
    plan = decide(**ASLEEP, gateways=(GATEWAY, other))
    assert ApplySlice(PORT, (GATEWAY, other)) in plan.actions
    assert kinds(decide(**ASLEEP, gateways=())) == ["AskGateways"]


@pytest.mark.parametrize(
    ("given", "answer", "retry"),
    [
        ({}, "Hold", (None, None)),
        ({"suspend": True}, "Refuse", (None, None)),
        ({"wake": {"onRequest": False}}, "Refuse", (None, None)),
        (
            {"schedule": {"timeZone": "UTC", "windows": [{"start": "0 14 * * *", "stop": "0 15 * * *"}]}},
            "Refuse",
            (NOW + timedelta(hours=2), None),
        ),
        (
            {
                "schedule": {
                    "timeZone": "UTC",
                    "windows": [{"start": "0 14 * * *", "stop": "0 15 * * *"}],
                    "outside": "WakeOnRequest",
                }
            },
            "Hold",
            (None, None),
        ),
        ({"replicas": 0}, "Refuse", (None, None)),
        (
            {"model": {"checkpoint": {"trainingJobName": "r8"}}, "training_job": training_job("r8"), "app": None},
            "Refuse",
            (None, 30),
        ),
    ],
    ids=["idle", "suspended", "onRequest false", "off", "off, WakeOnRequest", "no replicas", "no checkpoint yet"],
)
def test_what_the_gateway_is_told(given: dict[str, Any], answer: str, retry: tuple[Any, Any]) -> None:
    wake_spec = given.pop("wake", None)
    seen = observed(**{**ASLEEP, **given})
    if wake_spec is not None:
        made = deployment(inactivityTimeout="10m", wake=wake_spec)
        seen = replace(seen, deployment=made)
    told = order(plan_deployment(seen))
    assert (told.answer, (told.retry_at, told.retry_after_seconds)) == (answer, retry)


def test_the_order_carries_limits_keys_and_the_time_of_a_wake() -> None:
    plan = decide(**ASLEEP, keys=KeysView(("a" * 64,)), status={"wakeSeconds": 7.9})
    told = order(plan)
    assert (told.key_digests, told.wake_seconds, told.hold_seconds, told.max_held) == (("a" * 64,), 7.9, 300, 1000)
    assert order(decide(**ASLEEP)).key_digests is None
    assert order(decide(**ASLEEP, keys=KeysView((), "gone"))).key_digests == ()


# -- waking -----------------------------------------------------------------------------------------------------------


def test_a_request_wakes_and_the_slice_stays_until_an_endpoint_is_ready() -> None:
    asleep = {"phase": "Sleeping", "observedGeneration": 1}
    asked = decide(**ASLEEP, wake=WakeView(PORT, since_asked=0.01), status=asleep)
    assert (kinds(asked), replicas(asked), asked.status.phase) == ([], 1, "Waking")
    waking = {"phase": "Waking", "observedGeneration": 1}
    assert isinstance(asked.actions[0], ApplyDeployment), "nothing comes before the pods: somebody waits"
    starting = decide(app=STARTING, pods=(pod_view(ready=False),), slice=SLICE, status=waking)
    assert (kinds(starting), replicas(starting), starting.status.phase) == ([], 1, "Waking")
    ready = {**AWAKE, "stats": (PodStats(0, None, 0.5, 0.1),), "status": waking}
    pod_ready = decide(**{**ready, "ready_endpoints": 0}, slice=SLICE)
    assert "DeleteSlice" not in kinds(pod_ready), "the pod is ahead of the endpoint slice controller"
    endpoint_ready = decide(**ready, slice=SLICE)
    assert DeleteSlice("slice") in endpoint_ready.actions
    assert endpoint_ready.status.phase == "Waking"
    assert decide(**ready).status.phase == "Deployed"


def test_endpoints_of_pods_that_are_about_to_go_lead_nowhere() -> None:
    """A request right after the pods were told to go: Kubernetes' own slices still name them."""
    woken = {**AWAKE, "stats": (IDLE_NOW,), "slice": SLICE, "wake": WakeView(PORT, since_asked=0.1)}
    slept_just_now = [{**condition("Awake", False, "Idle"), "lastTransitionTime": "2026-03-01T11:59:59Z"}]
    woken_just_now = [{**condition("Awake", True, "Active"), "lastTransitionTime": "2026-03-01T11:59:59Z"}]
    for conditions in (slept_just_now, woken_just_now):
        assert DeleteSlice("slice") not in decide(**woken, status={"conditions": conditions}).actions
    leaving = {**woken, "pods": (pod_view(deleting=True),)}
    assert DeleteSlice("slice") not in decide(**leaving).actions
    assert DeleteSlice("slice") in decide(**woken, status={"conditions": [condition("Awake", True)]}).actions


def test_a_crash_is_held_too() -> None:
    plan = decide(app=replace(AWAKE_APP, ready=0), pods=(pod_view(ready=False),), ready_endpoints=0)
    assert ApplySlice(PORT, (GATEWAY,)) in plan.actions


def test_how_long_it_took_is_told() -> None:
    woken = {**AWAKE, "stats": (PodStats(0, None, 0.5, 0.1),), "wake": WakeView(PORT, took=7.94)}
    assert decide(**woken).status.wake_seconds == 7.9
    assert decide(**{**woken, "wake": WakeView(PORT)}, status={"wakeSeconds": 3.2}).status.wake_seconds == 3.2


def test_a_wake_that_fails_is_told_and_given_up() -> None:
    late = {
        "app": STARTING,
        "pods": (pod_view(ready=False, created=ago(1816), phase="Pending", unschedulable="no GPU"),),
        "slice": SLICE,
    }
    first = decide(**late, wake=WakeView(PORT, since_asked=1), status={"phase": "Waking", "observedGeneration": 1})
    why = "no pod became ready within startupTimeout (1800 s): the pod waits for a node: no GPU"
    assert (first.status.phase, first.status.message, replicas(first)) == ("Failed", why, 1)
    assert (order(first).failed_at, order(first).message) == (NOW, f"news did not become ready: {why}")
    assert first.again_after is not None
    assert first.again_after < 1
    known = first.status.to_json_object()
    second = decide(**late, wake=WakeView(PORT, since_asked=1.1), status=known, now=NOW + timedelta(seconds=0.1))
    assert (second.status.phase, second.status.message, replicas(second)) == ("Failed", why, 0)
    gone = {"app": ASLEEP_APP, "slice": SLICE, "now": NOW + timedelta(seconds=60)}
    third = decide(**gone, wake=WakeView(PORT, since_asked=61), status=known)
    assert (third.status.phase, third.status.message, replicas(third)) == ("Failed", why, 0)
    assert (order(third).failed_at, order(third).answer) == (NOW, "Hold")
    again = decide(**gone, wake=WakeView(PORT, since_asked=0.1), status=known)
    assert (again.status.phase, replicas(again), order(again).failed_at) == ("Deploying", 1, NOW)
    changed = decide(**gone, status=known, metadata={"generation": 2})
    assert changed.status.phase == "Sleeping"


def test_without_a_timeout_nothing_is_given_up() -> None:
    seen = observed(app=STARTING, pods=(pod_view(ready=False, created=ago(3600)),), slice=SLICE)
    plan = plan_deployment(replace(seen, deployment=deployment()))
    assert (plan.status.phase, replicas(plan), order(plan).failed_at) == ("Failed", 1, None)


# -- schedule, scale, budget ------------------------------------------------------------------------------------------


def test_the_next_transition_is_the_earlier_of_schedule_and_idleness() -> None:
    day = {"timeZone": "Europe/Berlin", "windows": [{"start": "0 8 * * *", "stop": "0 20 * * *"}]}
    used = {**AWAKE, "stats": (PodStats(0, 60.0, 5000.0, 0.1),)}
    plan = decide(**used, schedule=day)
    upcoming = plan.status.next_transition
    assert upcoming is not None
    assert (upcoming.display, upcoming.to, upcoming.why) == ("Sleeping 13:09 CET", "Sleeping", "idle")
    seen = observed(**used)
    always = plan_deployment(replace(seen, deployment=deployment(schedule=day)))
    assert always.status.next_transition is not None
    assert always.status.next_transition.display == "Sleeping 20:00 CET"
    assert always.again_after == 600
    off = decide(**ASLEEP, schedule=day, now=NOW.replace(hour=22))
    assert off.status.next_transition is not None
    assert off.status.next_transition.to == "Deployed"
    assert decide(**ASLEEP).status.next_transition is None


def test_a_time_that_moves_a_little_is_not_written_again() -> None:
    first = decide(**{**AWAKE, "stats": (PodStats(0, 60.0, 5000.0, 0.1),)})
    known = first.status.to_json_object()
    moved = decide(**{**AWAKE, "stats": (PodStats(0, 30.0, 5000.0, 0.1),)}, status=known)
    assert moved.status.to_json_object() == known
    later = decide(
        **{**AWAKE, "stats": (PodStats(0, 1.0, 5000.0, 0.1),)}, status=known, now=NOW + timedelta(seconds=61)
    )
    assert later.status.last_request_time == NOW + timedelta(seconds=60)


def test_an_unknown_zone_is_told_and_changes_nothing_that_runs() -> None:
    plan = decide(
        **AWAKE, schedule={"timeZone": "Mars/Olympus", "windows": [{"start": "0 8 * * *", "stop": "0 9 * * *"}]}
    )
    assert plan.actions == ()
    assert verdict(plan.status, "Stalled") == "True/InvalidTimeZone"
    assert "schedule.timeZone" in (plan.status.message or "")


@pytest.mark.parametrize(
    ("demand", "running", "wanted"),
    [(None, 0, 2), (None, 3, 3), (1, 3, 2), (3, 2, 3), (9, 2, 4)],
    ids=["unknown, from 0", "unknown, running", "less than the least", "between", "more than the most"],
)
def test_autoscaling(demand: int | None, running: int, wanted: int) -> None:
    scaling = {"minReplicas": 2, "maxReplicas": 4, "targetInFlight": 8}
    app = replace(AWAKE_APP, wanted=running, replicas=running, updated=running, ready=running)
    plan = decide(app=app, stats=(BUSY,), ready_endpoints=1, autoscaling=scaling, steady_demand=demand, replicas=7)
    assert replicas(plan) == wanted


def test_more_pods_than_the_least_are_looked_at_again_soon() -> None:
    scaling = {"minReplicas": 1, "maxReplicas": 4}
    seen: dict[str, Any] = {"app": replace(AWAKE_APP, wanted=3, replicas=3, updated=3, ready=3), "ready_endpoints": 3}
    made = replace(observed(**seen, answers=True, steady_demand=3), deployment=deployment(autoscaling=scaling))
    assert plan_deployment(made).again_after == 10
    assert plan_deployment(replace(made, steady_demand=1, app=AWAKE_APP)).again_after == 600


def test_a_disruption_budget_only_with_more_than_one_pod() -> None:
    assert ApplyDisruptionBudget() in decide(**AWAKE, replicas=2).actions
    assert ApplyDisruptionBudget() not in decide(**AWAKE, replicas=2, has_disruption_budget=True).actions
    assert DeleteDisruptionBudget() in decide(**AWAKE, has_disruption_budget=True).actions


def test_scaled_by_somebody_while_asleep_it_stays_asleep() -> None:
    plan = decide(**ASLEEP, replicas=3, metadata={"generation": 2})
    assert (replicas(plan), plan.status.replicas, plan.status.phase) == (0, 0, "Sleeping")


def test_the_last_look_is_asked_for_once_and_is_not_the_old_answer() -> None:
    assert AskPods() not in decide(**{**AWAKE, "stats": (BUSY,)}, slice=SLICE).actions
