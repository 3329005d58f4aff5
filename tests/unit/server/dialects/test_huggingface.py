"""The Hugging Face inference task."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_server.dialects.huggingface import is_task
from support.dialect_cases import OTHER, TEXT, Case, sigmoid, softmax

PATHS = ["/hf", "/hf/", "/hf/models/r8", "/models/r8", "/models/r8/epoch-3", "/models/pvc%3A%2F%2Fout/model", "/"]


def approximately(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{"label": row["label"], "score": pytest.approx(row["score"], abs=1e-5)} for row in rows]


async def test_each_task(talk: Any, case: Case) -> None:
    client = await talk(**case.make)

    async def asked(**parameters: Any) -> list[list[dict[str, Any]]]:
        answer = await client.post("/models/r8", json={"inputs": TEXT, "parameters": parameters})
        assert answer.status_code == 200, answer.text
        rows: list[list[dict[str, Any]]] = answer.json()
        return rows

    assert await asked() == [approximately(case.ranked)]
    assert await asked(top_k=1) == [approximately(case.ranked[:1])]
    assert await asked(function_to_apply="none") == [approximately(case.scored(case.logits))]
    sigmoids = list(map(sigmoid, case.logits))
    assert await asked(function_to_apply="sigmoid") == [approximately(case.scored(sigmoids))]
    assert await asked(function_to_apply="softmax") == [approximately(case.scored(softmax(case.logits)))]


@pytest.mark.parametrize("path", PATHS)
async def test_shapes(talk: Any, path: str) -> None:
    client = await talk()
    one = (await client.post(path, json={"inputs": TEXT, "parameters": {}})).json()
    assert [[row["label"] for row in rows] for rows in one] == [["a", "b", "c"]]
    two = (await client.post(path, json={"inputs": [TEXT, OTHER], "parameters": {"top_k": 1, "other": 1}})).json()
    assert [[row["label"] for row in rows] for rows in two] == [["a"], ["a"]]
    if path != "/":
        assert (await client.post(path, json={"inputs": TEXT})).json() == one


async def test_truncation(talk: Any) -> None:
    client = await talk()
    text = " ".join(map(str, range(20)))
    for parameters in ({}, {"truncation": True}):
        answer = await client.post("/hf", json={"inputs": text, "parameters": parameters})
        assert answer.headers["x-classifier-truncated"] == "1"
    refused = await client.post("/hf", json={"inputs": ["1", text], "parameters": {"truncation": False}})
    assert (refused.status_code, refused.json()) == (400, {"error": "inputs[1] has 20 tokens, the model takes 8."})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "The body is not valid JSON in UTF-8."),
        ("[]", "The body must be a JSON object with the field inputs."),
        ("{}", "inputs is missing: write a string or a list of strings."),
        ('{"inputs": []}', "inputs is empty: write at least one text."),
        ('{"inputs": {"text": "a", "text_pair": "b"}}', "inputs must be a string or a list of strings."),
        ('{"inputs": ["a", 1]}', "inputs[1] must be a string."),
        ('{"inputs": "a", "parameters": []}', "parameters must be an object."),
        ('{"inputs": "a", "parameters": {"top_k": 0}}', "parameters.top_k must be a whole number from 1 on."),
        (
            '{"inputs": "a", "parameters": {"function_to_apply": "tanh"}}',
            "parameters.function_to_apply must be sigmoid, softmax or none.",
        ),
    ],
)
async def test_refusals(talk: Any, body: str, message: str) -> None:
    client = await talk()
    answer = await client.post("/models/r8", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": message})


async def test_another_model_is_404(talk: Any) -> None:
    answer = await (await talk()).post("/models/org/other", json={"inputs": TEXT})
    assert answer.status_code == 404
    assert answer.json()["error"].startswith("This server has no such model; it serves r8, epoch-3,")


async def test_while_loading(talk: Any) -> None:
    answer = await (await talk(loaded=False)).post("/", json={"inputs": TEXT, "parameters": {}})
    assert (answer.status_code, answer.json()["estimated_time"]) == (503, 1.0)


@pytest.mark.parametrize(
    ("body", "task"),
    [
        (b'{"inputs": "a", "parameters": {}}', True),
        (b'{"inputs": "a", "parameters": null}', True),
        (b'{"inputs": "a", "\\u0070arameters": {}}', True),
        (b'{"inputs": "parameters"}', False),
        (b'{"inputs": {"parameters": 1}}', False),
        (b'["parameters"]', False),
        (b'{"parameters": ', False),
        (b"", False),
        (b"[" * 10_000 + b'"', False),
    ],
)
def test_which_dialect_a_body_is_in(body: bytes, task: bool) -> None:
    assert is_task(body) is task


async def test_errors_of_the_root_are_of_the_dialect_that_is_spoken(talk: Any) -> None:
    client = await talk()
    tei = await client.post("/", json={"inputs": ["a", "b"]})
    assert set(tei.json()) == {"error", "error_type"}
    task = await client.post("/", json={"inputs": 1, "parameters": {}})
    assert (task.status_code, set(task.json())) == (400, {"error"})
