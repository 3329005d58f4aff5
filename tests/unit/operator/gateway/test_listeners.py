"""Ports: which are open, for whom, and for how long."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest

from classifier_operator.api.names import uid_hash
from classifier_operator.gateway.sockets import listen
from classifier_operator.wire.gateway import GatewayReport
from support.fake_server_pod import free_ports
from support.gateway_scene import HOST, GatewayScene, gateway_scene, lease, order_port, until


async def test_the_report_tells_who_is_listened_for(scene: GatewayScene) -> None:
    sites = [await scene.site(f"news-{number}") for number in range(3)]
    answer = await scene.report("/report")
    report = GatewayReport.decode(answer.content)
    for site in sites:
        assert report.listens(site.order.port, site.order.uid)
        assert not report.listens(site.order.port, "another")
    assert len(report.ports) == 3
    assert answer.headers["content-type"] == "application/json"


async def test_each_port_is_for_its_own_deployment(scene: GatewayScene) -> None:
    for name in ("a", "b"):
        site = await scene.site(name)
        await site.pod()
        assert (await site.ask("GET", f"/{name}")).json()["target"] == f"/{name}"
        site.see("pod-a", ready=False)
    assert (await site.ask("GET", "/v1/models")).json()["data"][0]["id"] == "b"


async def test_a_port_stays_open_for_a_while_and_forwards(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    site.take_back()
    assert (await site.post()).status_code == 200
    assert scene.ports() == {str(site.order.port): uid_hash(site.order.uid)}
    site.vanish("pod-a")
    answer = await site.post()
    assert (answer.status_code, "retry-after" in answer.headers) == (503, False)
    await until(lambda: not scene.ports())
    with pytest.raises(httpx.ConnectError):
        await site.post()
    assert not scene.gateway._orders.deployments()


async def test_an_order_that_comes_back_finds_its_port_open() -> None:
    async with gateway_scene(linger_seconds=60.0) as scene:
        site = await scene.site()
        site.take_back()
        assert (await site.post()).status_code == 503
        site.tell(message="It is back.")
        await until(lambda: scene.gateway._listeners.settled.is_set())
        asking = asyncio.create_task(site.post())
        await scene.held(site, 1)
        await site.pod()
        assert (await asking).status_code == 200


async def test_a_port_that_changes_is_open_at_both_for_a_while(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    before = site.url
    site.tell(port=order_port())
    await site.becomes_open()
    assert (await site.post()).status_code == 200
    assert (await scene.client.post(f"{before}/predict", json={})).status_code == 200
    await until(lambda: list(scene.ports()) == [str(site.order.port)])
    assert (await site.post()).status_code == 200


async def test_a_port_is_never_for_two(scene: GatewayScene, caplog: pytest.LogCaptureFixture) -> None:
    first = await scene.site("first")
    second = await scene.site("second", port=first.order.port, opened=False)
    await until(lambda: "Two deployments were given port" in caplog.text)
    assert scene.ports() == {str(first.order.port): uid_hash(first.order.uid)}
    assert (await first.ask("GET", "/v1/models")).json()["data"][0]["id"] == "first"
    first.take_back()
    await asyncio.sleep(0.1)
    assert scene.ports() == {str(first.order.port): uid_hash(first.order.uid)}, "it rests"
    await second.becomes_open()
    assert (await second.ask("GET", "/v1/models")).json()["data"][0]["id"] == "second"


async def test_a_port_that_is_taken_is_tried_again(scene: GatewayScene, caplog: pytest.LogCaptureFixture) -> None:
    port = order_port()
    with socket.create_server((HOST, port)):
        site = await scene.site(port=port, opened=False)
        other = await scene.site("other")
        await until(lambda: "cannot be opened, and is tried again" in caplog.text)
        assert set(scene.ports()) == {str(other.order.port)}
    await site.becomes_open()
    assert caplog.text.count("cannot be opened") == 1


@pytest.mark.parametrize("text", ["{", '{"version":"v2"}'])
async def test_an_order_that_cannot_be_read_leaves_the_one_before(
    scene: GatewayScene, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    site = await scene.site()
    broken = lease(site.order, site.order.lease_name)
    broken["metadata"]["annotations"] = {"classifiers.dev/gateway": text}
    scene.gateway.leases.put(broken)
    assert "cannot be read" in caplog.text
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    await site.pod()
    assert (await asking).status_code == 200


async def test_an_order_in_the_lease_of_another_is_passed_over(scene: GatewayScene) -> None:
    site = await scene.site()
    stray = site.order.model_copy(update={"port": order_port()})
    scene.gateway.leases.put(lease(stray, "wake-another"))
    assert len(scene.gateway._orders) == 1


async def test_a_thousand_ports(scene: GatewayScene) -> None:
    taken = 0
    sites = []
    for port in range(20_000, 29_999):
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                continue
        sites.append(await scene.site(f"news-{taken}", port=port, opened=False))
        taken += 1
        if taken == 1000:
            break
    await until(lambda: len(scene.ports()) == 1000, seconds=60)
    answers = await asyncio.gather(*(site.ask("GET", "/v1/models") for site in sites[::50]))
    assert [answer.json()["data"][0]["id"] for answer in answers] == [f"news-{number}" for number in range(0, 1000, 50)]
    report = GatewayReport.decode((await scene.report("/report")).content)
    assert all(report.listens(site.order.port, site.order.uid) for site in sites)
    for site in sites:
        site.take_back()
    await until(lambda: not scene.ports())


async def test_both_families_where_there_are_two() -> None:
    (port,) = free_ports(1)
    with listen("", port) as made:
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            if family == socket.AF_INET6 and made.family != socket.AF_INET6:
                continue
            with socket.socket(family) as caller:
                caller.connect((address, port))
        with pytest.raises(OSError, match="in use"):
            listen("", port)
    with listen("127.0.0.1", port) as made:
        assert made.family == socket.AF_INET


async def test_probes_of_the_gateway_itself(scene: GatewayScene) -> None:
    await until(lambda: scene.gateway.state == "Ready")
    assert (await scene.report("/ready")).status_code == 200
    assert (await scene.report("/healthz")).json() == {"status": "Alive"}
    assert (await scene.report("/elsewhere")).status_code == 404
    text = (await scene.report("/metrics")).text
    for name in ("held", "held_bytes", "holds_total", "hold_seconds_bucket", "forward_seconds_bucket", "ports"):
        assert f"classifier_gateway_{name}" in text
    site = await scene.site(opened=False)
    assert scene.gateway.state == "Ready", "a new order does not make it unready"
    await site.becomes_open()


async def test_not_ready_before_the_lists_are_complete() -> None:
    async with gateway_scene() as scene:
        scene.gateway.pods.complete.clear()
        assert scene.gateway.state == "Starting"
        assert (await scene.report("/ready")).status_code == 503
        scene.gateway.pods.complete.set()
        await until(lambda: scene.gateway.state == "Ready")
