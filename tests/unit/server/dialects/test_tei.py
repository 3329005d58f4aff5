"""Text Embeddings Inference."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from support.dialect_cases import OTHER, TEXT, Case

PATHS = ["/predict", "/tei", "/tei/", "/tei/predict", "/"]


def same(answer: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    return [row["label"] for row in answer] == [row["label"] for row in expected] and [
        row["score"] for row in answer
    ] == pytest.approx([row["score"] for row in expected], abs=1e-5)


async def test_each_task(talk: Any, case: Case) -> None:
    client = await talk(**case.make)
    answer = await client.post("/predict", json={"inputs": TEXT})
    assert answer.status_code == 200
    assert same(answer.json(), case.ranked)
    raw = await client.post("/predict", json={"inputs": TEXT, "raw_scores": True})
    assert same(raw.json(), case.scored(case.logits))


@pytest.mark.parametrize("path", PATHS)
async def test_shapes(talk: Any, path: str) -> None:
    client = await talk()
    one = (await client.post(path, json={"inputs": TEXT})).json()
    assert [row["label"] for row in one] == ["a", "b", "c"]
    assert (await client.post(path, json={"inputs": [TEXT]})).json() == one
    batch = (await client.post(path, json={"inputs": [[TEXT], [OTHER]]})).json()
    assert batch[0] == one
    assert [row["label"] for row in batch[1]] == ["a", "b", "c"]
    assert len((await client.post(path, json={"inputs": [[TEXT]]})).json()) == 1


async def test_headers(talk: Any) -> None:
    client = await talk()
    headers = (await client.post("/predict", json={"inputs": [[TEXT], [OTHER]]})).headers
    assert headers["x-compute-tokens"] == "5"
    assert headers["x-classifier-model"] == "r8/epoch-3"
    times = {name: int(headers[f"x-{name}-time"]) for name in ("compute", "queue", "tokenization", "inference")}
    assert all(value >= 0 for value in times.values())
    # each is rounded alone
    assert times["compute"] == pytest.approx(times["queue"] + times["tokenization"] + times["inference"], abs=2)


async def test_truncation(talk: Any) -> None:
    client = await talk()
    text = " ".join(map(str, range(20)))
    for request, total in (({}, 28), ({"truncate": True}, 28), ({"truncation_direction": "Left"}, 124)):
        answer = await client.post("/predict", json={"inputs": text, "raw_scores": True, **request})
        assert answer.headers["x-classifier-truncated"] == "1"
        scores = {row["label"]: row["score"] for row in answer.json()}
        assert scores["a"] == pytest.approx(total / 100)
    refused = await client.post("/predict", json={"inputs": text, "truncate": False})
    assert (refused.status_code, refused.json()) == (
        422,
        {"error": "inputs has 20 tokens, the model takes 8.", "error_type": "Validation"},
    )


@pytest.mark.parametrize(
    ("body", "status", "kind", "message"),
    [
        ("{", 400, "Validation", "The body is not valid JSON in UTF-8."),
        ("{}", 422, "Validation", 'inputs is missing: write a text, or a batch of texts: [["a"],["b"]].'),
        ('{"inputs": ""}', 400, "Empty", "inputs is empty: write at least one text."),
        ('{"inputs": []}', 400, "Empty", "inputs is empty: write at least one text."),
        ('{"inputs": [[]]}', 400, "Empty", "inputs[0] is empty: write at least one text."),
        ('{"inputs": [["a"], [""]]}', 400, "Empty", "inputs[1] is empty: write at least one text."),
        (
            '{"inputs": ["a", "b"]}', 422, "Validation",
            'inputs is a pair, and the model reads single texts; a batch is [["a"],["b"]].',
        ),
        (
            '{"inputs": [["a"], ["a", "b"]]}', 422, "Validation",
            'inputs[1] is a pair, and the model reads single texts; a batch is [["a"],["b"]].',
        ),
        ('{"inputs": ["a", "b", "c"]}', 422, "Validation", 'inputs must be one text; a batch is [["a"],["b"]].'),
        ('{"inputs": [["a"], "b"]}', 422, "Validation", "inputs[1] must be a text in a list of its own."),
        ('{"inputs": [["a"], [1]]}', 422, "Validation", "inputs[1][0] must be a string."),
        ('{"inputs": 1}', 422, "Validation", 'inputs must be a text, or a batch of texts: [["a"],["b"]].'),
        ('{"inputs": "a", "raw_scores": "yes"}', 422, "Validation", "raw_scores must be true or false."),
        ('{"inputs": "a", "truncation_direction": 1}', 422, "Validation",
         "truncation_direction must be Left or Right."),
    ],
)  # fmt: skip
async def test_refusals(talk: Any, body: str, status: int, kind: str, message: str) -> None:
    client = await talk()
    answer = await client.post("/predict", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (status, {"error": message, "error_type": kind})


async def test_other_errors(talk: Any) -> None:
    loading = await (await talk(loaded=False)).post("/predict", json={"inputs": TEXT})
    assert (loading.status_code, loading.json()["error_type"]) == (503, "Unhealthy")
    wrong = await (await talk()).get("/predict")
    assert (wrong.status_code, wrong.json()["error_type"]) == (405, "Validation")
    many = await (await talk()).post("/predict", json={"inputs": [["1"]] * 257})
    assert (many.status_code, many.json()["error_type"]) == (422, "Validation")
    assert (await (await talk(max_queue=300)).post("/predict", json={"inputs": [["1"]] * 256})).status_code == 200


async def test_a_failing_model_is_424(make_service: Any) -> None:
    service = make_service()
    service.backend.fail = lambda _: ValueError("x")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as client:
        answer = await client.post("/predict", json={"inputs": TEXT})
    assert (answer.status_code, answer.json()["error_type"]) == (424, "Backend")


async def test_info(talk: Any) -> None:
    client = await talk()
    for path in ("/info", "/tei/info"):
        info = (await client.get(path)).json()
        assert info["model_type"]["classifier"]["id2label"] == {"0": "a", "1": "b", "2": "c"}
        assert (info["model_id"], info["max_input_length"], info["max_client_batch_size"]) == ("r8", 8, 256)
    assert "model_type" not in (await (await talk(loaded=False)).get("/info")).json()
