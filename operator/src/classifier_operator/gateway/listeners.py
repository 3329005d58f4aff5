"""The ports: one for each deployment, open a while longer than its order, and never two for one."""

import asyncio
import logging
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from classifier_operator.api.names import uid_hash
from classifier_operator.gateway.deployment import Deployment
from classifier_operator.gateway.metrics import LISTENING
from classifier_operator.gateway.protocol import BoundedServer
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.gateway.sockets import BACKLOG, listen

logger = logging.getLogger(__name__)

_RETRY_SECONDS: Final = 1.0
_FRESH_SECONDS: Final = 2.0
"""For the first request of a connection that was made just before its port closed."""
_LOOK_SECONDS: Final = 0.02

Answer = Callable[[Deployment, web.BaseRequest], Awaitable[web.StreamResponse]]


class _Listener:
    """One open port.

    Attributes:
        closes_at: set while nobody wants it any more.
    """

    def __init__(self, deployment: Deployment, answer: Answer, *, head_seconds: float) -> None:
        self.deployment = deployment
        self.closes_at: float | None = None
        self.http = BoundedServer(self._handle, head_seconds=head_seconds)
        self._answer = answer
        self._server: asyncio.Server | None = None

    async def open(self, made: socket.socket) -> None:
        self._server = await asyncio.get_running_loop().create_server(self.http, sock=made, backlog=BACKLOG)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        return await self._answer(self.deployment, request)


class Listeners:
    """Opens and closes ports, as the orders want it.

    Args:
        answer: answers a request at the port of a deployment.
    """

    def __init__(self, settings: GatewaySettings, answer: Answer) -> None:
        self._settings = settings
        self._answer = answer
        self._wanted: dict[str, tuple[int, Deployment]] = {}
        self._open: dict[int, _Listener] = {}
        self._leaving: list[Deployment] = []
        self._closed: list[BoundedServer] = []
        self._failed: set[int] = set()
        self._contested: set[int] = set()
        self._changed = asyncio.Event()
        self.settled = asyncio.Event()
        """Set while every port that is wanted and can be had is open."""

    def want(self, deployment: Deployment) -> None:
        """Listens where the order of the deployment says; without an order not much longer."""
        uid, order = deployment.uid, deployment.order
        if order is None:
            self._wanted.pop(uid, None)
            self._leaving.append(deployment)
        elif (order.port, deployment) == self._wanted.get(uid):
            return
        else:
            self._wanted[uid] = (order.port, deployment)
        self.settled.clear()
        self._changed.set()

    def ports(self) -> dict[str, str]:
        """`uid_hash` of the deployment by port, for every open port."""
        return {str(port): uid_hash(each.deployment.uid) for port, each in sorted(self._open.items())}

    async def run(self) -> None:
        """Never returns."""
        while True:
            self._changed.clear()
            seconds = await self._reconcile()
            if not self._changed.is_set():
                self.settled.set()
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """Closes all ports; connections stay."""
        for listener in self._open.values():
            self._shut(listener)
        self._open.clear()
        LISTENING.set(0)

    async def finished(self, seconds: float) -> bool:
        """Waits until every connection has been answered; says whether all were in time."""
        begun = time.monotonic()
        while any(http.connections for http in self._closed):
            passed = time.monotonic() - begun
            if passed > seconds:
                return False
            if passed > _FRESH_SECONDS:
                for http in self._closed:
                    for connection in http.fresh:
                        connection.force_close()
            await asyncio.sleep(_LOOK_SECONDS)
        return True

    async def _reconcile(self) -> float | None:
        """Opens and closes what is due; returns the seconds until more is."""
        now = time.monotonic()
        wanted = self._by_port()
        for port, listener in list(self._open.items()):
            heir = wanted.get(port)
            if heir is not None and heir.uid == listener.deployment.uid:
                listener.deployment, listener.closes_at = heir, None
            elif listener.closes_at is None:
                listener.closes_at = now + self._settings.linger_seconds
            elif listener.closes_at <= now:
                self._shut(self._open.pop(port))
        self._closed = [http for http in self._closed if http.connections]
        self._forget_who_left()
        before, failed = len(self._open), set[int]()
        for port, deployment in wanted.items():
            if port not in self._open and not await self._try_open(port, deployment):
                failed.add(port)
        self._failed = failed
        LISTENING.set(len(self._open))
        if len(self._open) > before:
            logger.info("Listening at %d ports", len(self._open))
        due = [listener.closes_at for listener in self._open.values() if listener.closes_at is not None]
        due += [time.monotonic() + _RETRY_SECONDS] if failed else []
        return max(0.0, min(due) - time.monotonic()) if due else None

    def _by_port(self) -> dict[int, Deployment]:
        """Who gets each port: the one for whom it is open, else the first who wanted it."""
        found: dict[int, Deployment] = {}
        contested: set[int] = set()
        for port, deployment in self._wanted.values():
            holder = found.setdefault(port, deployment)
            if holder is not deployment:
                contested.add(port)
                listener = self._open.get(port)
                if listener is not None and listener.deployment is deployment:
                    found[port] = deployment
        for port in contested - self._contested:
            logger.error("Two deployments were given port %d; it stays with %s", port, found[port])
        self._contested = contested
        return found

    async def _try_open(self, port: int, deployment: Deployment) -> bool:
        try:
            made = listen(self._settings.host, port)
        except OSError as error:
            if port not in self._failed:
                logger.error("Port %d for %s cannot be opened, and is tried again: %s", port, deployment, error)
            return False
        listener = _Listener(deployment, self._answer, head_seconds=self._settings.receive_seconds)
        await listener.open(made)
        self._open[port] = listener
        return True

    def _shut(self, listener: _Listener) -> None:
        listener.close()
        self._closed.append(listener.http)

    def _forget_who_left(self) -> None:
        listening = {id(listener.deployment) for listener in self._open.values()}
        for deployment in self._leaving:
            if id(deployment) not in listening:
                deployment.close()
        self._leaving = [deployment for deployment in self._leaving if id(deployment) in listening]
