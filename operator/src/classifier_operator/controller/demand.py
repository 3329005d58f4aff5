"""The most pods that were called for within a window: what a deployment is scaled down to, not sooner and not lower."""

from collections import deque
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

WINDOW_SECONDS: Final = 60.0

K = TypeVar("K", bound=Hashable)


class SteadyDemand(Generic[K]):
    """The highest demand of each key within the last `window` seconds. A demand lasts until the next is noted."""

    def __init__(self, *, monotonic: Callable[[], float], window: float = WINDOW_SECONDS) -> None:
        self._monotonic = monotonic
        self._window = window
        self._seen: dict[K, deque[tuple[float, int]]] = {}
        """Falling demands, each with the time until which it lasted."""

    def note(self, key: K, demand: int, *, running: int) -> int:
        """Notes the demand from now on, and returns the highest of the window.

        Args:
            demand: pods that are called for now.
            running: pods that there are; before anything was noted they count as called for until now.
        """
        now = self._monotonic()
        seen = self._seen.setdefault(key, deque([(now, running)]))
        last = seen.pop()[1]
        _push(seen, now, last)
        _push(seen, now, demand)
        while seen[0][0] < now - self._window:
            seen.popleft()
        return seen[0][1]

    def forget(self, key: K) -> None:
        self._seen.pop(key, None)


def _push(seen: deque[tuple[float, int]], at: float, demand: int) -> None:
    # What is lower and ended sooner can never be the highest again.
    while seen and seen[-1][1] <= demand:
        seen.pop()
    seen.append((at, demand))
