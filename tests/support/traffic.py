"""Counts requests: how each one ended, and whether that is what was promised.

A request ends with its right answer, or with the advice to come again (429 or 503 with Retry-After) where that is
promised; everything else is a lost request. Only a connection that broke is a reason to ask again: once where it was
an idle one that was used again (RFC 9112, section 9.3.1), and as often as the promise says otherwise.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

_KEPT_LOSSES = 20


class Outcome(StrEnum):
    """How one try ended."""

    RIGHT = "right"
    WRONG = "wrong"
    """200 with another answer than the right one."""
    LATER = "later"
    """429 or 503 with Retry-After."""
    UNAVAILABLE = "unavailable"
    """429 or 503 without."""
    OTHER = "other"
    """Another code."""
    BROKEN = "broken"
    """No connection, or it ended before the whole answer was there."""
    TIMEOUT = "timeout"
    """Nothing in time."""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request whose right answer is known."""

    body: bytes
    is_right: Callable[[bytes], bool]
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = "/v1/classification"


@dataclass(frozen=True, slots=True)
class Try:
    """One exchange.

    Attributes:
        began: Unix time.
        seconds: until its end.
        held_ms: for how long the gateway says that it held it; None: it went to a server at once.
        idle: it was sent on a connection that had been idle, and no answer had begun when that broke.
        detail: code and words of what is not a right answer.
    """

    outcome: Outcome
    began: float
    seconds: float
    code: int | None = None
    held_ms: int | None = None
    retry_after: int | None = None
    idle: bool = False
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a caller may rely on.

    Attributes:
        seconds: the request has ended by then.
        tries: so often a request is sent that meets broken connections.
        pause: seconds before it is sent again.
        later: the advice to come again is a fair answer.
    """

    seconds: float = 180.0
    tries: int = 1
    pause: float = 2.0
    later: bool = False


@dataclass(frozen=True, slots=True)
class Answered:
    """A request and all of its tries."""

    tries: tuple[Try, ...]
    kept: bool
    """Whether it ended as promised."""

    @property
    def last(self) -> Try:
        return self.tries[-1]

    @property
    def seconds(self) -> float:
        """From the beginning of the first try to the end of the last."""
        return self.last.began + self.last.seconds - self.tries[0].began


def again_after(promise: Promise, tries: Sequence[Try], passed: float) -> float | None:
    """Seconds until the request is sent again; None: it has ended.

    Args:
        passed: seconds since the first try began.
    """
    if tries[-1].outcome is not Outcome.BROKEN:
        return None
    idle = sum(each.idle for each in tries)
    if tries[-1].idle and idle == 1:
        return 0.0 if passed < promise.seconds else None
    counted = len(tries) - min(idle, 1)
    if counted >= promise.tries or passed + promise.pause >= promise.seconds:
        return None
    return promise.pause


def is_kept(promise: Promise, tries: Sequence[Try]) -> bool:
    """Whether the last try is an end that was promised."""
    outcome = tries[-1].outcome
    return outcome is Outcome.RIGHT or (outcome is Outcome.LATER and promise.later)


@dataclass
class Tally:
    """Counts requests by their ends."""

    requests: int = 0
    lost: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """Outcomes of last tries."""
    broken: int = 0
    """Broken connections after which a request was sent again, idle ones left out."""
    idle: int = 0
    """Idle connections that turned out to be closed."""
    held: int = 0
    """Right answers that the gateway says it held."""
    slowest: float = 0.0
    """Seconds of the request that took longest."""
    losses: list[str] = field(default_factory=list)
    """The first lost requests, in words."""

    def add(self, answered: Answered) -> None:
        self.requests += 1
        self.ends[answered.last.outcome.value] += 1
        broken = [each for each in answered.tries[:-1] if each.outcome is Outcome.BROKEN]
        self.idle += sum(each.idle for each in broken)
        self.broken += sum(not each.idle for each in broken)
        self.held += answered.last.outcome is Outcome.RIGHT and answered.last.held_ms is not None
        self.slowest = max(self.slowest, answered.seconds)
        if not answered.kept:
            self.lost += 1
            self._remember([_words(answered)])

    def absorb(self, other: Tally) -> None:
        """Adds what another one counted."""
        self.requests += other.requests
        self.lost += other.lost
        self.ends += other.ends
        self.broken += other.broken
        self.idle += other.idle
        self.held += other.held
        self.slowest = max(self.slowest, other.slowest)
        self._remember(other.losses)

    def figures(self) -> dict[str, Any]:
        """Everything as JSON."""
        counts = {"requests": self.requests, "lost": self.lost, "broken": self.broken, "idle": self.idle}
        ends = dict(sorted(self.ends.items()))
        return {**counts, "held": self.held, "slowest": round(self.slowest, 3), "ends": ends, "losses": self.losses}

    @classmethod
    def of_figures(cls, figures: Mapping[str, Any]) -> Tally:
        """From what `figures` made."""
        return cls(**{**figures, "ends": Counter(figures["ends"]), "losses": list(figures["losses"])})

    def _remember(self, losses: Sequence[str]) -> None:
        self.losses += losses[: max(0, _KEPT_LOSSES - len(self.losses))]


def _words(answered: Answered) -> str:
    return "; then ".join(
        f"{time.strftime('%H:%M:%S', time.gmtime(each.began))} {each.outcome.value}"
        f" after {each.seconds:.2f} s{' on an idle connection' if each.idle else ''}"
        + (f" ({each.detail})" if each.detail else "")
        for each in answered.tries
    )
