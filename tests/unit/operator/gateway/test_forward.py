"""What reaches the pod, what comes back, and what becomes of a request whose pod breaks."""

from __future__ import annotations

import asyncio
import json
import socket

import aiohttp
import httpx
import pytest
from aiohttp import web

from classifier_operator.gateway import forward, gate
from support.fake_server_pod import echo
from support.gateway_scene import HOST, GatewayScene, gateway_scene, until


async def breaking(request: web.BaseRequest) -> web.StreamResponse:
    """Closes the connection before a word is said."""
    await request.content.read()
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def test_path_query_and_body_are_verbatim(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    target = "/models/a%2Fb/../%20?q=%E4+1&&x=y;z?"
    reader, writer = await asyncio.open_connection(HOST, site.order.port)
    writer.write(f"POST {target} HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n".encode() + b"\x00\xff")
    said = json.loads((await reader.read()).partition(b"\r\n\r\n")[2])
    assert (said["target"], said["size"]) == (target, 2)
    writer.close()
    assert (await site.ask("DELETE", "/anything?at=all")).json()["method"] == "DELETE"


async def test_a_whole_url_as_the_target(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    reader, writer = await asyncio.open_connection(HOST, site.order.port)
    writer.write(b"GET http://news.team.svc?x=1 HTTP/1.1\r\nHost: news.team.svc\r\n\r\n")
    answer = await reader.read()
    assert b'"target": "/?x=1"' in answer
    writer.close()


async def test_headers_for_the_pod(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    httpx_adds = ("Accept", "Accept-Encoding", "User-Agent")
    sent = [
        ("Host", "news.team.svc"),
        ("X-API-Key", "k"),
        ("Authorization", "Bearer hub"),
        ("X-Request-ID", "r-1"),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
        ("Connection", "keep-alive, X-Odd"),
        ("X-Odd", "1"),
        ("TE", "trailers"),
        ("Proxy-Authorization", "Basic x"),
        ("Upgrade", "h2c"),
        ("X-Classifier-Model", "forged"),
        ("x-classifier-held-ms", "forged"),
        ("Content-Type", "application/json"),
    ]
    answer = await site.post(content=b'{"input": "gr\xc3\xbc\xc3\x9fe"}', headers=sent)
    said = [(name, value) for name, value in answer.json()["headers"] if name not in httpx_adds]
    assert sorted(said) == sorted(
        [
            ("Host", "news.team.svc"),
            ("X-API-Key", "k"),
            ("Authorization", "Bearer hub"),
            ("X-Request-ID", "r-1"),
            ("X-Twice", "1"),
            ("X-Twice", "2"),
            ("Content-Type", "application/json"),
            ("Content-Length", "20"),
        ]
    )


async def test_nothing_is_added_for_the_pod(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    reader, writer = await asyncio.open_connection(HOST, site.order.port)
    writer.write(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n")
    assert b'"headers": [["host", "h"]]' in await reader.read()
    writer.close()


async def test_headers_for_the_caller(scene: GatewayScene) -> None:
    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        made = web.Response(status=429, reason="Slow down", body=b"\x1f\x8bno gzip", headers={"Retry-After": "7"})
        made.headers.update({"Content-Encoding": "gzip", "X-Classifier-Truncated": "1", "Server": "uvicorn"})
        made.headers.update({"Keep-Alive": "timeout=75", "Connection": "X-Hop", "X-Hop": "1"})
        made.headers.add("Set-Cookie", "a=1")
        made.headers.add("Set-Cookie", "b=2")
        return made

    site = await scene.site()
    await site.pod(answer=answer)
    async with scene.client.stream("POST", f"{site.url}/predict", content=b"{}") as found:
        raw = b"".join([chunk async for chunk in found.aiter_raw()])
    assert (found.status_code, found.reason_phrase, raw) == (429, "Slow down", b"\x1f\x8bno gzip")
    assert found.headers.get_list("set-cookie") == ["a=1", "b=2"]
    assert (found.headers["retry-after"], found.headers["server"]) == ("7", "uvicorn")
    assert (found.headers["x-classifier-truncated"], found.headers["x-classifier-held-ms"]) == ("1", "0")
    assert found.headers["connection"] == "close"
    assert not {"keep-alive", "x-hop", "transfer-encoding"} & set(found.headers)


async def test_an_answer_without_a_body(scene: GatewayScene) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.method == "HEAD":
            return web.Response(headers={"Content-Length": "1234"})
        return web.Response(status=204)

    site = await scene.site()
    await site.pod(answer=answer)
    head = await site.ask("HEAD", "/")
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "1234", b"")
    assert (await site.ask("POST", "/")).status_code == 204


@pytest.mark.parametrize("length", [True, False])
async def test_a_large_answer_is_passed_on_piece_by_piece(scene: GatewayScene, length: bool) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        made = web.StreamResponse(headers={"Content-Length": str(40 * 100_000)} if length else {})
        await made.prepare(request)
        for number in range(40):
            await made.write(bytes([number]) * 100_000)
        await made.write_eof()
        return made

    site = await scene.site()
    await site.pod(answer=answer)
    found = await site.post()
    assert found.content == b"".join(bytes([number]) * 100_000 for number in range(40))
    assert ("content-length" in found.headers) == length


async def test_connections_to_pods_are_kept_and_those_of_callers_closed(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod()
    async with aiohttp.ClientSession() as caller:
        for _ in range(20):
            async with caller.post(f"{site.url}/predict", json={}) as answer:
                assert answer.headers["Connection"] == "close"
                await answer.read()
    assert (pod.requests, pod.connections) == (20, 1)


async def test_none_is_lost_when_a_pod_breaks_midway(scene: GatewayScene) -> None:
    site = await scene.site()
    good, bad = await site.pod("good"), await site.pod("bad")
    stuck = 0

    async def stick(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal stuck
        stuck += 1
        await asyncio.Event().wait()
        return web.Response()

    bad.answer = stick
    asking = [asyncio.create_task(site.post()) for _ in range(40)]
    await until(lambda: stuck == 20)
    await bad.stop()
    assert [answer.status_code for answer in await asyncio.gather(*asking)] == [200] * 40
    assert good.requests == 40
    assert (await site.post()).status_code == 200


async def test_held_again_when_the_only_pod_breaks(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod(answer=breaking)
    pod.ready = False
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    assert pod.requests == 1
    await until(lambda: pod.probes >= 2)
    pod.answer = echo
    pod.ready = True
    answer = await asking
    assert answer.status_code == 200
    assert int(answer.headers["x-classifier-held-ms"]) > 0
    assert len(scene.renewals(site)) >= 1


async def test_held_again_when_a_ready_pod_takes_no_connection(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod(answers=False)
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    await pod.start()
    assert (await asking).status_code == 200


async def test_an_answer_that_breaks_off_is_asked_for_again(scene: GatewayScene) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        made = web.StreamResponse(headers={"Content-Length": "100"})
        await made.prepare(request)
        await made.write(b"half")
        await asyncio.sleep(0.05)
        assert request.transport is not None
        request.transport.abort()
        return made

    site = await scene.site()
    pods = [await site.pod("a", answer=half), await site.pod("b", answer=half)]

    async def whole(request: web.BaseRequest) -> web.StreamResponse:
        return await echo(request)

    pods[1].answer = whole
    for _ in range(2):
        assert (await site.post()).json()["method"] == "POST"


async def test_a_large_answer_that_breaks_off_is_not_taken_for_whole(scene: GatewayScene) -> None:
    async def half(request: web.BaseRequest) -> web.StreamResponse:
        made = web.StreamResponse()
        await made.prepare(request)
        await made.write(b"x" * 1_000_000)
        assert request.transport is not None
        await asyncio.sleep(0.05)
        request.transport.abort()
        return made

    site = await scene.site()
    await site.pod(answer=half)
    with pytest.raises(httpx.RemoteProtocolError):
        await site.post()


async def test_a_request_that_breaks_every_pod_is_given_up(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod(answer=breaking)
    answer = await site.post()
    assert (answer.status_code, answer.json()["error"]["message"]) == (
        502,
        "5 connections to servers broke under this request.",
    )
    assert pod.requests == 5


async def test_an_answer_that_never_comes(scene: GatewayScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_ANSWER_SECONDS", 0.2)
    site = await scene.site(hold_seconds=0.1)

    async def never(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    await site.pod(answer=never)
    answer = await site.post()
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "server_error")


async def test_a_large_answer_that_stops_is_cut(scene: GatewayScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "_ANSWER_SECONDS", 0.5)
    site = await scene.site(hold_seconds=0.1)

    async def stops(request: web.BaseRequest) -> web.StreamResponse:
        made = web.StreamResponse()
        await made.prepare(request)
        await made.write(b"x" * 1_000_000)
        await asyncio.Event().wait()
        return made

    await site.pod(answer=stops)
    with pytest.raises(httpx.RemoteProtocolError):
        await site.post()


async def test_a_caller_who_leaves_takes_the_request_to_the_pod_along(scene: GatewayScene) -> None:
    left = asyncio.Event()

    async def slow(request: web.BaseRequest) -> web.StreamResponse:
        while request.transport is not None:  # noqa: ASYNC110  # aiohttp has no event for it
            await asyncio.sleep(0.01)
        left.set()
        return web.Response()

    site = await scene.site()
    pod = await site.pod(answer=slow)
    asking = asyncio.create_task(site.post())
    await until(lambda: pod.requests == 1)
    asking.cancel()
    await asyncio.wait_for(left.wait(), 10)
    await until(lambda: all(each.in_flight == 0 for each in scene.deployment(site).pods._pods.values()))


async def test_pods_that_are_being_deleted_get_nothing_new(scene: GatewayScene) -> None:
    site = await scene.site()
    going, staying = await site.pod("going"), await site.pod("staying")
    site.see("going", ready=True, deleting=True)
    for _ in range(5):
        await site.post()
    assert (going.requests, staying.requests) == (0, 5)
    site.vanish("staying")
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    await site.pod("new")
    assert (await asking).status_code == 200
    assert going.requests == 0


@pytest.mark.parametrize("phase", ["Failed", "Succeeded"])
async def test_pods_that_have_ended_get_nothing(scene: GatewayScene, phase: str) -> None:
    site = await scene.site()
    pod = await site.pod()
    site.see("pod-a", ready=True, phase=phase)
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    assert pod.probes == 0
    site.see("pod-a", ready=True)
    assert (await asking).status_code == 200


async def test_a_ready_pod_is_not_probed(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod()
    await site.post()
    assert pod.probes == 0


async def test_our_own_probe_counts_for_a_while(scene: GatewayScene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("classifier_operator.gateway.pods.PROBE_COUNTS_SECONDS", 0.2)
    site = await scene.site()
    pod = await site.pod(ready=False)
    assert (await site.post()).status_code == 200
    probes = pod.probes
    assert (await site.post()).headers["x-classifier-held-ms"] == "0"
    assert pod.probes == probes
    await asyncio.sleep(0.3)
    assert (await site.post()).status_code == 200
    assert pod.probes > probes


async def test_a_probe_that_hangs_is_not_awaited() -> None:
    async with gateway_scene(probe_timeout_seconds=0.1) as scene:
        site = await scene.site()
        silent = socket.create_server(("127.0.9.9", scene.pod_ports[1]))  # the kernel takes connections, nobody answers
        pod = await site.pod(ready=False, answers=False)
        pod.address = "127.0.9.9"
        site.see("pod-a", ready=False)
        asking = asyncio.create_task(site.post())
        await scene.held(site, 1)
        await asyncio.sleep(0.3)
        await site.pod("pod-b", ready=False)
        assert (await asking).status_code == 200
        silent.close()


async def test_the_session_is_one() -> None:
    async with gateway_scene() as scene:
        assert scene.gateway._prober._session is scene.gateway._gate._forwarder._session
        assert isinstance(scene.gateway._session.connector, aiohttp.TCPConnector)
        assert forward._IDLE_SECONDS < 75
