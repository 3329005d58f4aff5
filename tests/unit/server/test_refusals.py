"""What is refused, how it is said, and that the input is never echoed."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.types import Message

from classifier_server import limits
from classifier_server.dialects import native
from classifier_server.dialects.dialect import Incoming
from classifier_server.errors import RequestError

JSON = {"content-type": "application/json"}


async def refused(client: httpx.AsyncClient, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
    response = await client.post("/v1/classification", content=body, headers=JSON | headers)
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"]
    error = response.json()["error"]
    assert error["code"] == response.status_code
    return response.status_code, error


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"input=1", b'{"input": "\xff"}', b'{"input": "\\ud800"}', b'{"input": "\\udc00\\ud800"}',
        b"[" * 100_000, b'{"input": NaN', b'{"a":' * 5000, b"\x00", b'\xef\xbb\xbf{"input":"1"}',
    ],
)  # fmt: skip
async def test_no_json(client: httpx.AsyncClient, body: bytes) -> None:
    status, error = await refused(client, body)
    assert (status, error["message"]) == (400, "The body is not valid JSON in UTF-8.")


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        (b"[]", None, "The body must be a JSON object with the field input."),
        (b'"text"', None, "The body must be a JSON object with the field input."),
        (b"NaN", None, "The body must be a JSON object with the field input."),
        (b"{}", "input", "input is missing: write a string or a list of strings."),
        (b'{"input": null}', "input", "input must be a string or a list of strings."),
        (b'{"input": NaN}', "input", "input must be a string or a list of strings."),
        (b'{"input": {"secret": "x"}}', "input", "input must be a string or a list of strings."),
        (b'{"input": []}', "input", "input is empty: write at least one text."),
        (b'{"input": ["1", "2", 3]}', "input[2]", "input[2] must be a string."),
        (b'{"input": ["1", ["secret"]]}', "input[1]", "input[1] must be a string."),
        (b'{"input": ["1", ""]}', "input[1]", "input[1] is empty: the tokenizer makes no token of it."),
        (b'{"input": ""}', "input", "input is empty: the tokenizer makes no token of it."),
        (b'{"input": "1", "data_format": "secret"}', "data_format", "data_format must be probs or logits."),
        (b'{"input": "1", "top_k": 0}', "top_k", "top_k must be a whole number from 1 on."),
        (b'{"input": "1", "top_k": 1e400}', "top_k", "top_k must be a whole number from 1 on."),
        (b'{"input": "1", "top_k": true}', "top_k", "top_k must be a whole number from 1 on."),
        (b'{"input": "1", "truncate": "right"}', "truncate", "truncate must be Right, Left or Error."),
        (
            b'{"input": "1", "thresholds": {"a": 2, "secret": 1}}',
            "thresholds",
            "thresholds must be an object of numbers from 0 to 1 by label.",
        ),
        (
            b'{"input": "1", "thresholds": {"secret": 0.5}}',
            "thresholds",
            "thresholds has a label that the model does not have; it has a, b, c.",
        ),
        (
            b'{"input": "1", "long_text": {}}',
            "long_text.strategy",
            "long_text.strategy is missing: write Max or Mean.",
        ),
        (
            b'{"input": "1", "long_text": {"strategy": "Max", "stride": -1}}',
            "long_text.stride",
            "long_text.stride must be a whole number from 0 on.",
        ),
        (
            b'{"input": "1", "long_text": {"strategy": "Max", "stride": 8}}',
            "long_text.stride",
            "long_text.stride must be from 0 to 7 with this model.",
        ),
        (
            b'{"input": "1", "long_text": {"strategy": "Max"}, "truncate": "Left"}',
            "truncate",
            "long_text reads texts whole: leave truncate out.",
        ),
        (b'{"input": "1", "model": 7}', "model", "model must be a string."),
        (
            b'{"input": "1", "inputs": "secret"}',
            "inputs",
            "A field of the request is not known; known are model, input, data_format, top_k, thresholds, truncate, "
            "long_text.",
        ),
    ],
)
async def test_wrong_fields(client: httpx.AsyncClient, body: bytes, param: str | None, message: str) -> None:
    status, error = await refused(client, body)
    assert (status, error.get("param"), error["message"]) == (422, param, message)


async def test_too_many_texts_is_422_and_never_429(client: httpx.AsyncClient, make_service: Any) -> None:
    status, error = await refused(client, json.dumps({"input": ["1"] * 257}).encode())
    assert (status, error["message"]) == (422, "input has 257 texts, at most 256 are taken at once.")
    transport = httpx.ASGITransport(make_service(max_queue=4).app)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as small:
        status, error = await refused(small, json.dumps({"input": ["1"] * 5}).encode())
        assert (status, error["message"]) == (422, "input has 5 texts, at most 4 are taken at once.")


async def test_full_queue(make_service: Any) -> None:
    service = make_service(max_queue=4)
    service.backend.gate.clear()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as client:

        def post(texts: list[str]) -> Coroutine[Any, Any, httpx.Response]:
            return client.post("/v1/classification", json={"input": texts})

        first = asyncio.create_task(post(["1"]))
        async with asyncio.timeout(10):
            while not service.backend.batches:  # noqa: ASYNC110  # the fake has no event for it
                await asyncio.sleep(0.002)
        waiting = asyncio.create_task(post(["2", "3", "4"]))
        async with asyncio.timeout(10):
            while service.engine.queued < 3:  # noqa: ASYNC110
                await asyncio.sleep(0.002)
        stats = service.state.stats()
        assert (stats["inFlight"], stats["queue"], stats["secondsSinceLastCompletion"]) == (2, 3, None)
        full = await post(["5", "6"])
        assert full.status_code == 429
        assert 1 <= int(full.headers["retry-after"]) <= 60
        assert full.json()["error"]["type"] == "rate_limit_error"
        service.backend.gate.set()
        assert [(await task).status_code for task in (first, waiting)] == [200, 200]


async def test_loading(make_service: Any) -> None:
    service = make_service(loaded=False)
    service.state.loading = "fetching hf://org/model"
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as client:
        response = await client.post("/v1/classification", json={"input": "1"})
        assert (response.status_code, response.headers["retry-after"]) == (503, "1")
        assert "fetching hf://org/model" in response.json()["error"]["message"]
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "Loading")
        assert (await client.get("/health")).status_code == 200


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"content-type": "application/x-www-form-urlencoded"}, "Content-Type"),
        ({"content-type": ""}, "Content-Type"),
        ({"content-type": "application/json; charset=latin-1"}, "Content-Type"),
        ({"content-encoding": "gzip"}, "Content-Encoding"),
    ],
)
async def test_media_types(client: httpx.AsyncClient, headers: dict[str, str], field: str) -> None:
    status, error = await refused(client, b'{"input": "1"}', **headers)
    assert (status, error["param"]) == (415, field)


async def test_media_type_with_charset_is_fine(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/classification", content=b'{"input":"1"}', headers={"content-type": 'Application/JSON; charset="UTF-8"'}
    )
    assert response.status_code == 200


async def test_large_bodies(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    assert limits.MAX_BODY_BYTES == 4 * 1024 * 1024
    monkeypatch.setattr(limits, "MAX_BODY_BYTES", 1000)
    body = json.dumps({"input": "1" * 500}).encode()
    fits = await client.post("/v1/classification", content=body.ljust(1000), headers=JSON)
    assert fits.status_code == 200
    status, _ = await refused(client, body.ljust(1001))
    assert status == 413


async def test_slow_bodies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "RECEIVE_SECONDS", 0.05)

    async def receive() -> Message:
        await asyncio.sleep(0.02)
        return {"type": "http.request", "body": b" ", "more_body": True}

    with pytest.raises(RequestError) as refused:
        await limits.read_body({"type": "http", "headers": []}, receive)
    assert refused.value.status == 408


async def test_large_headers(client: httpx.AsyncClient) -> None:
    status, _ = await refused(client, b'{"input": "1"}', cookie="c" * 16_400)
    assert status == 431


@pytest.mark.parametrize("given_id", ["a b", "x" * 129, "a\tb", ""])
async def test_harmful_request_ids_are_replaced(client: httpx.AsyncClient, given_id: str) -> None:
    response = await client.get("/health", headers={"X-Request-ID": given_id})
    assert response.headers["x-request-id"] != given_id
    assert len(response.headers["x-request-id"]) == 32


async def test_paths_and_methods(client: httpx.AsyncClient) -> None:
    missing = await client.get("/nowhere")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, 404)
    wrong = await client.get("/v1/classification")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    assert wrong.json()["error"]["code"] == 405


async def test_a_failing_model_is_a_500_without_its_words(make_service: Any) -> None:
    service = make_service()
    service.backend.fail = lambda _: ValueError("secret text")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as client:
        response = await client.post("/v1/classification", json={"input": "1"})
    assert response.status_code == 500
    assert "secret" not in response.text
    assert response.json()["error"]["message"] == "The request could not be computed: the model failed: ValueError."
    stats = service.state.stats()
    assert (stats["inFlight"], stats["queue"], stats["secondsSinceLastCompletion"]) == (0, 0, None)


async def test_draining_answers_say_close(make_service: Any) -> None:
    service = make_service()
    service.state.drain()
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as client:
        response = await client.post("/v1/classification", json={"input": "1"})
        assert (response.status_code, response.headers["connection"]) == (200, "close")
        refused = await client.post("/v1/classification", json={})
        assert (refused.status_code, refused.headers["connection"]) == (422, "close")
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "Draining")


async def test_a_caller_who_leaves_cancels_the_work(make_service: Any) -> None:
    service = make_service()
    service.backend.gate.clear()
    body = iter([{"type": "http.request", "body": b'{"input": ["1", "2"]}', "more_body": False}])
    left = asyncio.Event()

    async def receive() -> Message:
        for message in body:
            return message
        await left.wait()
        return {"type": "http.disconnect"}

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    headers = [(b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/v1/classification", "headers": headers}
    blocker = asyncio.create_task(_infer_one(service))
    async with asyncio.timeout(10):
        while not service.backend.batches:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        request = asyncio.create_task(service.app(scope, receive, send))
        while service.engine.queued < 2:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
        left.set()
        await request
        while service.engine.queued:  # noqa: ASYNC110
            await asyncio.sleep(0.002)
    service.backend.gate.set()
    await blocker
    assert sent == []
    assert service.backend.batches == [[[9]]]
    assert service.state.stats()["secondsSinceLastCompletion"] is None
    assert 'classifier_request_duration_seconds_count{code="499"' in service.metrics.render().decode()


async def _infer_one(service: Any) -> None:
    with service.engine.admit(1) as admission:
        await admission.infer([[9]])


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3)
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.binary(max_size=50)
    | st.dictionaries(st.sampled_from([*native.ClassificationRequest.model_fields, "other"]), ANY_JSON, max_size=4).map(
        lambda document: json.dumps(document).encode()
    )
)
def test_any_body_is_parsed_or_refused_without_an_echo(body: bytes) -> None:
    try:
        texts = native.parse(Incoming(body)).texts
    except RequestError as error:
        refusal: RequestError | None = error
    else:
        refusal = None
        assert texts
    if refusal is not None:
        assert refusal.status in (400, 422)
        json.loads(native.render_error(refusal))
