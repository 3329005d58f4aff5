"""What is written when deployments sleep and wake, on a real API server: Leases, slices, pods, and what is left."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import signal
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from classifier_operator.api.names import uid_hash
from classifier_operator.kube.client import MERGE_PATCH, Json
from classifier_operator.kube.resources import (
    APP_DEPLOYMENTS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    LEASES,
    PODS,
    SECRETS,
)
from classifier_operator.wire.wake import GATEWAY_FIELD_MANAGER, ORDER_ANNOTATION, GatewayOrder
from support.builders import deployment_manifest
from support.control_plane import Cluster, eventually
from support.fake_rollout import GATEWAY_LABELS, FakeRollout, put_pod, set_ready
from support.fake_server_pod import free_ports
from support.fake_trainer_pod import FakeTrainerPod, fake_trainer_pod
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration


GATEWAYS = ("198.18.7.1", "198.18.7.2", "198.18.7.3")
"""Addresses of gateway pods. The API server takes none of loopback into a slice: one pod there speaks for all."""


class Scene:
    """An operator, a server pod, and two gateway pods that listen for whom the test says."""

    def __init__(
        self,
        cluster: Cluster,
        operator: OperatorProcess,
        *,
        server: FakeTrainerPod,
        gateway: FakeTrainerPod,
        metrics_port: int,
    ) -> None:
        self.cluster = cluster
        self.operator = operator
        self.server = server
        self.gateway = gateway
        self._metrics_port = metrics_port

    async def order(self, name: str) -> GatewayOrder:
        """What the gateway was told last of a deployment."""

        async def there() -> GatewayOrder | None:
            for lease in await self.cluster.list(LEASES):
                order = _order(lease)
                if order is not None and order.name == name:
                    return order
            return None

        found: GatewayOrder = await eventually(f"the Lease of {name}", there)
        return found

    async def told(self, name: str, **fields: Any) -> GatewayOrder:
        """Waits until the gateway is told so."""

        async def so() -> GatewayOrder | None:
            order = await self.order(name)
            return order if all(getattr(order, field) == value for field, value in fields.items()) else None

        found: GatewayOrder = await eventually(f"the order of {name} has {fields}", so)
        return found

    async def listen(self, name: str) -> GatewayOrder:
        """The gateway pods listen for this deployment, and say so."""
        order = await self.order(name)
        self.gateway.body = json.dumps({"ports": {str(order.port): uid_hash(order.uid)}}).encode()
        return order

    async def ask(self, order: GatewayOrder) -> None:
        """A gateway asks for pods."""
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        path = LEASES.path(self.cluster.namespace, order.lease_name)
        query = {"fieldManager": GATEWAY_FIELD_MANAGER}
        body = {"spec": {"renewTime": now}}
        await self.cluster.client.request("PATCH", path, query=query, body=body, content_type=MERGE_PATCH)

    def say(self, **stats: float) -> None:
        """What the server pod says of its activity from now on."""
        self.server.body = json.dumps(stats).encode()

    async def leads_to(self, name: str, *addresses: str) -> Json | None:
        """Waits until our slice leads to exactly these gateways; returns it."""

        async def so() -> list[Json | None] | None:
            found = await self.cluster.find(ENDPOINT_SLICES, f"{name}-gateway")
            there = [each["addresses"][0] for each in found["endpoints"]] if found else []
            return [found] if sorted(there) == sorted(addresses) else None

        (found,) = await eventually(f"the slice of {name} leads to {addresses}", so)
        return found  # type: ignore[no-any-return]  # eventually returns what `so` does

    async def phase(self, name: str, *phases: str) -> Json:
        async def so() -> Json | None:
            status = (await self.cluster.get(DEPLOYMENTS, name)).get("status") or {}
            return status if status.get("phase") in phases else None

        found: Json = await eventually(f"{name} is {phases}", so)
        return found

    async def figure(self, name: str, deployment: str) -> float | None:
        async with httpx.AsyncClient() as client:
            lines = (await client.get(f"http://127.0.0.1:{self._metrics_port}/metrics")).text.splitlines()
        series = f'classifier_operator_deployment_{name}{{name="{deployment}",namespace="{self.cluster.namespace}"}} '
        return next((float(line.removeprefix(series)) for line in lines if line.startswith(series)), None)


def _order(lease: Json) -> GatewayOrder | None:
    text = (lease["metadata"].get("annotations") or {}).get(ORDER_ANNOTATION)
    return GatewayOrder.decode(text) if text else None


@pytest.fixture
async def scene(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> AsyncIterator[Scene]:
    (metrics_port,) = free_ports(1)
    with fake_trainer_pod() as server, fake_trainer_pod() as gateway:
        server.body, gateway.body = b'{"inFlight": 0}', b"{}"
        for number, address in enumerate(GATEWAYS[:2]):
            await put_pod(cluster, f"gateway-{number}", GATEWAY_LABELS, address)
        operator = OperatorProcess(
            kubeconfig,
            tmp_path / "operator.log",
            namespace=cluster.namespace,
            stats_seconds=0.1,
            port_rest_seconds=2,
            metrics_port=metrics_port,
            gateway_report_url=f"http://{gateway.address}:9090/report?of={{ip}}",
            service_probe_url=f"http://{server.address}:9090/ready",
        )
        try:
            yield Scene(cluster, operator, server=server, gateway=gateway, metrics_port=metrics_port)
            assert operator.process.poll() in (None, -signal.SIGKILL), operator.log()
            assert "Traceback" not in operator.log(), operator.log()
        finally:
            assert operator.stop() in (0, -signal.SIGKILL)


async def test_from_deployed_to_asleep_and_back(scene: Scene) -> None:
    rollout = FakeRollout(scene.cluster, "news", scene.server.address)
    scene.say(inFlight=0, secondsSinceReady=0)
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news", inactivityTimeout="10s"))
    await rollout.wait_for(1)
    order = await scene.listen("news")
    slice_ = await scene.leads_to("news", *GATEWAYS[:2])  # it starts: a request would wait
    assert slice_ is not None
    assert slice_["ports"] == [{"name": "http", "port": order.port, "protocol": "TCP"}]
    assert slice_["endpoints"][0]["nodeName"] == "node-1"

    await rollout.up()
    await scene.phase("news", "Deployed")
    await scene.leads_to("news")

    scene.say(inFlight=0, secondsSinceReady=60, secondsSinceLastCompletion=30)
    await rollout.wait_for(0)
    assert await scene.cluster.find(ENDPOINT_SLICES, "news-gateway") is not None, "it is there before the pods go"
    await scene.told("news", answer="Hold", reason="Idle")
    await rollout.down()
    await scene.phase("news", "Sleeping")

    async def empty() -> bool:
        return bool((await scene.cluster.get(DEPLOYMENTS, "news"))["status"]["replicas"] == 0)

    await eventually("no pod is left", empty)
    assert await scene.figure("wakes_total", "news") is None, "its first start was no wake"

    await scene.ask(order)
    await rollout.wait_for(1)
    await scene.phase("news", "Waking")
    scene.say(inFlight=1, secondsSinceReady=0)
    await rollout.up()
    status = await scene.phase("news", "Deployed")
    await scene.leads_to("news")
    assert status["wakeSeconds"] > 0
    await scene.told("news", wake_seconds=status["wakeSeconds"])
    assert await scene.figure("wakes_total", "news") == 1
    assert await scene.figure("wake_seconds_count", "news") == 1
    assert (await scene.figure("awake_seconds_total", "news") or 0) > 0

    await scene.cluster.delete(DEPLOYMENTS, "news")

    async def forgotten() -> bool:
        return await scene.figure("wakes_total", "news") is None

    await eventually("its series are gone", forgotten)


async def test_the_operator_writes_the_order_and_the_gateway_the_time(scene: Scene) -> None:
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news"))
    order = await scene.told("news", max_held=1000)
    await scene.ask(order)
    before = await scene.cluster.get(LEASES, order.lease_name)
    await scene.cluster.patch(DEPLOYMENTS, "news", {"spec": {"wake": {"maxHeld": 7}}})
    assert (await scene.told("news", max_held=7)).port == order.port
    after = await scene.cluster.get(LEASES, order.lease_name)
    assert after["spec"] == before["spec"]
    owned = {each["manager"]: each["fieldsV1"] for each in after["metadata"]["managedFields"]}
    assert "f:spec" not in owned["classifier-operator"]
    assert owned[GATEWAY_FIELD_MANAGER] == {"f:spec": {"f:renewTime": {}}}


async def test_what_the_gateway_knows_is_written_only_when_it_changes(scene: Scene) -> None:
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news"))
    await scene.listen("news")
    await scene.leads_to("news", *GATEWAYS[:2])
    order = await scene.order("news")
    versions = await _versions(scene, order)
    for _ in range(3):
        await scene.ask(order)  # each is a reason to look at the deployment
    asked = (await scene.cluster.get(LEASES, order.lease_name))["metadata"]["resourceVersion"]
    await scene.cluster.patch(DEPLOYMENTS, "news", {"metadata": {"labels": {"a": "b"}}})
    await scene.cluster.patch(DEPLOYMENTS, "news", {"spec": {"startupTimeout": "29m"}})

    async def seen() -> bool:
        value = await scene.cluster.get(DEPLOYMENTS, "news")
        return bool(value["status"]["observedGeneration"] == value["metadata"]["generation"])

    await eventually("the change is seen", seen)
    assert await _versions(scene, order) == (asked, versions[1])


async def _versions(scene: Scene, order: GatewayOrder) -> tuple[str, str]:
    lease = await scene.cluster.get(LEASES, order.lease_name)
    slice_ = await scene.cluster.get(ENDPOINT_SLICES, f"{order.name}-gateway")
    return lease["metadata"]["resourceVersion"], slice_["metadata"]["resourceVersion"]


async def test_the_slice_follows_the_gateway_pods(scene: Scene) -> None:
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news"))
    await scene.listen("news")
    first, second, third = GATEWAYS
    await scene.leads_to("news", first, second)
    await set_ready(scene.cluster, "gateway-0", first, ready=False)
    await scene.leads_to("news", second)
    await set_ready(scene.cluster, "gateway-0", first)
    await scene.leads_to("news", first, second)
    await scene.cluster.delete(PODS, "gateway-1", gracePeriodSeconds=0)
    await scene.leads_to("news", first)
    await scene.cluster.delete(PODS, "gateway-0", gracePeriodSeconds=0)
    await asyncio.sleep(0.5)
    await scene.leads_to("news", first)  # without any gateway pod it stays: nobody else would answer
    await put_pod(scene.cluster, "gateway-2", GATEWAY_LABELS, third)
    await scene.leads_to("news", third)


async def test_a_port_stays_over_a_restart_and_rests_when_its_deployment_is_gone(scene: Scene) -> None:
    for name in ("one", "two"):
        await scene.cluster.create(DEPLOYMENTS, deployment_manifest(name))
    ports = {name: (await scene.order(name)).port for name in ("one", "two")}
    assert len(set(ports.values())) == 2
    scene.operator.stop()
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("three"))
    scene.operator.restart()
    assert (await scene.order("three")).port not in ports.values()
    assert {name: (await scene.order(name)).port for name in ports} == ports

    one = await scene.order("one")
    await scene.cluster.delete(DEPLOYMENTS, "one")
    gone = await scene.told("one", reason="Gone")
    assert (gone.answer, gone.port, gone.uid) == ("Refuse", one.port, one.uid)
    assert gone.message == f"ClassifierDeployment one in namespace {scene.cluster.namespace} is gone."

    async def deleted() -> bool:
        return await scene.cluster.find(LEASES, one.lease_name) is None

    await eventually("its Lease is gone", deleted)
    assert (await scene.order("two")).reason != "Gone"


async def test_under_autoscaling_the_requests_in_flight_make_the_number_of_pods(scene: Scene) -> None:
    rollout = FakeRollout(scene.cluster, "news", scene.server.address)
    scaling = {"maxReplicas": 4, "targetInFlight": 2}
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news", replicas=9, autoscaling=scaling))
    await rollout.wait_for(1)
    await rollout.up()
    scene.say(inFlight=5, secondsSinceReady=1)
    await rollout.wait_for(3)
    scene.say(inFlight=50, secondsSinceReady=1)
    await rollout.wait_for(4)
    scene.say(inFlight=0, secondsSinceReady=1, secondsSinceLastCompletion=0)
    asked = scene.server.asked

    async def heard() -> bool:
        return scene.server.asked >= asked + 5

    await eventually("the pod has been asked again", heard)
    assert await rollout.wanted() == 4, "not before the window is over"


async def test_keys_reach_the_gateway_as_digests(scene: Scene) -> None:
    data = {"a": base64.b64encode(b"hunter2\n").decode()}
    await scene.cluster.create(SECRETS, {"metadata": {"name": "keys"}, "data": data})
    for name, secret in (("open", None), ("closed", "keys"), ("missing", "none")):
        auth = {} if secret is None else {"auth": {"apiKeySecretName": secret}}
        await scene.cluster.create(DEPLOYMENTS, deployment_manifest(name, **auth))
    assert (await scene.order("open")).key_digests is None
    assert (await scene.order("closed")).key_digests == (hashlib.sha256(b"hunter2").hexdigest(),)
    assert (await scene.order("missing")).key_digests == ()
    assert "hunter2" not in json.dumps(await scene.cluster.list(LEASES)) + scene.operator.log()
    app = await eventually("the Deployment", lambda: scene.cluster.find(APP_DEPLOYMENTS, "closed"))
    volumes = app["spec"]["template"]["spec"]["volumes"]
    assert {"secretName": "keys", "optional": True, "defaultMode": 0o440} in [each.get("secret") for each in volumes]


async def test_several_pods_have_a_disruption_budget(scene: Scene) -> None:
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news", replicas=2))
    budget: Json = await eventually("the budget", lambda: scene.cluster.find(DISRUPTION_BUDGETS, "news"))
    assert budget["spec"]["maxUnavailable"] == 1
    await scene.cluster.patch(DEPLOYMENTS, "news", {"spec": {"replicas": 1}})

    async def gone() -> bool:
        return await scene.cluster.find(DISRUPTION_BUDGETS, "news") is None

    await eventually("the budget is gone", gone)


async def test_a_strangers_slice_is_never_written(scene: Scene) -> None:
    theirs = {
        "metadata": {"name": "news-gateway"},
        "addressType": "IPv4",
        "endpoints": [],
        "ports": [],
    }
    before = await scene.cluster.create(ENDPOINT_SLICES, theirs)
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("news"))
    await scene.listen("news")

    async def says() -> bool:
        status = (await scene.cluster.get(DEPLOYMENTS, "news")).get("status") or {}
        text = "EndpointSlice news-gateway exists and does not belong to this deployment"
        return text in (status.get("message") or "")

    await eventually("it says so", says)
    after = await scene.cluster.get(ENDPOINT_SLICES, "news-gateway")
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"]
