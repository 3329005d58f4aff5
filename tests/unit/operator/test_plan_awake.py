"""The table of precedence: a test a row, and a test a note beneath it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from classifier_operator.plan.awake import Facts, ScheduleNow, Verdict, decide

MONDAY = datetime(2026, 3, 2, 8, tzinfo=UTC)
ON = ScheduleNow(on=True, wakes_outside=False, started=datetime(2026, 3, 1, 8, tzinfo=UTC), next_start=MONDAY)
OFF = ScheduleNow(on=False, wakes_outside=False, started=None, next_start=MONDAY)
ON_REQUEST = ScheduleNow(on=False, wakes_outside=True, started=None, next_start=MONDAY)
PLAIN = Facts(
    suspended=False, has_model=True, schedule=None, sleeps_when_idle=False, wakes_on_request=True, active=False
)
SLEEPER = replace(PLAIN, sleeps_when_idle=True)

ROWS = [
    ("1 suspended", replace(PLAIN, suspended=True), Verdict(1, False, "Suspended", "Refuse")),
    (
        "2 no checkpoint yet",
        replace(PLAIN, has_model=False),
        Verdict(2, False, "WaitingForCheckpoint", "Refuse", retry_after_seconds=30),
    ),
    (
        "3 off, Sleep",
        replace(SLEEPER, schedule=OFF, active=True),
        Verdict(3, False, "OutsideSchedule", "Refuse", retry_at=MONDAY),
    ),
    (
        "3 off for ever: no Retry-After",
        replace(PLAIN, schedule=replace(OFF, next_start=None)),
        Verdict(3, False, "OutsideSchedule", "Refuse"),
    ),
    ("4 off, woken", replace(SLEEPER, schedule=ON_REQUEST, active=True), Verdict(4, True, "WokenByRequest")),
    ("5 off, not asked", replace(SLEEPER, schedule=ON_REQUEST), Verdict(5, False, "OutsideSchedule")),
    ("6 always on", PLAIN, Verdict(6, True, "AlwaysOn")),
    ("6 in a window", replace(PLAIN, schedule=ON), Verdict(6, True, "InSchedule")),
    ("7 in use", replace(SLEEPER, active=True), Verdict(7, True, "Active")),
    ("7 in use, in a window", replace(SLEEPER, schedule=ON, active=True), Verdict(7, True, "Active")),
    ("8 idle", SLEEPER, Verdict(8, False, "Idle")),
    ("8 idle, in a window", replace(SLEEPER, schedule=ON), Verdict(8, False, "Idle")),
    (
        "8 idle, onRequest false, in a window",
        replace(SLEEPER, schedule=ON, wakes_on_request=False),
        Verdict(8, False, "Idle", "Refuse", retry_at=MONDAY),
    ),
    (
        "8 idle, onRequest false, no schedule",
        replace(SLEEPER, wakes_on_request=False),
        Verdict(8, False, "Idle", "Refuse"),
    ),
]


@pytest.mark.parametrize(("facts", "verdict"), [row[1:] for row in ROWS], ids=[row[0] for row in ROWS])
def test_a_row(facts: Facts, verdict: Verdict) -> None:
    assert decide(facts) == verdict


def test_an_earlier_row_wins_over_every_later_one() -> None:
    """All facts that call for an earlier row are put over those of every later one."""
    causes = [
        {"suspended": True},
        {"has_model": False},
        {"schedule": OFF},
    ]
    for number, cause in enumerate(causes, 1):
        for _, facts, verdict in ROWS:
            if verdict.row >= number:
                assert decide(replace(facts, **cause)).row == number  # type: ignore[arg-type]  # a field each


def test_only_idleness_waits_for_a_gateway() -> None:
    assert {verdict.row for _, _, verdict in ROWS if verdict.for_idleness} == {5, 8}
