"""The next change of a deployment that is known, for people who look at it."""

from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final
from zoneinfo import ZoneInfo

from classifier_operator.api.deployment import DeploymentSpec
from classifier_operator.api.sleep import NextTransition
from classifier_operator.plan.awake import Verdict
from classifier_operator.plan.idleness import Idleness
from classifier_operator.plan.schedule import Change, display_time

_COARSE: Final = timedelta(minutes=1)
"""A time that moves with every request is not written each time."""


def next_transition(
    spec: DeploymentSpec,
    verdict: Verdict,
    idle: Idleness,
    change: Change | None,
    *,
    now: datetime,
    before: NextTransition | None,
) -> NextTransition | None:
    """The earlier of what the schedule and what idleness will bring; None where neither brings anything.

    Args:
        change: when the schedule turns next.
        before: what was said last; kept while it is about right.
    """
    if verdict.row == 1:
        return None
    zone: tzinfo = ZoneInfo(spec.schedule.time_zone) if spec.schedule is not None else UTC
    candidates: list[tuple[datetime, str, str]] = []
    if change is not None:
        to = _by_schedule(spec, verdict, to_on=change.to)
        if to is not None:
            candidates.append((change.time, to, "schedule"))
    if verdict.awake and spec.inactivity_timeout is not None and idle.left is not None and not idle.unknown:
        candidates.append((now + timedelta(seconds=idle.left), "Sleeping", "idle"))
    if not candidates:
        return None
    time, to, why = min(candidates)
    if before is not None and (before.to, before.why) == (to, why) and abs(before.time - time) < _COARSE:
        time = before.time
    return NextTransition(display=f"{to} {display_time(time, zone, now)}", time=time, to=to, why=why)


def _by_schedule(spec: DeploymentSpec, verdict: Verdict, *, to_on: bool) -> str | None:
    """What the deployment becomes by a turn of its schedule; None: nothing else than it is."""
    if to_on:
        return None if verdict.awake else "Deployed"
    outside_sleeps = spec.schedule is not None and spec.schedule.outside == "Sleep"
    return "Sleeping" if outside_sleeps and verdict.awake else None
