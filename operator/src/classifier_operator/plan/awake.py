"""Awake or asleep: the one table of precedence, a branch a row. The first row that matches decides.

| # | suspend | checkpoint | schedule | inactivityTimeout | activity | pods | a request gets |
|---|---|---|---|---|---|---|---|
| 1 | true | any | any | any | any | 0, drained | 503 without Retry-After |
| 2 | – | does not exist yet | any | any | any | 0 | 503, Retry-After |
| 3 | – | – | off, Sleep | any | any | 0, drained | 503, Retry-After until the next start, if there is one |
| 4 | – | – | off, WakeOnRequest | set | yes | N | served or held |
| 5 | – | – | off, WakeOnRequest | set | no | 0 | held, wakes |
| 6 | – | – | on, or none | absent | any | N | served |
| 7 | – | – | on, or none | set | yes | N | served |
| 8 | – | – | on, or none | set | no | 0 | held, wakes; with onRequest false 503, Retry-After until the next start |
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

WAITING_RETRY_SECONDS: Final = 30
"""Retry-After while a checkpoint is waited for: nobody knows how long that takes."""


@dataclass(frozen=True, slots=True)
class ScheduleNow:
    """What a schedule says at this moment."""

    on: bool
    wakes_outside: bool
    """Whether a request wakes the deployment outside of the windows."""
    started: datetime | None
    """When the present window began; None outside of windows."""
    next_start: datetime | None
    """None: never, or none is known."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the table looks at."""

    suspended: bool
    has_model: bool
    schedule: ScheduleNow | None
    sleeps_when_idle: bool
    """Whether inactivityTimeout is set."""
    wakes_on_request: bool
    active: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the table says."""

    row: int
    awake: bool
    reason: str
    answer: Literal["Hold", "Refuse"] = "Hold"
    """What a request gets while no pod is ready."""
    retry_at: datetime | None = None
    retry_after_seconds: int | None = None

    @property
    def for_idleness(self) -> bool:
        """Whether it sleeps only because nothing is asked, so that a request in flight or to come must not be lost."""
        return self.row in (5, 8)


def decide(facts: Facts) -> Verdict:
    """The first row that matches."""
    schedule = facts.schedule
    if facts.suspended:
        return Verdict(1, False, "Suspended", "Refuse")
    if not facts.has_model:
        return Verdict(2, False, "WaitingForCheckpoint", "Refuse", retry_after_seconds=WAITING_RETRY_SECONDS)
    if schedule is not None and not schedule.on:
        if not schedule.wakes_outside:
            return Verdict(3, False, "OutsideSchedule", "Refuse", retry_at=schedule.next_start)
        if facts.active:
            return Verdict(4, True, "WokenByRequest")
        return Verdict(5, False, "OutsideSchedule")
    if not facts.sleeps_when_idle:
        return Verdict(6, True, "AlwaysOn" if schedule is None else "InSchedule")
    if facts.active:
        return Verdict(7, True, "Active")
    if facts.wakes_on_request:
        return Verdict(8, False, "Idle")
    return Verdict(8, False, "Idle", "Refuse", retry_at=schedule.next_start if schedule is not None else None)
