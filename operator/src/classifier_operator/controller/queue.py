"""A queue of keys as controller-runtime has it: a key waits once, runs once at a time, and comes back when asked to."""

import asyncio
import heapq
import random
from collections import deque
from collections.abc import Callable
from typing import Final, Generic, TypeVar

from classifier_operator.metrics import QUEUE_DEPTH

K = TypeVar("K")

FIRST_RETRY_SECONDS: Final = 0.2
LONGEST_RETRY_SECONDS: Final = 120.0


class KeyQueue(Generic[K]):
    """Keys to be worked on.

    A key that is added while it waits is not added again; one that is added while it is worked on waits until that is
    done. Not thread-safe: one event loop.
    """

    def __init__(self, *, monotonic: Callable[[], float], jitter: Callable[[], float] = random.random) -> None:
        self._monotonic = monotonic
        self._jitter = jitter
        self._ready: deque[K] = deque()
        self._dirty: set[K] = set()
        self._active: set[K] = set()
        self._failures: dict[K, int] = {}
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0
        self._wake = asyncio.Event()

    def __len__(self) -> int:
        return len(self._ready)

    def add(self, key: K) -> None:
        """Wants the key to be worked on soon."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._active:
            self._ready.append(key)
            QUEUE_DEPTH.set(len(self._ready))
            self._wake.set()

    def add_after(self, key: K, seconds: float) -> None:
        """Wants the key to be worked on in a while; of several times the earliest counts."""
        if seconds <= 0:
            self.add(key)
            return
        at = self._monotonic() + seconds
        if self._due.get(key, at + 1) <= at:
            return
        self._due[key] = at
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, key))
        self._wake.set()

    def retry(self, key: K) -> float:
        """Wants the key again after a failure, later with each one in a row; returns the seconds until then."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        longest: float = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(failures, 20))
        seconds = longest * (0.5 + 0.5 * self._jitter())
        self.add_after(key, seconds)
        return seconds

    def forget_failures(self, key: K) -> None:
        self._failures.pop(key, None)

    def failures(self, key: K) -> int:
        """Failures of this key in a row."""
        return self._failures.get(key, 0)

    async def get(self) -> K:
        """Waits for the next key. Whoever got one calls `done` with it."""
        while True:
            pause = self._promote()
            if self._ready:
                key = self._ready.popleft()
                QUEUE_DEPTH.set(len(self._ready))
                self._dirty.discard(key)
                self._active.add(key)
                if self._ready:
                    self._wake.set()  # for the other workers
                return key
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), pause)
            except TimeoutError:
                continue

    def done(self, key: K) -> None:
        self._active.discard(key)
        if key in self._dirty:
            self._ready.append(key)
            QUEUE_DEPTH.set(len(self._ready))
            self._wake.set()

    def _promote(self) -> float | None:
        """Moves keys whose time has come; returns the seconds until the next one's."""
        now = self._monotonic()
        while self._heap:
            at, _, key = self._heap[0]
            if self._due.get(key) != at:
                heapq.heappop(self._heap)  # an earlier time came in between
            elif at <= now:
                heapq.heappop(self._heap)
                del self._due[key]
                self.add(key)
            else:
                return at - now
        return None
