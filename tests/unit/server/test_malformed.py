"""Whatever is sent, in whichever dialect: the answer is in the dialect's shape, never a failure of the server, and
never repeats what was sent. `make bench NAME=serve_malformed` tries many more."""

from __future__ import annotations

from collections import Counter
from typing import Any

import httpx

from support.malformed_requests import GOOD, Request, make_request
from support.refusals import mistakes_in

REQUESTS = 700


async def test_what_is_changed_is_good_before(make_service: Any) -> None:
    transport = httpx.ASGITransport(make_service("Multilabel").app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
        for path, document in GOOD:
            assert (await client.post(path, json=document)).status_code == 200, (path, document)


async def test_malformed_requests_are_refused(make_service: Any) -> None:
    service = make_service("Multilabel")
    statuses: Counter[int] = Counter()
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app, raise_app_exceptions=False), base_url="http://server"
    ) as client:
        for seed in range(REQUESTS):
            request = make_request(seed)
            answer = await client.post(request.path, content=request.body, headers=request.headers)
            assert mistakes_in(request, answer) == [], seed
            statuses[answer.status_code] += 1
    assert service.state.stats()["inFlight"] == service.engine.queued == 0
    # the generator reaches what it is for
    assert {200, 400, 404, 415, 422, 431} <= statuses.keys()
    assert statuses[200] < REQUESTS / 3


def test_a_mistake_would_be_found() -> None:
    request = Request("/classify", b"{}")
    for answer in (
        httpx.Response(500, json={"error": {"message": "a", "type": "b", "param": None, "code": 500}}),
        httpx.Response(400, json={"error": "not vLLM's shape"}),
        httpx.Response(400, json={"error": {"message": "s3cr3t-of-the-caller", "type": "b", "param": None, "code": 1}}),
        httpx.Response(400, text="no JSON"),
        httpx.Response(200, text="no JSON"),
    ):
        assert len(mistakes_in(request, answer)) == 1
