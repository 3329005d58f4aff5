"""A gateway in the test's event loop, without an API server: its stores are filled by hand, renewals are recorded."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from classifier_operator.api import names
from classifier_operator.gateway.core import Gateway
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.kube.client import Json
from classifier_operator.wire.wake import ORDER_ANNOTATION, GatewayOrder
from support.fake_server_pod import Answer, FakeServerPod, echo, free_ports

HOST: Final = "127.0.8.1"
_NO_TLS: Final = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # without reading the certificates of the machine
_VERSIONS: Final = itertools.count(1)


def lease(order: GatewayOrder | None, name: str, *, namespace: str = "operator") -> Json:
    """A wake Lease as the API server would show it."""
    annotations = {} if order is None else {ORDER_ANNOTATION: order.encode()}
    return {"metadata": {"namespace": namespace, "name": name, "uid": f"lease-{name}",
                         "resourceVersion": str(next(_VERSIONS)), "annotations": annotations}}  # fmt: skip


class Site:
    """One deployment behind the gateway: its order, its pods, and requests to it."""

    def __init__(self, scene: GatewayScene, order: GatewayOrder) -> None:
        self._scene = scene
        self.order = order
        self.pods: dict[str, tuple[FakeServerPod, str]] = {}

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.order.port}"

    def tell(self, **changes: Any) -> None:
        """The operator writes another order."""
        self.order = self.order.model_copy(update=changes)
        self._scene.gateway.leases.put(lease(self.order, self.order.lease_name))

    def take_back(self) -> None:
        """The operator deletes the Lease."""
        self._scene.gateway.leases.remove(lease(None, self.order.lease_name))

    async def pod(self, name: str = "pod-a", *, ready: bool = True, answers: bool = True, answer: Answer = echo
                  ) -> FakeServerPod:  # fmt: skip
        """A pod comes.

        Args:
            ready: the kubelet says so.
            answers: it listens and says so itself.
        """
        pod = FakeServerPod(name, *self._scene.pod_ports, answer)
        if answers:
            await pod.start()
        self._scene.started.append(pod)
        self.pods[name] = (pod, uuid.uuid4().hex)
        self.see(name, ready=ready)
        return pod

    def see(self, name: str, *, ready: bool, deleting: bool = False, ip: bool = True, phase: str = "Running") -> None:
        """What the API server says of a pod."""
        pod, uid = self.pods[name]
        metadata: Json = {"namespace": self.order.namespace, "name": name, "uid": uid}
        metadata |= {"resourceVersion": str(next(_VERSIONS)), "labels": names.server_labels(self.order.name)}
        if deleting:
            metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
        status: Json = {"phase": phase, "conditions": [{"type": "Ready", "status": str(ready)}]}
        if ip:
            status["podIP"] = pod.address
        self._scene.gateway.pods.put({"metadata": metadata, "status": status})

    def vanish(self, name: str) -> None:
        """The pod is gone from the API server."""
        _, uid = self.pods[name]
        metadata = {"namespace": self.order.namespace, "name": name, "uid": uid}
        self._scene.gateway.pods.remove({"metadata": {**metadata, "resourceVersion": str(next(_VERSIONS))}})

    async def post(self, path: str = "/v1/classification", **arguments: Any) -> httpx.Response:
        """One inference request."""
        if not {"content", "json"} & set(arguments):
            arguments["json"] = {"input": "text"}
        return await self.ask("POST", path, **arguments)

    async def ask(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """One request, on a connection of its own."""
        return await self._scene.client.request(method, f"{self.url}{path}", **arguments)

    async def becomes_open(self) -> None:
        """Waits until the gateway listens for it."""
        await until(lambda: self._scene.ports().get(str(self.order.port)) == names.uid_hash(self.order.uid))


class GatewayScene:
    """A gateway.

    Attributes:
        renewed: name of the Lease and time of each renewal.
        refuse_renewals: raised by renewals, first one first.
    """

    def __init__(self, settings: GatewaySettings, pod_ports: tuple[int, int]) -> None:
        self.settings = settings
        self.pod_ports = pod_ports
        self.renewed: list[tuple[str, float]] = []
        self.refuse_renewals: list[Exception] = []
        self.started: list[FakeServerPod] = []
        self.gateway = Gateway(settings, self._renew)
        self.report_port = 0
        limits = httpx.Limits(max_connections=None)
        self.client = httpx.AsyncClient(timeout=30, trust_env=False, limits=limits, verify=_NO_TLS)
        self.leads_here: Callable[[], Awaitable[bool]] = self._nowhere

    async def site(self, name: str = "news", *, opened: bool = True, **changes: Any) -> Site:
        """A deployment that sleeps and is woken by requests, unless `changes` of the order say otherwise."""
        order = GatewayOrder(
            namespace=changes.pop("namespace", "team"),
            name=name,
            uid=changes.pop("uid", None) or str(uuid.uuid4()),
            port=changes.pop("port", None) or order_port(),
            answer="Hold",
            reason="Idle",
            message="It sleeps since nobody asked.",
            max_held=1000,
            hold_seconds=20.0,
        ).model_copy(update=changes)
        site = Site(self, order)
        site.tell()
        if opened:
            await site.becomes_open()
        return site

    def renewals(self, site: Site) -> list[float]:
        """When the Lease of a deployment was renewed."""
        return [moment for name, moment in self.renewed if name == site.order.lease_name]

    def ports(self) -> dict[str, str]:
        """`uid_hash` by port, as the report will say."""
        return self.gateway._listeners.ports()

    def deployment(self, site: Site) -> Any:
        """The gateway's own view of a deployment."""
        return self.gateway._orders._deployments[site.order.lease_name]

    async def held(self, site: Site, count: int) -> None:
        """Waits until so many requests are held."""
        deployment = self.deployment(site)
        await until(lambda: len(deployment.room) == count)

    async def report(self, path: str) -> httpx.Response:
        """Asks the port of the report."""
        return await self.client.get(f"http://{HOST}:{self.report_port}{path}")

    async def drain(self) -> None:
        await self.gateway.drain(lambda: self.leads_here())

    async def _renew(self, name: str) -> None:
        if self.refuse_renewals:
            raise self.refuse_renewals.pop(0)
        self.renewed.append((name, time.monotonic()))

    async def _nowhere(self) -> bool:
        return False


