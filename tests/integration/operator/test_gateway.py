"""The gateway as a process, against a real API server: its Leases, pods and EndpointSlices."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from classifier_operator.api import names
from classifier_operator.kube.client import APPLY_PATCH, Json
from classifier_operator.kube.resources import ENDPOINT_SLICES, LEASES, PODS
from classifier_operator.kube.trim import SERVICE_NAME_LABEL, SLICE_MANAGER_LABEL
from classifier_operator.manifests.lease import wake_lease
from classifier_operator.wire.gateway import GatewayReport
from classifier_operator.wire.wake import GATEWAY_FIELD_MANAGER, GatewayOrder
from support.control_plane import Cluster, eventually
from support.cut_proxy import CutProxy
from support.fake_server_pod import FakeServerPod, free_ports
from support.gateway_process import gateway_process
from support.gateway_scene import HOST, order_port, until

pytestmark = pytest.mark.integration

POD_IP = "10.9.8.7"


class Stage:
    """One deployment of a namespace, and the gateway that stands in for it."""

    def __init__(self, cluster: Cluster, kubeconfig: Path, folder: Path, session: aiohttp.ClientSession) -> None:
        self.cluster = cluster
        self.kubeconfig = kubeconfig
        self.folder = folder
        self.session = session
        self.report_port, self.pod_port, self.internal_port = free_ports(3, HOST)
        self.order = GatewayOrder(
            namespace=cluster.namespace,
            name="news",
            uid=str(uuid.uuid4()),
            port=order_port(),
            answer="Hold",
            reason="Idle",
            message="It sleeps since nobody asked.",
            max_held=1000,
            hold_seconds=60.0,
        )
        self.pods: list[FakeServerPod] = []

    def settings(self, **more: object) -> dict[str, Any]:
        return {
            "namespace": self.cluster.namespace,
            "host": HOST,
            "report_port": self.report_port,
            "pod_port": self.pod_port,
            "pod_internal_port": self.internal_port,
            "linger_seconds": 0.5,
            "slices_seconds": 0.1,
            "settle_seconds": 0.5,
            **more,
        }

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.order.port}/v1/classification"

    async def write_order(self) -> Json:
        """As the operator does: by server-side apply, without force."""
        body = wake_lease(self.cluster.namespace, self.order)
        path = LEASES.path(self.cluster.namespace, self.order.lease_name)
        query = {"fieldManager": names.FIELD_MANAGER}
        return await self.cluster.client.request("PATCH", path, query=query, body=body, content_type=APPLY_PATCH)

    async def lease(self) -> Json:
        return await self.cluster.get(LEASES, self.order.lease_name)

    async def report(self, path: str) -> tuple[int, bytes]:
        """Status and body; 0 while nobody listens."""
        try:
            async with self.session.get(f"http://{HOST}:{self.report_port}{path}") as answer:
                return answer.status, await answer.read()
        except aiohttp.ClientError:
            return 0, b""

    async def listens(self) -> None:
        """Waits until the gateway says that it does, and is ready."""

        async def said() -> bool:
            status, body = await self.report("/report")
            listens = status == 200 and GatewayReport.decode(body).listens(self.order.port, self.order.uid)
            return listens and (await self.report("/ready"))[0] == 200

        await eventually("the gateway listens", said)

    async def post(self) -> tuple[int, Any, str]:
        """Status, body and how long it was held."""
        async with self.session.post(self.url, json={"input": "text"}) as answer:
            return answer.status, await answer.json(), answer.headers.get("X-Classifier-Held-Ms", "")

    async def pod(self, name: str, *, ready: bool = False) -> FakeServerPod:
        """A pod as Deployment, scheduler and kubelet would make it."""
        pod = FakeServerPod(name, self.pod_port, self.internal_port)
        await pod.start()
        self.pods.append(pod)
        await self.cluster.create(
            PODS,
            {
                "metadata": {"name": name, "labels": names.server_labels("news")},
                "spec": {"containers": [{"name": "server", "image": "server"}], "automountServiceAccountToken": False},
            },
        )
        conditions = [{"type": "Ready", "status": str(ready)}]
        status = {"phase": "Running", "podIP": pod.address, "podIPs": [{"ip": pod.address}], "conditions": conditions}
        await self.cluster.set_status(PODS, name, status)
        return pod

    async def lead_here(self) -> None:
        """Our EndpointSlice of the Service."""
        labels = {SERVICE_NAME_LABEL: "news", SLICE_MANAGER_LABEL: names.MANAGED_BY, **names.server_labels("news")}
        await self.cluster.create(
            ENDPOINT_SLICES,
            {
                "metadata": {"name": "news-gateway", "labels": labels},
                "addressType": "IPv4",
                "endpoints": [{"addresses": [POD_IP], "conditions": {"ready": True}}],
                "ports": [{"name": "http", "port": self.order.port}],
            },
        )


@pytest.fixture
async def stage(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> AsyncIterator[Stage]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(force_close=True, limit=0)) as session:
        made = Stage(cluster, kubeconfig, tmp_path, session)
        yield made
        for pod in made.pods:
            await pod.stop()


def start(stage: Stage, **settings: object) -> Any:
    return gateway_process(stage.kubeconfig, stage.folder / "gateway.log", pod_ip=POD_IP, **stage.settings(**settings))


async def renewed(stage: Stage) -> Json:
    """Waits until the Lease says that somebody asked."""

    async def asked() -> Json | None:
        lease = await stage.lease()
        return lease if (lease.get("spec") or {}).get("renewTime") else None

    found: Json = await eventually("the Lease is renewed", asked, pause=0.002)
    return found


async def test_from_the_request_to_the_answer(stage: Stage) -> None:
    with start(stage) as gateway:
        await stage.write_order()
        await stage.listens()
        asking = asyncio.create_task(stage.post())
        lease = await renewed(stage)
        first = datetime.fromisoformat(lease["spec"]["renewTime"])
        managers = {entry["manager"] for entry in lease["metadata"]["managedFields"] if "f:spec" in entry["fieldsV1"]}
        assert managers == {GATEWAY_FIELD_MANAGER}

        async def again() -> bool:
            return datetime.fromisoformat((await stage.lease())["spec"]["renewTime"]) > first

        await eventually("the Lease is renewed again", again)
        stage.order = stage.order.model_copy(update={"message": "It is waking."})
        assert (await stage.write_order())["spec"]["renewTime"], "the operator's writes leave the gateway's field alone"
        pod = await stage.pod("news-1")
        status, _, held = await asking
        assert (status, pod.requests) == (200, 1)
        assert int(held) > 0
        assert (await stage.post())[0] == 200
        assert "Traceback" not in gateway.log(), gateway.log()


async def test_pods_come_and_go(stage: Stage) -> None:
    with start(stage):
        await stage.write_order()
        await stage.listens()
        first = await stage.pod("news-1", ready=True)

        async def answered_by(pod: FakeServerPod) -> bool:
            before = pod.requests
            assert (await stage.post())[0] == 200
            return pod.requests > before

        await eventually("the first answers", lambda: answered_by(first))
        second = await stage.pod("news-2", ready=True)
        await stage.cluster.delete(PODS, "news-1", gracePeriodSeconds=0)
        await first.stop()
        await eventually("the second answers", lambda: answered_by(second))
        await stage.cluster.delete(PODS, "news-2", gracePeriodSeconds=0)
        await second.stop()
        asking = asyncio.create_task(stage.post())
        await renewed(stage)
        third = await stage.pod("news-3")
        assert (await asking)[0] == 200
        assert third.requests == 1


async def test_an_order_that_is_deleted_closes_its_port(stage: Stage) -> None:
    await stage.write_order()
    with start(stage):
        await stage.listens()
        await stage.cluster.delete(LEASES, stage.order.lease_name)

        async def closed() -> bool:
            try:
                return (await stage.post())[0] == 0
            except aiohttp.ClientConnectorError:
                return True

        await eventually("the port is closed", closed)
        assert GatewayReport.decode((await stage.report("/report"))[1]).ports == {}


async def test_an_api_server_that_cannot_be_reached_is_asked_again(stage: Stage) -> None:
    config = yaml.safe_load(stage.kubeconfig.read_text())
    async with CutProxy(config["clusters"][0]["cluster"]["server"]) as proxy:
        config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
        stage.kubeconfig = stage.folder / "kubeconfig"
        stage.kubeconfig.write_text(yaml.safe_dump(config))
        await stage.write_order()
        with start(stage) as gateway:
            await stage.listens()
            proxy.refusing = True
            proxy.cut()
            asking = asyncio.create_task(stage.post())
            await until(lambda: "cannot be renewed yet" in gateway.log())
            assert (await stage.report("/ready"))[0] == 200
            proxy.refusing = False
            await renewed(stage)
            await stage.pod("news-1")
            assert (await asking)[0] == 200


async def test_sigterm_waits_until_nothing_leads_here_and_loses_nobody(stage: Stage) -> None:
    await stage.write_order()
    await stage.lead_here()
    with start(stage) as gateway:
        await stage.listens()
        pod = await stage.pod("news-1", ready=True)
        statuses: list[int] = []
        leading = True

        async def call() -> None:
            while leading:
                statuses.append((await stage.post())[0])

        calling = [asyncio.create_task(call()) for _ in range(5)]
        await until(lambda: pod.requests > 20)
        gateway.terminate()

        async def unready() -> bool:
            return (await stage.report("/ready"))[0] == 503

        await eventually("it is not ready any more", unready)
        before = pod.requests
        await asyncio.sleep(1.0)
        assert gateway.alive
        assert pod.requests > before
        await stage.cluster.delete(ENDPOINT_SLICES, "news-gateway")
        leading = False
        await asyncio.gather(*calling)
        assert set(statuses) == {200}
        code = await asyncio.to_thread(gateway.wait)
        assert code == 0, gateway.log()
        assert "No Service leads here any more" in gateway.log()
        assert "Traceback" not in gateway.log()


async def test_sigterm_while_somebody_is_held(stage: Stage) -> None:
    await stage.write_order()
    with start(stage) as gateway:
        await stage.listens()
        asking = asyncio.create_task(stage.post())
        await renewed(stage)
        gateway.terminate()
        status, body, _ = await asking
        assert (status, body["error"]["code"]) == (503, 503)
        assert await asyncio.to_thread(gateway.wait) == 0


async def test_a_second_signal_stops_at_once(stage: Stage) -> None:
    await stage.write_order()
    await stage.lead_here()
    with start(stage) as gateway:
        await stage.listens()
        gateway.terminate()
        await until(lambda: "no longer ready" in gateway.log())
        gateway.terminate()
        assert await asyncio.to_thread(gateway.wait) == 1


async def test_a_port_of_the_report_that_is_taken(stage: Stage) -> None:
    server = await asyncio.start_server(lambda *_: None, HOST, stage.report_port)
    with start(stage) as gateway:
        assert await asyncio.to_thread(gateway.wait) == 1
        assert f"Port {stage.report_port} cannot be opened" in gateway.log()
    server.close()
