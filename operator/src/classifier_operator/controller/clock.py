"""Time, as a seam for tests."""

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the controller knows of time."""

    def now(self) -> datetime:
        """The time of day in UTC."""

    def monotonic(self) -> float:
        """Seconds on a clock that never jumps."""


class SystemClock:
    """The clock of the machine."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()
