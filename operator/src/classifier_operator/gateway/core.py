"""The gateway without the API server: everything that is built once, and its beginning and end."""

import asyncio
import contextlib
import logging
import time
from typing import Final

from classifier_operator.gateway.budget import Budget
from classifier_operator.gateway.deployment import Deployment
from classifier_operator.gateway.drain import LeadsHere, until_nobody_is_held, until_nothing_leads_here
from classifier_operator.gateway.forward import Forwarder, pod_session
from classifier_operator.gateway.gate import Gate
from classifier_operator.gateway.listeners import Listeners
from classifier_operator.gateway.orders import Orders
from classifier_operator.gateway.pods import PodDirectory, trim_pod
from classifier_operator.gateway.protocol import BoundedServer
from classifier_operator.gateway.readiness import Prober
from classifier_operator.gateway.report import Report
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.gateway.sockets import listen
from classifier_operator.gateway.wake import Renew, Waker
from classifier_operator.kube import trim
from classifier_operator.kube.cache import Store
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import LEASES, PODS

logger = logging.getLogger(__name__)


class Gateway:
    """To be built inside of a running event loop, and fed through its two stores.

    Args:
        renew: renews the Lease of a name.

    Attributes:
        leases: wake Leases.
        pods: pods of servers.
    """

    def __init__(self, settings: GatewaySettings, renew: Renew) -> None:
        self._settings = settings
        self._session = pod_session()
        self._waker = Waker(renew, at_a_time=settings.connections)
        self._prober = Prober(self._session, settings)
        self._gate = Gate(
            settings,
            waker=self._waker,
            prober=self._prober,
            forwarder=Forwarder(self._session, port=settings.pod_port),
            budget=Budget(settings.budget_bytes),
        )
        self._listeners = Listeners(settings, self._gate.answer)
        directory = PodDirectory(settings.pod_in_flight)
        self._orders = Orders(directory, self._ordered)
        self.leases: Final = Store(LEASES, _lease, lambda _: (), self._orders.seen)
        self.pods: Final = Store(PODS, trim_pod, lambda _: (), directory.seen)
        self._draining = False
        self._was_ready = False
        self._report: asyncio.Server | None = None
        self._listening: asyncio.Task[None] | None = None

    @property
    def state(self) -> str:
        """Starting, Ready or Stopping."""
        if self._draining:
            return "Stopping"
        known = self.leases.complete.is_set() and self.pods.complete.is_set()
        self._was_ready |= known and self._listeners.settled.is_set()
        return "Ready" if self._was_ready else "Starting"

    async def start(self) -> int:
        """Opens the port of the report, and those of the orders as they come.

        Returns:
            The port of the report, also where the kernel chose it.

        Raises:
            OSError: it cannot be opened.
        """
        report = Report(self._listeners.ports, lambda: self.state)
        server = BoundedServer(report.answer, head_seconds=self._settings.receive_seconds)
        loop = asyncio.get_running_loop()
        self._report = await loop.create_server(server, sock=listen(self._settings.host, self._settings.report_port))
        self._listening = asyncio.create_task(self._listeners.run(), name="listeners")
        port: int = self._report.sockets[0].getsockname()[1]
        return port

    async def failed(self) -> None:
        """Returns, or raises, when something that should run for ever has ended."""
        if self._listening is not None:
            await asyncio.shield(self._listening)

    async def drain(self, leads_here: LeadsHere) -> None:
        """Goes on until nothing leads here and nobody is held, refuses who is held for too long, and finishes what has
        begun."""
        begun = time.monotonic()
        self._draining = True
        logger.info("Stopping: no longer ready")
        await until_nothing_leads_here(self._settings, leads_here)
        await until_nobody_is_held(self._anyone_held, begun + self._settings.drain_seconds)
        self._gate.stopping = True
        for deployment in self._orders.deployments():
            if not deployment.pods.usable():
                deployment.room.reconsider()
        if self._listening is not None:
            self._listening.cancel()
        await self._listeners.close()
        if not await self._listeners.finished(self._settings.finish_seconds):
            logger.warning("Some requests were not answered within %.0f s", self._settings.finish_seconds)

    async def close(self) -> None:
        """Ends everything at once."""
        if self._listening is not None:
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        await self._listeners.close()
        if self._report is not None:
            self._report.close()
        await self._waker.close()
        await self._prober.close()
        await self._session.close()

    def _anyone_held(self) -> bool:
        return any(len(deployment.room) for deployment in self._orders.deployments())

    def _ordered(self, deployment: Deployment) -> None:
        self._listeners.want(deployment)


def _lease(value: Json) -> Json:
    return trim.trim(LEASES, value)
