"""Asks pods whether they are ready while somebody waits for them: the kubelet and the watch are later."""

import asyncio
import logging
import time
from typing import Final

import aiohttp

from classifier_operator.gateway.deployment import Deployment
from classifier_operator.gateway.pods import Pod
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.pods.http import host

logger = logging.getLogger(__name__)

_AT_A_TIME: Final = 100
_MAX_ANSWER_BYTES: Final = 4096


class Prober:
    """One question at a time to each pod that somebody waits for."""

    def __init__(self, session: aiohttp.ClientSession, settings: GatewaySettings) -> None:
        self._session = session
        self._port = settings.pod_internal_port
        self._every = settings.probe_seconds
        self._timeout = settings.probe_timeout_seconds
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[Pod, asyncio.Task[None]] = {}

    def watch(self, deployment: Deployment) -> None:
        """Asks the pods of this deployment until nobody waits for it."""
        if deployment.uid not in self._tasks:
            task = asyncio.create_task(self._watch(deployment), name=f"probes of {deployment}")
            self._tasks[deployment.uid] = task

    async def close(self) -> None:
        tasks = [*self._tasks.values(), *self._asked.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self, deployment: Deployment) -> None:
        changed = asyncio.Event()
        deployment.on_pods(changed.set)
        begun, most = time.monotonic(), 0
        try:
            while count := len(deployment.room):
                most = max(most, count)
                changed.clear()
                now = time.monotonic()
                for pod in deployment.pods.unsure():
                    if pod not in self._asked and now - pod.asked_at >= self._every:
                        pod.asked_at = now
                        task = asyncio.create_task(self._ask(deployment, pod))
                        self._asked[pod] = task
                        task.add_done_callback(lambda _, pod=pod: self._asked.pop(pod))  # type: ignore[misc]
                await _either(changed, self._every)
        finally:
            del self._tasks[deployment.uid]
            deployment.on_pods(lambda: None)
            seconds = time.monotonic() - begun
            logger.info("Nobody waits for %s any more: up to %d did, for %.3f s", deployment, most, seconds)

    async def _ask(self, deployment: Deployment, pod: Pod) -> None:
        url = f"http://{host(pod.ip)}:{self._port}/ready"
        try:
            async with (
                self._slots,
                asyncio.timeout(self._timeout),
                self._session.get(url, allow_redirects=False) as response,
            ):
                ready = response.status == 200
                await response.content.read(_MAX_ANSWER_BYTES)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return
        if ready:
            deployment.pods.probed(pod)


async def _either(event: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await event.wait()
    except TimeoutError:
        return
