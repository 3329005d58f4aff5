"""Infinity."""

from __future__ import annotations

from typing import Any

import pytest

from support.dialect_cases import OTHER, TEXT, Case


async def test_each_task(talk: Any, case: Case) -> None:
    client = await talk(**case.make)
    answer = await client.post("/infinity/classify", json={"input": [TEXT]}, headers={"X-Request-ID": "one"})
    body = answer.json()
    assert isinstance(body.pop("created"), int)
    assert body == {
        "object": "classify",
        "data": [[{**row, "score": pytest.approx(row["score"], abs=1e-5)} for row in case.ranked]],
        "model": "r8",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
        "id": "infinity-one",
    }
    raw = (await client.post("/infinity/classify", json={"input": [TEXT], "raw_scores": True})).json()
    assert raw["data"] == [[{**row, "score": pytest.approx(row["score"])} for row in case.scored(case.logits)]]


async def test_batch(talk: Any) -> None:
    client = await talk()
    body = (await client.post("/infinity/classify", json={"input": [TEXT, OTHER], "model": "r8/epoch-3"})).json()
    assert [[row["label"] for row in rows] for rows in body["data"]] == [["a", "b", "c"]] * 2
    assert body["usage"]["prompt_tokens"] == 5
    assert (await client.get("/infinity/models")).json()["data"][0]["id"] == "r8"


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ("{", 400, "The body is not valid JSON in UTF-8."),
        ('{"input": "1"}', 422, "input must be a list of strings."),
        ('{"input": []}', 422, "input is empty: write at least one text."),
        ('{"input": ["1", null]}', 422, "input[1] must be a string."),
        ('{"input": ["1"], "raw_scores": 1}', 422, "raw_scores must be true or false."),
    ],
)
async def test_refusals(talk: Any, body: str, status: int, message: str) -> None:
    client = await talk(server={"classifyDialect": "Infinity"})
    for path in ("/classify", "/infinity/classify"):
        answer = await client.post(path, content=body, headers={"content-type": "application/json"})
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["message"]) == (status, status, message)
        assert set(error) == {"message", "type", "param", "code"}
