"""Whoever only looks at a deployment that sleeps is answered, and does not wake it."""

from __future__ import annotations

import asyncio
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support.gateway_scene import GatewayScene

KEY = "a-key-of-the-team"
DIGESTS = (hashlib.sha256(b"other").hexdigest(), hashlib.sha256(KEY.encode()).hexdigest())


@pytest.mark.parametrize(
    ("path", "status", "body"),
    [
        ("/health", 200, {"status": "Sleeping"}),
        ("/v2/health/live", 200, {"status": "Sleeping"}),
        ("/ready", 503, {"status": "Sleeping", "reason": "Idle", "ready": False}),
        ("/v2/models/news/ready", 503, {"status": "Sleeping", "ready": False}),
        ("/v1/models", 200, {"data": [{"id": "news", "object": "model", "created": 0, "owned_by": "team"}]}),
        ("/", 200, {"status": "Sleeping", "hint": "A POST to one of its paths wakes it."}),
        ("/docs", 200, {"status": "Sleeping", "model": "news"}),
    ],
)
async def test_looking_does_not_wake(scene: GatewayScene, path: str, status: int, body: dict[str, Any]) -> None:
    site = await scene.site()
    answer = await site.ask("GET", path)
    assert answer.status_code == status
    assert body.items() <= answer.json().items()
    assert answer.headers["connection"] == "close"
    assert answer.headers["cache-control"] == "no-store"
    head = await site.ask("HEAD", path)
    assert (head.status_code, head.content) == (status, b"")
    assert not scene.renewed


@pytest.mark.parametrize("path", ["/openapi.json", "/v2", "/v2/models/news", "/metrics"])
async def test_what_only_a_server_can_tell(scene: GatewayScene, path: str) -> None:
    site = await scene.site()
    answer = await site.ask("GET", path)
    assert answer.status_code == 503
    assert "retry-after" not in answer.headers
    assert not scene.renewed


async def test_a_page_for_people(scene: GatewayScene) -> None:
    site = await scene.site(message="It sleeps <b>&amp;</b>.")
    answer = await site.ask("GET", "/", headers={"Accept": "text/html,*/*"})
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "news is asleep" in answer.text
    assert "&lt;b&gt;&amp;amp;&lt;/b&gt;" in answer.text
    site.tell(answer="Refuse", message="It is suspended.")
    answer = await site.ask("GET", "/", headers={"Accept": "text/html"})
    assert "It is suspended." in answer.text
    assert "A request does not wake it." in answer.text


async def test_who_looks_while_it_wakes_is_told(scene: GatewayScene) -> None:
    site = await scene.site()
    asking = asyncio.create_task(site.post())
    await scene.held(site, 1)
    assert (await site.ask("GET", "/ready")).json()["status"] == "Waking"
    assert (await site.ask("GET", "/health")).json()["status"] == "Waking"
    await site.pod()
    await asking


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/nothing", 404, None),
        ("POST", "/nothing", 404, None),
        ("GET", "/predict", 405, "POST"),
        ("DELETE", "/", 405, "GET, HEAD, POST"),
        ("POST", "/ready", 405, "GET, HEAD"),
        ("OPTIONS", "/v1/classification", 405, "POST"),
    ],
)
async def test_what_there_is_not(scene: GatewayScene, method: str, path: str, status: int, allow: str | None) -> None:
    site = await scene.site()
    answer = await site.ask(method, path)
    assert (answer.status_code, answer.headers.get("allow")) == (status, allow)
    assert answer.json()["error"]["code"] == status
    assert not scene.renewed


async def test_a_wrong_key_does_not_wake(scene: GatewayScene) -> None:
    site = await scene.site(key_digests=DIGESTS)
    for headers in ({}, {"X-API-Key": "wrong"}, {"Authorization": f"Basic {KEY}"}):
        answer = await site.post(headers=headers)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        assert (await site.ask("GET", "/v1/models", headers=headers)).status_code == 401
        assert (await site.ask("GET", "/health", headers=headers)).status_code == 200
    assert not scene.renewed
    assert (await site.ask("GET", "/v1/models", headers={"X-API-Key": KEY})).status_code == 200


async def test_a_wrong_key_is_refused_before_the_body_is_there(scene: GatewayScene) -> None:
    site = await scene.site(key_digests=DIGESTS)
    reader, writer = await asyncio.open_connection("127.0.8.1", site.order.port)
    writer.write(b"POST /predict HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n")
    assert (await reader.readline()).startswith(b"HTTP/1.1 401 ")
    writer.close()


@pytest.mark.parametrize("headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}])
async def test_the_right_key_wakes(
    scene: GatewayScene, headers: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    site = await scene.site(key_digests=DIGESTS)
    asking = asyncio.create_task(site.post(headers=headers))
    await scene.held(site, 1)
    await site.pod()
    assert (await asking).status_code == 200
    assert KEY not in caplog.text
    assert DIGESTS[1] not in caplog.text


async def test_no_keys_at_all_closes(scene: GatewayScene) -> None:
    site = await scene.site(key_digests=())
    answer = await site.post(headers={"X-API-Key": KEY})
    assert answer.status_code == 503
    assert "its Secret is missing or empty" in answer.json()["error"]["message"]
    assert not scene.renewed


@pytest.mark.parametrize(
    ("changes", "retry_after"),
    [
        ({}, None),
        ({"retry_after_seconds": 30}, "30"),
        ({"retry_at": datetime(2000, 1, 1, tzinfo=UTC)}, "1"),
    ],
)
async def test_an_order_that_refuses(scene: GatewayScene, changes: dict[str, Any], retry_after: str | None) -> None:
    site = await scene.site(answer="Refuse", reason="OutsideSchedule", message="It sleeps until 08:00.", **changes)
    answer = await site.post()
    assert (answer.status_code, answer.headers.get("retry-after")) == (503, retry_after)
    assert answer.json()["error"] == {"message": "It sleeps until 08:00.", "type": "server_error", "code": 503}
    assert not scene.renewed


async def test_retry_after_counts_down_to_the_next_window(scene: GatewayScene) -> None:
    site = await scene.site(answer="Refuse", retry_at=datetime.now(UTC) + timedelta(hours=2))
    answer = await site.post()
    assert 7100 < int(answer.headers["retry-after"]) <= 7200


async def test_bad_bodies_and_keys_come_before_the_refusal(scene: GatewayScene) -> None:
    site = await scene.site(answer="Refuse", key_digests=DIGESTS)
    assert (await site.post()).status_code == 401
    answer = await site.post(content=b"{", headers={"X-API-Key": KEY, "Content-Type": "application/json"})
    assert answer.status_code == 400
