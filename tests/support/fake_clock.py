"""A clock that stands still until it is moved."""

from __future__ import annotations

from datetime import datetime, timedelta

from support.builders import NOW


class FakeClock:
    """Time of day and monotonic time, moved together or apart."""

    def __init__(self, now: datetime = NOW) -> None:
        self._now = now
        self._monotonic = 1000.0

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._monotonic

    def wall(self) -> float:
        return self._now.timestamp()

    def advance(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def advance_wall(self, seconds: float) -> None:
        """As after the sleep of a machine: the monotonic clock stood still."""
        self._now += timedelta(seconds=seconds)

    def advance_monotonic(self, seconds: float) -> None:
        """As when the time of day was set back meanwhile."""
        self._monotonic += seconds
