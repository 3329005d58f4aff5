"""What is refused before anybody wakes, byte by byte."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from classifier_operator.gateway.metrics import REJECTED
from support.gateway_scene import HOST, GatewayScene, Site, gateway_scene, until

MIB = 2**20


async def raw(site: Site, *parts: bytes, pause: float = 0.0, until_closed: bool = True) -> bytes:
    """What comes back when exactly these bytes are sent."""
    reader, writer = await asyncio.open_connection(HOST, site.order.port)
    try:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause)
        return await asyncio.wait_for(reader.read(), 10) if until_closed else b""
    finally:
        writer.close()


def refused(answer: bytes, status: int) -> dict[str, Any]:
    """The error of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 %d " % status, b"HTTP/1.0 %d " % status)), answer[:200]
    assert b"connection: close" in head.lower()
    error: dict[str, Any] = json.loads(body)["error"]
    assert error["code"] == status
    return error


def post(headers: str = "", body: bytes = b"") -> bytes:
    head = f"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: {len(body)}\r\n{headers}\r\n"
    return head.encode("latin-1") + body


async def test_headers_in_one_piece(scene: GatewayScene) -> None:
    site = await scene.site()
    many = "".join(f"X-{number}: {'v' * 100}\r\n" for number in range(200))
    error = refused(await raw(site, post(many)), 431)
    assert error == {"message": "The headers are larger than 16 KiB.", "type": "invalid_request_error", "code": 431}
    refused(await raw(site, post(f"X-Long: {'v' * 20_000}\r\n")), 431)
    assert not scene.renewed


async def test_headers_that_never_end(scene: GatewayScene) -> None:
    site = await scene.site()
    line = b"X-A: " + b"v" * 1000 + b"\r\n"
    refused(await raw(site, b"POST / HTTP/1.1\r\nHost: h\r\n", *[line] * 17, pause=0.001), 431)


async def test_headers_just_below_the_limit(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod()
    answer = await raw(site, post(f"X-Long: {'v' * 15_000}\r\n", b"{}"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert pod.requests == 1


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"POST /predict HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
        b"POST /predict HTTP/1.1\r\nHost: h\r\nX-Latin: \xe9\r\nContent-Length: 2\r\n\r\n{}",
        b"POST predict HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_is_no_proper_request(scene: GatewayScene, request_bytes: bytes) -> None:
    site = await scene.site()
    refused(await raw(site, request_bytes), 400)
    assert not scene.renewed


async def test_a_head_that_does_not_come(caplog: pytest.LogCaptureFixture) -> None:
    async with gateway_scene(receive_seconds=0.2) as scene:
        site = await scene.site()
        error = refused(await raw(site, b"POST / HTTP/1.1\r\nHost"), 408)
        assert error["message"] == "The head of a request did not arrive within 0.2 s."
        refused(await raw(site), 408)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_a_body_that_does_not_come() -> None:
    async with gateway_scene(receive_seconds=0.2) as scene:
        site = await scene.site()
        head = b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n"
        error = refused(await raw(site, head, b"{"), 408)
        assert error["message"] == "The body did not arrive within 0.2 s."
        assert not scene.renewed


@pytest.mark.parametrize("awake", [True, False])
async def test_a_body_that_is_too_large(scene: GatewayScene, awake: bool) -> None:
    site = await scene.site()
    if awake:
        await site.pod()

    async def pieces() -> Any:
        for _ in range(80):
            yield b"x" * (MIB // 16)

    declared = await site.post(content=b"x" * (4 * MIB + 1))
    counted = await site.post(content=pieces())
    for answer in (declared, counted):
        assert answer.status_code == 413
        assert answer.json()["error"]["message"] == "The body is larger than 4 MiB."
    assert not scene.renewed


async def test_the_largest_body_passes(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    for _ in range(2):
        answer = await site.post(content=b"x" * (4 * MIB))
        assert answer.json()["size"] == 4 * MIB


async def test_a_compressed_body(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    answer = await site.post(headers={"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (415, "Content-Encoding")
    assert (await site.post(headers={"Content-Encoding": "identity"})).status_code == 200
    head = b"POST /predict HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n"
    assert refused(await raw(site, head + b"0\r\n\r\n"), 415)["param"] == "Transfer-Encoding"


async def test_continue_is_said_only_where_the_body_is_wanted(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    reader, writer = await asyncio.open_connection(HOST, site.order.port)
    head = "POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n"
    writer.write(head.format(2).encode())
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Expect" not in answer.partition(b"\r\n\r\n")[2]
    writer.close()
    refused(await raw(site, head.format(5 * MIB).encode()), 413)


async def test_what_is_not_json_does_not_wake(scene: GatewayScene) -> None:
    site = await scene.site()
    for content in (b"{", b"", b'"\xff"', b"[" * 100_000):
        answer = await site.post(content=content, headers={"Content-Type": "application/json; charset=utf-8"})
        assert (answer.status_code, answer.json()["error"]["message"]) == (400, "The body is not valid JSON in UTF-8.")
    assert not scene.renewed


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/octet-stream"},
        {"Content-Type": "application/json", "Inference-Header-Content-Length": "2"},
    ],
)
async def test_what_does_not_say_that_it_is_json_is_held(scene: GatewayScene, headers: dict[str, str]) -> None:
    site = await scene.site()
    asking = asyncio.create_task(site.post(content=b"{}\x00\x01", headers=headers))
    await scene.held(site, 1)
    await site.pod()
    assert (await asking).status_code == 200


async def test_methods_that_are_never_forwarded(scene: GatewayScene) -> None:
    site = await scene.site()
    pod = await site.pod()
    for method in ("TRACE", "PROPFIND"):
        assert (await site.ask(method, "/")).status_code == 405
    refused(await raw(site, b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n"), 405)
    assert pod.requests == 0


async def test_a_bug_is_told_to_the_log_and_not_to_the_caller(
    scene: GatewayScene, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = await scene.site()

    def broken(*_: object) -> None:
        raise RuntimeError("a secret of ours")

    monkeypatch.setattr("classifier_operator.gateway.gate.check_json", broken)
    answer = await site.post()
    assert (answer.status_code, answer.json()["error"]["type"]) == (500, "server_error")
    assert "secret" not in answer.text
    assert "a secret of ours" in caplog.text


async def test_pipelined_requests_get_one_answer(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    answer = await raw(site, post(body=b"{}") * 2)
    assert answer.count(b"HTTP/1.1 200") == 1


async def test_refusals_are_counted(scene: GatewayScene) -> None:
    site = await scene.site()
    before = REJECTED.labels("NoSuchPath")._value.get()
    assert (await site.ask("GET", "/nothing")).status_code == 404
    assert REJECTED.labels("NoSuchPath")._value.get() == before + 1
    assert "classifier_gateway_rejected_total" in (await scene.report("/metrics")).text


async def test_memory_is_given_back(scene: GatewayScene) -> None:
    site = await scene.site()
    await site.pod()
    budget = scene.gateway._gate._budget
    with pytest.raises(httpx.ReadError):
        await asyncio.wait_for(raw_cut(site), 10)
    await site.post()
    await site.ask("GET", "/nothing")
    await until(lambda: budget.used == 0)


async def raw_cut(site: Site) -> None:
    """A caller who leaves in the middle of the body."""
    await raw(
        site, b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 10000\r\n\r\n", b"x" * 5000, until_closed=False
    )
    raise httpx.ReadError("left")
