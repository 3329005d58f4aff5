"""Requests are held, and leave again: with an answer, or with a sentence."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from aiohttp import web

from classifier_operator.gateway.metrics import HELD
from support.gateway_scene import HOST, GatewayScene, Site, gateway_scene, until


def held(site: Site) -> float | None:
    """What the gauge says."""
    for metric in HELD.collect():
        for sample in metric.samples:
            if sample.labels == {"namespace": site.order.namespace, "name": site.order.name}:
                return sample.value
    return None


async def test_held_until_our_own_probe_says_ready(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = [asyncio.create_task(site.post()) for _ in range(50)]
    await scene.held(site, 50)
    assert held(site) == 50
    pod = await site.pod(ready=False)
    pod.ready = False
    await until(lambda: pod.probes >= 3)
    assert pod.requests == 0
    pod.ready = True
    answers = await asyncio.gather(*asking)
    assert [answer.status_code for answer in answers] == [200] * 50
    assert all(int(answer.headers["x-classifier-held-ms"]) > 0 for answer in answers)
    assert held(site) is None
    assert scene.renewals(site)


async def test_held_until_the_kubelet_says_ready(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    pod = await site.pod(ready=False)
    pod.ready = False
    await until(lambda: pod.probes >= 1)
    site.see("pod-a", ready=True)
    assert (await asking).status_code == 200


async def test_a_pod_is_asked_as_soon_as_it_has_an_address() -> None:
    async with gateway_scene(probe_seconds=30.0) as scene:
        site = await scene.site()
        asking = asyncio.create_task(site.post())
        await scene.held(site, 1)
        await site.pod(ready=False)
        site.see("pod-a", ready=False, ip=False)
        site.see("pod-a", ready=False)
        assert (await asyncio.wait_for(asking, 10)).status_code == 200


async def test_those_who_were_held_are_spread_over_the_pods() -> None:
    async with gateway_scene(pod_in_flight=10) as scene:
        site = await scene.site()
        asking = [asyncio.create_task(site.post()) for _ in range(60)]
        await scene.held(site, 60)
        pods = [await site.pod(f"pod-{number}", ready=False) for number in range(3)]
        assert {answer.status_code for answer in await asyncio.gather(*asking)} == {200}
        assert sum(pod.requests for pod in pods) == 60
        assert min(pod.requests for pod in pods) >= 10


async def test_a_pod_gets_no_more_than_it_can_queue() -> None:
    async with gateway_scene(pod_in_flight=4) as scene:
        site = await scene.site(max_held=2)
        gate, now, most = asyncio.Event(), 0, 0

        async def slow(_: web.BaseRequest) -> web.StreamResponse:
            nonlocal now, most
            now += 1
            most = max(most, now)
            await gate.wait()
            now -= 1
            return web.Response()

        await site.pod(answer=slow)
        asking = [asyncio.create_task(site.post()) for _ in range(6)]
        await scene.held(site, 2)
        await until(lambda: now == 4)
        refused = await site.post()  # they wait as those who are held do: as many of them as may
        assert (refused.status_code, refused.json()["error"]["message"]) == (
            503,
            "2 requests wait already (wake.maxHeld).",
        )
        gate.set()
        assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * 6
        assert most == 4


async def test_no_more_than_max_held(scene: GatewayScene) -> None:
    site = await scene.site(max_held=3, wake_seconds=40.0)
    asking = [asyncio.create_task(site.post()) for _ in range(3)]
    await scene.held(site, 3)
    refused = await site.post()
    assert refused.status_code == 503
    assert 30 <= int(refused.headers["retry-after"]) <= 40
    await site.pod()
    assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * 3


async def test_not_longer_than_the_hold_timeout(scene: GatewayScene) -> None:
    site = await scene.site(hold_seconds=0.3)
    answer = await site.post()
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")
    assert "No server became ready" in answer.json()["error"]["message"]
    assert len(scene.renewals(site)) == 1


@pytest.mark.parametrize(
    "headers",
    [{"Prefer": "respond-async"}, {"X-Wait-For-Model": "false"}, {"X-Scale-Up-Timeout": "5"}],
)
async def test_who_does_not_wait_wakes_all_the_same(scene: GatewayScene, headers: dict[str, str]) -> None:
    site = await scene.site(wake_seconds=60.0)
    answer = await site.post(headers=headers)
    assert answer.status_code == 503
    assert 55 <= int(answer.headers["retry-after"]) <= 60
    await until(lambda: len(scene.renewals(site)) == 1)


async def test_who_does_not_wait_is_told_ten_seconds_where_nobody_knows(scene: GatewayScene) -> None:
    site = await scene.site()
    answer = await site.post(headers={"Prefer": "respond-async"})
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "10")


async def test_who_waits_less_than_the_hold_timeout(scene: GatewayScene) -> None:
    site = await scene.site(wake_seconds=0.1)
    begun = asyncio.get_running_loop().time()
    answer = await site.post(headers={"X-Scale-Up-Timeout": "1"})
    assert answer.status_code == 503
    assert asyncio.get_running_loop().time() - begun < site.order.hold_seconds / 2


async def test_a_failed_wake_is_told_to_those_who_were_held(scene: GatewayScene) -> None:
    before = datetime(2026, 1, 1, tzinfo=UTC)
    site = await scene.site(failed_at=before)
    asking = [asyncio.create_task(site.post()) for _ in range(2)]
    await scene.held(site, 2)
    site.tell(failed_at=before.replace(year=2027), message="No node has a free GPU.", wake_seconds=30.0)
    for answer in await asyncio.gather(*asking):
        assert (answer.status_code, answer.json()["error"]["message"]) == (503, "No node has a free GPU.")
        assert answer.headers["retry-after"] == "30"
    later = asyncio.create_task(site.post())
    await scene.held(site, 1)
    await site.pod()
    assert (await later).status_code == 200


@pytest.mark.parametrize("pods", [False, True])
async def test_an_order_that_turns_to_refusal(scene: GatewayScene, pods: bool) -> None:
    site = await scene.site()
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    if pods:
        await site.pod(ready=False, answers=False)
    site.tell(answer="Refuse", reason="Suspended", message="It is suspended.")
    answer = await asking
    assert (answer.status_code, answer.json()["error"]["message"]) == (503, "It is suspended.")
    assert "retry-after" not in answer.headers


async def test_an_order_that_is_taken_back(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    site.take_back()
    answer = await asking
    assert answer.status_code == 503
    assert "not served here any more" in answer.json()["error"]["message"]


async def test_an_order_that_says_the_same_changes_nothing(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    site.tell(message="It is waking.")
    await asyncio.sleep(0.05)
    assert not asking.done()
    await site.pod()
    assert (await asking).status_code == 200


async def test_a_caller_who_leaves_is_forgotten(scene: GatewayScene) -> None:
    site = await scene.site()
    budget = scene.gateway._gate._budget
    writers = []
    for _ in range(5):
        _, writer = await asyncio.open_connection(HOST, site.order.port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
        writers.append(writer)
    await scene.held(site, 5)
    assert budget.used > 5 * 2
    for writer in writers[:3]:
        writer.transport.abort()
    await scene.held(site, 2)
    for writer in writers[3:]:
        writer.close()
    await scene.held(site, 0)
    await until(lambda: budget.used == 0)
    pod = await site.pod()
    assert (await site.post()).status_code == 200
    assert pod.requests == 1


async def test_a_caller_who_leaves_as_a_pod_is_found_gives_it_back() -> None:
    async with gateway_scene(pod_in_flight=1) as scene:
        site = await scene.site()
        _, writer = await asyncio.open_connection(HOST, site.order.port)
        writer.write(b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}")
        await scene.held(site, 1)
        deployment = scene.deployment(site)
        (task,) = [task for task in asyncio.all_tasks() if "_handle_request" in str(task.get_coro())]
        await site.pod()
        assert [pod.in_flight for pod in deployment.pods._pods.values()] == [1]
        task.cancel()
        await until(lambda: all(pod.in_flight == 0 for pod in deployment.pods._pods.values()))
        writer.close()
        assert (await site.post()).status_code == 200


async def test_each_namespace_has_its_share_of_memory() -> None:
    async with gateway_scene(budget_bytes=1_000_000) as scene:
        greedy, modest = await scene.site("a", namespace="greedy"), await scene.site("b", namespace="modest")
        body = b"x" * 150_000
        asking = [asyncio.create_task(greedy.post(content=body)) for _ in range(3)]
        await scene.held(greedy, 3)
        refused = await greedy.post(content=body)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
        assert "memory" in refused.json()["error"]["message"]
        asking.append(asyncio.create_task(modest.post(content=body)))
        await scene.held(modest, 1)
        for site in (greedy, modest):
            await site.pod()
        assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * 4


async def test_who_lacks_memory_wakes_all_the_same() -> None:
    async with gateway_scene(budget_bytes=100_000) as scene:
        site = await scene.site()
        refused = await site.post(content=b"x" * 150_000)
        assert refused.status_code == 503
        await until(lambda: len(scene.renewals(site)) == 1)


async def test_pages_need_no_memory() -> None:
    async with gateway_scene(budget_bytes=10) as scene:
        site = await scene.site()
        assert (await site.ask("GET", "/health")).status_code == 200
        assert (await site.post()).status_code == 503
