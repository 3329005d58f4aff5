"""Writes of progress share a budget: oldest first, so that no job is forgotten while others chatter."""

import asyncio
import heapq
from collections.abc import Callable, Hashable
from datetime import datetime
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class ProgressBudget(Generic[K]):
    """Grants writes at an even rate. Who is refused is called back with a grant when its turn comes."""

    def __init__(self, *, writes_per_second: float, on_grant: Callable[[K], None]) -> None:
        self._pause = 1.0 / writes_per_second
        self._on_grant = on_grant
        self._waiting: dict[K, datetime] = {}
        self._heap: list[tuple[datetime, int, K]] = []
        self._granted: set[K] = set()
        self._count = 0
        self._wake = asyncio.Event()

    def take(self, key: K, last_written: datetime) -> bool:
        """Whether this key may write its progress now; if not, it is queued by when it last did."""
        if key in self._granted:
            self._granted.discard(key)
            return True
        if key not in self._waiting:
            self._waiting[key] = last_written
            self._count += 1
            heapq.heappush(self._heap, (last_written, self._count, key))
            self._wake.set()
        return False

    def forget(self, key: K) -> None:
        """The key needs no grant any more: it has written everything, or is gone."""
        self._waiting.pop(key, None)
        self._granted.discard(key)

    async def run(self) -> None:
        """Grants for ever."""
        while True:
            await self._wake.wait()
            key = self._oldest()
            if key is None:
                self._wake.clear()
                continue
            self._granted.add(key)
            self._on_grant(key)
            await asyncio.sleep(self._pause)

    def _oldest(self) -> K | None:
        while self._heap:
            last_written, _, key = heapq.heappop(self._heap)
            if self._waiting.get(key) == last_written:
                del self._waiting[key]
                return key
        return None
