"""Asks server pods for their activity, every few seconds, a limited number at a time."""

import asyncio
import contextlib
import random
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from classifier_operator.metrics import POLLS
from classifier_operator.pods.http import PodHttp, host
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.stats import STATS_PATH, STATS_PORT, ServerStats

_AT_A_TIME: Final = 50
_TOO_MANY_MISSES: Final = 2

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True, slots=True)
class Said:
    """What a pod said, and how many seconds ago."""

    stats: ServerStats
    age: float


@dataclass(slots=True)
class _Pod:
    address: str
    stats: ServerStats | None = None
    at: float = 0.0
    misses: int = 0

    @property
    def known(self) -> ServerStats | None:
        return self.stats if self.misses < _TOO_MANY_MISSES else None


@dataclass(slots=True)
class _Target:
    seconds: float
    counts: bool
    pods: dict[str, _Pod] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None
    hurry: asyncio.Event = field(default_factory=asyncio.Event)
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


class StatsPoller(Generic[K]):
    """One round of questions after the other to the pods of each key.

    Args:
        monotonic: seconds on a clock that never jumps.
        on_change: told of a key when a pod of it falls silent or speaks again, and, where they count, when its requests
            in flight change. Time that passes without a request is no news.
    """

    def __init__(self, http: PodHttp, *, monotonic: Callable[[], float], on_change: Callable[[K], None]) -> None:
        self._http = http
        self._monotonic = monotonic
        self._on_change = on_change
        self._targets: dict[K, _Target] = {}
        self._slots = asyncio.Semaphore(_AT_A_TIME)

    def watch(self, key: K, pods: Mapping[str, str], *, seconds: float, counts: bool) -> bool:
        """Asks these pods from now on, and no others of the key.

        Args:
            pods: IP address by UID.
            seconds: pause between two rounds.
            counts: whether each change of the requests in flight is news.

        Returns:
            Whether there are pods among them that have not been asked yet: `ask_now` does so at once.
        """
        if not pods:
            self.forget(key)
            return False
        target = self._targets.get(key)
        if target is None:
            target = self._targets[key] = _Target(seconds, counts)
            target.task = asyncio.create_task(self._poll(key, target), name=f"stats of {key}")
        if seconds < target.seconds:
            target.hurry.set()
        target.seconds, target.counts = seconds, counts
        for uid in target.pods.keys() - pods.keys():
            del target.pods[uid]
        new = pods.keys() - target.pods.keys()
        for uid in new:
            target.pods[uid] = _Pod(pods[uid])
        return bool(new)

    def forget(self, key: K) -> None:
        target = self._targets.pop(key, None)
        if target is not None and target.task is not None:
            target.task.cancel()

    def said(self, key: K, uids: Iterable[str]) -> tuple[Said | None, ...]:
        """What each of these pods said last; None where it has said nothing, or not answered twice in a row."""
        target, now = self._targets.get(key), self._monotonic()
        found: list[Said | None] = []
        for uid in uids:
            pod = target.pods.get(uid) if target is not None else None
            stats = pod.known if pod is not None else None
            found.append(None if pod is None or stats is None else Said(stats, max(0.0, now - pod.at)))
        return tuple(found)

    async def ask_now(self, key: K) -> None:
        """Asks the pods of a key, and returns when all have answered a question that was asked from now on."""
        target = self._targets.get(key)
        if target is not None:
            await self._round(target)

    async def close(self) -> None:
        tasks = [target.task for target in self._targets.values() if target.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._targets.clear()

    async def _poll(self, key: K, target: _Target) -> None:
        while True:
            pause = target.seconds * random.uniform(0.9, 1.1)  # noqa: S311  # jitter, no secret
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(target.hurry.wait(), pause)
            target.hurry.clear()
            if await self._round(target):
                self._on_change(key)

    async def _round(self, target: _Target) -> bool:
        """Asks all pods of one key once; says whether there is news."""
        async with target.turn:
            asked = dict(target.pods)
            before = {uid: pod.known for uid, pod in asked.items()}
            await asyncio.gather(*(self._ask(pod) for pod in asked.values()))
            return any(_is_news(before[uid], pod.known, counts=target.counts) for uid, pod in asked.items())

    async def _ask(self, pod: _Pod) -> None:
        async with self._slots:
            answer = await self._http.get(f"http://{host(pod.address)}:{STATS_PORT}{STATS_PATH}")
        result = "silent"
        if answer is not None and answer.status == 200:
            try:
                pod.stats = ServerStats.decode(answer.body)
                pod.at, pod.misses, result = self._monotonic(), 0, "answered"
            except WireError:
                result = "malformed"
        if result != "answered":
            pod.misses += 1
        POLLS.labels("stats", result).inc()


def _is_news(before: ServerStats | None, after: ServerStats | None, *, counts: bool) -> bool:
    if before is None or after is None:
        return before is not after
    return counts and before.in_flight != after.in_flight
