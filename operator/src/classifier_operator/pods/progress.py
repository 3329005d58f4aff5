"""Asks running trainers for their progress, every few seconds, a limited number at a time."""

import asyncio
import random
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from classifier_operator.metrics import POLLS
from classifier_operator.pods.http import PodHttp, host
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.progress import PROGRESS_PATH, PROGRESS_PORT, ProgressReport

_AT_A_TIME: Final = 50

K = TypeVar("K", bound=Hashable)


@dataclass(slots=True)
class _Target:
    pod_uid: str
    task: asyncio.Task[None]
    report: ProgressReport | None = None


class ProgressPoller(Generic[K]):
    """One question after the other to the pod of each key; a changed answer is told to `on_change`."""

    def __init__(self, http: PodHttp, *, seconds: float, on_change: Callable[[K], None]) -> None:
        self._http = http
        self._seconds = seconds
        self._on_change = on_change
        self._targets: dict[K, _Target] = {}
        self._slots = asyncio.Semaphore(_AT_A_TIME)

    def watch(self, key: K, pod_uid: str, address: str) -> None:
        """Asks this pod from now on, and no other pod of the key."""
        target = self._targets.get(key)
        if target is not None and target.pod_uid == pod_uid:
            return
        self.forget(key)
        task = asyncio.create_task(self._poll(key, pod_uid, address), name=f"progress of {key}")
        self._targets[key] = _Target(pod_uid, task)

    def pause(self, key: K) -> None:
        """Asks no more, but keeps what was said last."""
        target = self._targets.get(key)
        if target is not None:
            target.task.cancel()

    def forget(self, key: K) -> None:
        target = self._targets.pop(key, None)
        if target is not None:
            target.task.cancel()

    def report(self, key: K) -> tuple[str, ProgressReport] | None:
        """UID of the pod, and what it said last."""
        target = self._targets.get(key)
        return (target.pod_uid, target.report) if target is not None and target.report is not None else None

    async def close(self) -> None:
        tasks = [target.task for target in self._targets.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._targets.clear()

    async def _poll(self, key: K, pod_uid: str, address: str) -> None:
        url = f"http://{host(address)}:{PROGRESS_PORT}{PROGRESS_PATH}"
        while True:
            async with self._slots:
                report = await self._ask(url)
            target = self._targets.get(key)
            if report is not None and target is not None and target.pod_uid == pod_uid and report != target.report:
                target.report = report
                self._on_change(key)
            # Soon again while the trainer does not listen yet; later evenly, with a little jitter.
            waiting = target is None or target.report is None
            await asyncio.sleep((min(1.0, self._seconds) if waiting else self._seconds) * random.uniform(0.9, 1.1))  # noqa: S311

    async def _ask(self, url: str) -> ProgressReport | None:
        answer = await self._http.get(url)
        if answer is None or answer.status != 200:
            POLLS.labels("progress", "silent").inc()
            return None
        try:
            report = ProgressReport.decode(answer.body)
        except WireError:
            POLLS.labels("progress", "malformed").inc()
            return None
        POLLS.labels("progress", "answered").inc()
        return report