def order_port() -> int:
    """A free port in the gateway's range."""
    while True:
        (port,) = free_ports(1, HOST)
        candidate = 10_000 + port % 20_000
        try:
            with socket.create_server((HOST, candidate)):
                return candidate
        except OSError:
            continue


async def until(check: Callable[[], Any], *, seconds: float = 10.0) -> None:
    """Waits until `check` is true."""
    deadline = time.monotonic() + seconds
    while not check():
        assert time.monotonic() < deadline, "it did not come true"
        await asyncio.sleep(0.005)


@asynccontextmanager
async def gateway_scene(**settings: Any) -> AsyncIterator[GatewayScene]:
    """A running gateway whose lists are complete."""
    ports = free_ports(2)
    chosen: dict[str, Any] = {
        "host": HOST,
        "report_port": 0,
        "pod_port": ports[0],
        "pod_internal_port": ports[1],
        "linger_seconds": 0.3,
        "settle_seconds": 0.05,
        "slices_seconds": 0.05,
        "drain_seconds": 5.0,
        "finish_seconds": 5.0,
        **settings,
    }
    scene = GatewayScene(GatewaySettings(**chosen), (ports[0], ports[1]))
    scene.report_port = await scene.gateway.start()
    for store in (scene.gateway.leases, scene.gateway.pods):
        store.finish_list(set(), 0)
    try:
        yield scene
    finally:
        for pod in scene.started:
            await pod.stop()
        await scene.client.aclose()
        await scene.gateway.close()
        await asyncio.sleep(0)
