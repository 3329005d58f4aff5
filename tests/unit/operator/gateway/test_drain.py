"""A gateway that stops loses nobody."""

from __future__ import annotations

import asyncio
import socket

import httpx
import pytest
from aiohttp import web

from classifier_operator.errors import KubeError
from support.fake_server_pod import echo
from support.gateway_scene import HOST, GatewayScene, gateway_scene, until

POD_IP = "10.1.2.3"


async def test_it_goes_on_while_something_leads_here() -> None:
    async with gateway_scene(pod_ip=POD_IP) as scene:
        site = await scene.site()
        leads = True

        async def leads_here() -> bool:
            return leads

        scene.leads_here = leads_here
        await until(lambda: scene.gateway.state == "Ready")
        draining = asyncio.create_task(scene.drain())
        await until(lambda: scene.gateway.state == "Stopping")
        assert (await scene.report("/ready")).status_code == 503
        asking = asyncio.create_task(site.post())
        await scene.held(site, 1)
        await asyncio.sleep(0.2)
        assert not draining.done()
        await site.pod()
        assert (await asking).status_code == 200
        assert (await site.post()).status_code == 200
        leads = False
        await asyncio.wait_for(draining, 10)
        with pytest.raises(httpx.ConnectError):
            await site.post()


async def test_who_is_held_is_waited_for() -> None:
    """A wake may take longer than all nodes need to lead elsewhere."""
    async with gateway_scene() as scene:
        site = await scene.site()
        asking = asyncio.create_task(site.post())
        await scene.held(site, 1)
        draining = asyncio.create_task(scene.drain())
        await asyncio.sleep(0.5)
        assert not asking.done()
        await site.pod()
        assert (await asking).status_code == 200
        await asyncio.wait_for(draining, 10)


async def test_who_is_held_for_too_long_is_sent_away_and_who_is_in_flight_is_answered() -> None:
    async with gateway_scene(drain_seconds=0.3) as scene:
        asleep, awake = await scene.site("asleep"), await scene.site("awake")
        gate = asyncio.Event()

        async def slow(request: web.BaseRequest) -> web.StreamResponse:
            await gate.wait()
            return await echo(request)

        pod = await awake.pod(answer=slow)
        held, flying = asyncio.create_task(asleep.post()), asyncio.create_task(awake.post())
        await scene.held(asleep, 1)
        await until(lambda: pod.requests == 1)
        draining = asyncio.create_task(scene.drain())
        answer = await held
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert "about to stop" in answer.json()["error"]["message"]
        await asyncio.sleep(0.1)
        assert not draining.done()
        gate.set()
        assert (await flying).status_code == 200
        await asyncio.wait_for(draining, 10)


async def test_who_waits_for_a_pod_with_room_is_answered() -> None:
    async with gateway_scene(pod_in_flight=1) as scene:
        site = await scene.site()
        await site.pod()
        asking = [asyncio.create_task(site.post()) for _ in range(10)]
        await until(lambda: len(scene.deployment(site).room) > 2)
        await asyncio.wait_for(scene.drain(), 10)
        assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * 10


async def test_a_connection_that_was_just_made_is_still_answered() -> None:
    async with gateway_scene() as scene:
        site = await scene.site()
        await site.pod()
        reader, writer = await asyncio.open_connection(HOST, site.order.port)
        idle, idle_writer = await asyncio.open_connection(HOST, site.order.port)
        await asyncio.sleep(0.05)
        draining = asyncio.create_task(scene.drain())
        await until(lambda: not scene.ports())
        writer.write(b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")
        assert await idle.read() == b"", "who says nothing is not waited for"
        await asyncio.wait_for(draining, 10)
        writer.close()
        idle_writer.close()


async def test_not_for_ever_where_something_leads_here_for_ever(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway_scene(pod_ip=POD_IP, drain_seconds=0.3) as scene:

        async def leads_here() -> bool:
            return True

        scene.leads_here = leads_here
        await asyncio.wait_for(scene.drain(), 10)
    assert "A Service still leads here" in caplog.text


async def test_an_api_server_that_does_not_answer_is_not_taken_for_an_all_clear() -> None:
    async with gateway_scene(pod_ip=POD_IP, drain_seconds=30.0) as scene:
        asked = 0

        async def leads_here() -> bool:
            nonlocal asked
            asked += 1
            if asked < 4:
                raise KubeError(0, "Unreachable", "no answer")
            return False

        scene.leads_here = leads_here
        await asyncio.wait_for(scene.drain(), 10)
        assert asked == 4


async def test_an_answer_that_takes_too_long_is_given_up(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway_scene(finish_seconds=0.2) as scene:
        site = await scene.site()

        async def never(_: web.BaseRequest) -> web.StreamResponse:
            await asyncio.Event().wait()
            return web.Response()

        pod = await site.pod(answer=never)
        asking = asyncio.create_task(site.post())
        await until(lambda: pod.requests == 1)
        await asyncio.wait_for(scene.drain(), 10)
        asking.cancel()
    assert "were not answered within" in caplog.text


async def test_without_an_address_of_its_own(scene: GatewayScene, caplog: pytest.LogCaptureFixture) -> None:
    await asyncio.wait_for(scene.drain(), 10)
    assert "POD_IP is not set" in caplog.text


def test_loopback_has_room_for_pods() -> None:
    """The fake pods need addresses of their own: all of 127/8 must be this machine."""
    with socket.create_server(("127.0.8.77", 0)):
        pass
