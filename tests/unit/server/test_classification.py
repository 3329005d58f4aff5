"""`POST /v1/classification`: what a well-formed request is answered."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

Post = Callable[[dict[str, Any]], Awaitable[httpx.Response]]


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


@asynccontextmanager
async def talking_to(service: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(service.app, raise_app_exceptions=False), base_url="http://server"
    ) as client:
        yield client


async def answered(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    response = await client.post("/v1/classification", json=request)
    assert response.status_code == 200, response.text
    body: dict[str, Any] = response.json()
    return body


async def test_multiclass(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/classification", json={"input": ["99 98 97", "1"]}, headers={"X-Request-ID": "caller.1-2_3"}
    )
    body = response.json()
    logits = [2.94, 0.03, 0.0]
    total = sum(map(math.exp, logits))
    assert body["id"] == response.headers["x-request-id"] == "caller.1-2_3"
    assert body["model"] == "r8"
    assert response.headers["x-classifier-model"] == "r8/epoch-3"
    assert response.headers["x-classifier-truncated"] == "0"
    assert body["usage"] == {"prompt_tokens": 4, "total_tokens": 4, "truncated": 0}
    assert [row["index"] for row in body["data"]] == [0, 1]
    assert body["data"][0]["label"] == "a"
    assert body["data"][0]["labels"] == ["a"]
    assert body["data"][0]["probs"] == pytest.approx(
        {name: math.exp(logit) / total for name, logit in zip("abc", logits, strict=True)}, abs=1e-5
    )
    assert set(body["data"][0]) == {"index", "label", "labels", "probs"}


async def test_one_string_is_one_row(client: httpx.AsyncClient) -> None:
    assert len((await answered(client, input="1 2"))["data"]) == 1


@pytest.mark.parametrize(
    ("text", "p", "labels"),
    [
        ("1 1", sigmoid(0.02 - 0.02), ["cat"]),
        ("50 50", sigmoid(0.02 - 1.0), []),
        ("20 20", sigmoid(0.02 - 0.4), ["cat"]),  # .406 is over the threshold of .4, though below a half
    ],
)
async def test_binary_answers_the_probability_of_its_label(
    make_service: Any, text: str, p: float, labels: list[str]
) -> None:
    async with talking_to(make_service("Binary")) as client:
        (row,) = (await answered(client, input=text))["data"]
        assert row["probs"] == pytest.approx({"cat": p}, abs=1e-5)
        assert row["labels"] == labels
        assert row["label"] == (labels[0] if labels else None)
        (raw,) = (await answered(client, input=text, data_format="logits"))["data"]
        assert set(raw["logits"]) == {"not cat", "cat"}


async def test_multilabel_takes_each_label_by_its_threshold(make_service: Any) -> None:
    async with talking_to(make_service("Multilabel")) as client:
        (row,) = (await answered(client, input="1 2"))["data"]
        assert row["probs"] == pytest.approx({"a": sigmoid(0.03), "b": sigmoid(0.02), "c": 0.5}, abs=1e-5)
        assert row["labels"] == ["a", "b", "c"]
        assert row["label"] == "a"


async def test_top_k_sorts_and_cuts(client: httpx.AsyncClient) -> None:
    (row,) = (await answered(client, input="0 0 0 0", top_k=2))["data"]
    assert list(row["probs"]) == ["b", "a"]
    (raw,) = (await answered(client, input="0 0 0 0", top_k=9, data_format="logits"))["data"]
    assert raw["logits"] == pytest.approx({"b": 0.04, "a": 0.0, "c": 0.0})
    assert "probs" not in raw


async def test_truncation_is_told_and_can_be_refused(client: httpx.AsyncClient) -> None:
    text = " ".join(map(str, range(20)))
    response = await client.post("/v1/classification", json={"input": [text, "1"], "data_format": "logits"})
    body = response.json()
    assert body["usage"] == {"prompt_tokens": 9, "total_tokens": 9, "truncated": 1}
    assert response.headers["x-classifier-truncated"] == "1"
    assert body["data"][0]["logits"]["a"] == pytest.approx(sum(range(8)) / 100)
    left = await answered(client, input=text, truncate="Left", data_format="logits")
    assert left["data"][0]["logits"]["a"] == pytest.approx(sum(range(12, 20)) / 100)
    refused = await client.post("/v1/classification", json={"input": ["1", text], "truncate": "Error"})
    assert refused.status_code == 422
    assert refused.json()["error"] == {
        "message": "input[1] has 20 tokens, the model takes 8.",
        "type": "invalid_request_error",
        "code": 422,
        "param": "input[1]",
    }


async def test_thresholds_of_the_caller(make_service: Any) -> None:
    async with talking_to(make_service("Multilabel")) as client:
        (row,) = (await answered(client, input="1 2", thresholds={"a": 0.9, "c": 0.50001}))["data"]
        assert (row["labels"], row["label"]) == (["b"], "b")
        (row,) = (await answered(client, input="1 2", thresholds={}))["data"]
        assert row["labels"] == ["a", "b", "c"]
    async with talking_to(make_service("Multiclass")) as client:
        for threshold, labels in ((0.9, []), (0.85, ["a"])):  # the probability is .903 at 94 + 97 + 98
            (row,) = (await answered(client, input="99 98 97", thresholds={"a": threshold + 0.01, "b": 1.0}))["data"]
            assert (row["labels"], row["label"]) == (labels, labels[0] if labels else None)


async def test_long_texts_are_read_in_windows(make_service: Any) -> None:
    """Windows of 8 of 20 numbers, which share two: 0-7, 6-13, 12-19, whose sums are 28, 76 and 124."""
    text = " ".join(map(str, range(20)))
    service = make_service("Multilabel")
    async with talking_to(service) as client:
        request = {"input": ["1", text], "data_format": "logits"}
        body = await answered(client, **request, long_text={"strategy": "Max", "stride": 2})
        assert body["usage"] == {"prompt_tokens": 25, "total_tokens": 25, "truncated": 0}
        assert [row["logits"]["a"] for row in body["data"]] == pytest.approx([0.01, 1.24])
        body = await answered(client, **request, long_text={"strategy": "Mean", "stride": 2})
        assert [row["logits"]["a"] for row in body["data"]] == pytest.approx([0.01, 0.76])
        (row,) = (await answered(client, input=text, long_text={"strategy": "Mean", "stride": 2}))["data"]
        assert row["probs"]["a"] == pytest.approx(sum(map(sigmoid, (0.28, 0.76, 1.24))) / 3, abs=1e-5)
        assert service.engine.queued == 0


async def test_windows_count_as_texts(make_service: Any) -> None:
    long_text = {"strategy": "Max", "stride": 7}
    service = make_service(max_queue=4)
    async with talking_to(service) as client:
        assert (await answered(client, input=" ".join(["1"] * 11), long_text=long_text))["data"]
        refused = await client.post("/v1/classification", json={"input": " ".join(["1"] * 12), "long_text": long_text})
        assert refused.status_code == 422
        assert refused.json()["error"]["message"] == (
            "input has more than 4 windows, which are too many at once: send fewer texts."
        )
        with service.engine.admit(2):
            full = await client.post("/v1/classification", json={"input": " ".join(["1"] * 11), "long_text": long_text})
            assert (full.status_code, service.engine.queued) == (429, 2)
        assert service.engine.queued == 0


@pytest.mark.parametrize("name", ["r8", "epoch-3", "r8/epoch-3", "pvc://out/model"])
async def test_accepted_model_names(client: httpx.AsyncClient, name: str) -> None:
    assert (await answered(client, input="1", model=name))["model"] == "r8"


async def test_unknown_model_names_those_there_are(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/classification", json={"input": "1", "model": "gpt-4"})
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["message"] == ("This server has no such model; it serves r8, epoch-3, r8/epoch-3, pvc://out/model.")
    assert error["param"] == "model"


async def test_stats_and_metrics_count_what_was_answered(make_service: Any) -> None:
    service = make_service()
    async with talking_to(service) as client:
        stats = service.state.stats()
        assert (stats["inFlight"], stats["queue"], stats["secondsSinceLastCompletion"]) == (0, 0, None)
        await client.post("/v1/classification", json={"input": []})
        await client.get("/ready")
        assert service.state.stats()["secondsSinceLastCompletion"] is None  # neither entered the queue
        await answered(client, input=["99 98 97", " ".join("9" * 20)])
        stats = service.state.stats()
        assert (stats["inFlight"], stats["queue"]) == (0, 0)
        assert 0 <= stats["secondsSinceLastCompletion"] < 5
        text = (await client.get("/metrics")).text
    for line in (
        'classifier_request_duration_seconds_count{code="200",dialect="native"} 1.0',
        'classifier_request_duration_seconds_count{code="422",dialect="native"} 1.0',
        "classifier_tokens_total 11.0",
        "classifier_truncated_texts_total 1.0",
        'classifier_predicted_labels_total{label="a"} 2.0',
    ):
        assert line in text
    for name in ("classifier_batch_tokens_bucket", "classifier_padding_ratio_bucket", 'stage="tokenize"'):
        assert name in text


def test_labels_after_the_hundredth_are_counted_together(make_service: Any) -> None:
    metrics = make_service().metrics
    labels = [f"label-{number}" for number in range(150)]
    metrics.labels_predicted([[label] for label in labels], labels)
    text = metrics.render().decode()
    assert 'classifier_predicted_labels_total{label="label-99"} 1.0' in text
    assert 'classifier_predicted_labels_total{label="label-100"}' not in text
    assert 'classifier_predicted_labels_total{label="(other)"} 50.0' in text
