"""Which waiting texts are computed together: a pure decision over the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar


@dataclass(eq=False, slots=True)
class Caller:
    """One request's place in the queue. `served` is when a batch last took a text of it, at first when it came."""

    served: float


CallerT = TypeVar("CallerT", bound=Caller)


@dataclass(eq=False, slots=True)
class Waiting(Generic[CallerT]):
    """One text that waits: its caller, its row in the caller's request, its token ids."""

    caller: CallerT
    row: int
    ids: Sequence[int]
    length: int = field(init=False)

    def __post_init__(self) -> None:
        self.length = len(self.ids)


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """Bounds of one batch."""

    tokens: int
    """Padding included."""
    padding: float | None
    """Share of the batch; None: texts are not padded."""

    def tokens_of(self, texts: int, longest: int, real: int) -> int:
        """Tokens that a batch costs."""
        return real if self.padding is None else texts * longest


def select(queue: Sequence[Waiting[CallerT]], limits: BatchLimits) -> list[Waiting[CallerT]]:
    """The next batch out of `queue` (oldest first, not empty), at least one text and within `limits` beyond that.

    It starts with the oldest text of the caller who was served longest ago, so that a caller of 256 texts and one of a
    single text take turns. The texts of nearest length join it, or the oldest ones where texts are not padded: first
    each caller's fair share of the tokens, then whatever still fits.
    """
    first = min(queue, key=lambda waiting: waiting.caller.served)
    if len(queue) == 1:
        return [first]
    others = [waiting for waiting in queue if waiting is not first]
    if limits.padding is not None:
        others.sort(key=lambda waiting: abs(waiting.length - first.length))
    share = limits.tokens / len({id(waiting.caller) for waiting in queue})
    batch = _Filling(first, limits)
    left = [waiting for waiting in others if not batch.take(waiting, share)]
    for waiting in left:
        if batch.full:
            break
        batch.take(waiting, limits.tokens)
    return batch.members


class _Filling(Generic[CallerT]):
    """A batch while it fills up."""

    def __init__(self, first: Waiting[CallerT], limits: BatchLimits) -> None:
        self.members = [first]
        self._limits = limits
        self._longest = first.length
        self._sum = first.length
        self._by_caller = {id(first.caller): first.length}

    @property
    def full(self) -> bool:
        # The shortest text that could still come has one token.
        return self._limits.tokens_of(len(self.members) + 1, self._longest, self._sum + 1) > self._limits.tokens

    def take(self, waiting: Waiting[CallerT], share: float) -> bool:
        """Adds `waiting` unless it breaks a limit or its caller would hold more than `share` tokens of the batch."""
        if self.full:
            return False
        used = self._by_caller.get(id(waiting.caller), 0)
        if used and used + waiting.length > share:
            return False
        limits, longest, real = self._limits, max(self._longest, waiting.length), self._sum + waiting.length
        cost = limits.tokens_of(len(self.members) + 1, longest, real)
        if cost > limits.tokens or (limits.padding is not None and cost - real > limits.padding * cost):
            return False
        self.members.append(waiting)
        self._longest, self._sum = longest, real
        self._by_caller[id(waiting.caller)] = used + waiting.length
        return True
