"""The process: connects to the API server, follows Leases and pods, and ends on SIGTERM."""

import asyncio
import gc
import logging
import signal
from collections.abc import Coroutine
from datetime import UTC, datetime
from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.gateway.core import Gateway
from classifier_operator.gateway.drain import slices_name
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.gateway.sockets import allow_many_files
from classifier_operator.kube.client import MERGE_PATCH, KubeClient
from classifier_operator.kube.resources import LEASES
from classifier_operator.kube.watch import Reflector
from classifier_operator.wire.wake import GATEWAY_FIELD_MANAGER, WAKE_SELECTOR

logger = logging.getLogger(__name__)

POD_SELECTOR: Final = f"{names.MANAGED_BY_SELECTOR},{names.COMPONENT_LABEL}={names.SERVER_COMPONENT}"
_RENEW_SECONDS: Final = 3.0
"""For one renewal of a Lease; then it is tried again."""


async def run(settings: GatewaySettings) -> int:
    """Runs until a signal; returns the exit code."""
    allow_many_files()
    client = await KubeClient.connect(connections=settings.connections)
    try:
        return await _Life(client, settings).run()
    finally:
        await client.close()


class _Life:
    def __init__(self, client: KubeClient, settings: GatewaySettings) -> None:
        self._client = client
        self._settings = settings
        self._gateway = Gateway(settings, self._renew)
        self._signalled = asyncio.Event()
        self._hurried = asyncio.Event()

    async def run(self) -> int:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signal)
        try:
            await self._gateway.start()
        except OSError as error:
            logger.error("Port %d cannot be opened: %s", self._settings.report_port, error)
            await self._gateway.close()
            return 1
        client, leases, pods = self._client, self._gateway.leases, self._gateway.pods
        follow_leases = Reflector(client, leases, selector=WAKE_SELECTOR, namespace=self._settings.namespace)
        tasks = [
            _task(follow_leases.run(), "watch of Leases"),
            _task(Reflector(client, pods, selector=POD_SELECTOR).run(), "watch of pods"),
            _task(self._gateway.failed(), "listeners"),
            _task(self._tell_when_ready(), "readiness"),
        ]
        # What is loaded by now stays: without this the collector walks through all of it again and again.
        gc.freeze()
        try:
            if not await self._until(self._signalled, tasks):
                return 1
            drain = _task(self._gateway.drain(lambda: slices_name(client, self._settings.addresses)), "drain")
            done, _ = await asyncio.wait(
                [drain, _task(self._hurried.wait(), "second signal")], return_when=asyncio.FIRST_COMPLETED
            )
            if drain not in done:
                logger.warning("Stopping at once")
                drain.cancel()
                return 1
            drain.result()
            logger.info("Stopped")
            return 0
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._gateway.close()

    async def _until(self, event: asyncio.Event, tasks: list[asyncio.Task[Any]]) -> bool:
        """Waits for the event; False if one of the tasks, which should run for ever, has ended first."""
        waiting = _task(event.wait(), "signal")
        lasting = [task for task in tasks if task.get_name() != "readiness"]
        await asyncio.wait([waiting, *lasting], return_when=asyncio.FIRST_COMPLETED)
        if waiting.done():
            return True
        waiting.cancel()
        for task in lasting:
            if task.done():
                logger.error("The task %r ended", task.get_name(), exc_info=task.exception())
        return False

    async def _tell_when_ready(self) -> None:
        await self._gateway.leases.complete.wait()
        await self._gateway.pods.complete.wait()
        logger.info("Ready: %d orders, %d server pods", len(self._gateway.leases), len(self._gateway.pods))

    async def _renew(self, name: str) -> None:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        await self._client.request(
            "PATCH",
            LEASES.path(self._settings.namespace, name),
            query={"fieldManager": GATEWAY_FIELD_MANAGER},
            body={"spec": {"renewTime": now}},
            content_type=MERGE_PATCH,
            seconds=_RENEW_SECONDS,
        )

    def _signal(self) -> None:
        (self._hurried if self._signalled.is_set() else self._signalled).set()


def _task(work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
    return asyncio.create_task(work, name=name)
