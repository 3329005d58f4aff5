"""What the decisions of schedules cost: a year of a thousand deployments, each with a schedule of its own."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from classifier_operator.api.schedule import Schedule
from classifier_operator.plan import schedule as plan
from classifier_operator.plan.deployment import LONGEST_WAIT_SECONDS

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata", "America/Sao_Paulo", "UTC")
_LONGEST_WAIT = timedelta(seconds=LONGEST_WAIT_SECONDS)


def cpu_seconds_per_day(*, deployments: int = 1000, days: int = 365, seed: int = 0) -> tuple[float, int, int]:
    """CPU seconds that a day of schedules costs, the looks that it took in all, and the changes among them.

    A deployment is looked at when its schedule changes, and otherwise as seldom as the operator ever looks.
    """
    draw = random.Random(seed)
    schedules = [random_schedule(draw) for _ in range(deployments)]
    looks = changes = 0
    begun = time.process_time()
    for each in schedules:
        for changed in _year(each, BEGIN, BEGIN + timedelta(days=days)):
            looks += 1
            changes += changed
    return (time.process_time() - begun) / days, looks, changes


def _year(schedule: Schedule, now: datetime, end: datetime) -> Iterator[bool]:
    """Looks at a schedule as the operator does; for each look, whether it was a turn of the schedule."""
    turned = False
    while now < end:
        parsed = plan.parse_schedule(schedule)
        change = plan.next_change(parsed, now)
        plan.active(parsed, now)
        plan.last_start(parsed, now)
        plan.next_start(parsed, now)
        yield turned
        later = now + _LONGEST_WAIT
        turned = change is not None and change.time <= later
        now = change.time if change is not None and turned else later


def random_schedule(draw: random.Random) -> Schedule:
    """Office hours, nights across midnight, weekends, several windows, and a date here and there."""
    windows = []
    for _ in range(draw.randint(1, 3)):
        start, length = draw.randrange(24 * 60), draw.randint(30, 7 * 60)
        stop = (start + length) % (24 * 60)
        days = draw.choice(["*", "1-5", "1-5", "6,0", "1,3,5"])
        stop_days = "*" if stop < start else days
        windows.append(
            {"start": f"{start % 60} {start // 60} * * {days}", "stop": f"{stop % 60} {stop // 60} * * {stop_days}"}
        )
    if draw.random() < 0.2:
        day = BEGIN + timedelta(days=draw.randrange(364))
        windows.append({"start": f"{day:%Y-%m-%d}T08:00:00", "stop": f"{day:%Y-%m-%d}T12:00:00"})
    return Schedule.from_json_object({"timeZone": draw.choice(ZONES), "windows": windows})
