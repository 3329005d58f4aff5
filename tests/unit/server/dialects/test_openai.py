"""OpenAI's moderations and models."""

from __future__ import annotations

from typing import Any

import pytest

from support.dialect_cases import OTHER, TEXT, Case


async def test_each_task(talk: Any, case: Case) -> None:
    client = await talk(**case.make)
    answer = await client.post("/v1/moderations", json={"input": TEXT}, headers={"X-Request-ID": "one"})
    assert answer.json() == {
        "id": "modr-one",
        "model": "r8",
        "results": [
            {
                "flagged": bool(case.predicted),
                "categories": {name: name in case.predicted for name in case.probs},
                "category_scores": {name: pytest.approx(value, abs=1e-5) for name, value in case.probs.items()},
                "category_applied_input_types": {name: ["text"] for name in case.probs},
            }
        ],
    }


@pytest.mark.parametrize(
    ("unflagged", "flagged"),
    [([], [True, True]), (["a"], [False, True]), (["a", "b"], [False, False]), (["c"], [True, True])],
)
async def test_unflagged_labels(talk: Any, unflagged: list[str], flagged: list[bool]) -> None:
    client = await talk(server={"unflaggedLabels": unflagged})
    results = (await client.post("/v1/moderations", json={"input": [TEXT, "0 0"]})).json()["results"]
    assert [[name for name, true in row["categories"].items() if true] for row in results] == [["a"], ["b"]]
    assert [row["flagged"] for row in results] == flagged


async def test_inputs(talk: Any) -> None:
    client = await talk()

    async def scores(given: Any) -> list[dict[str, float]]:
        answer = await client.post("/v1/moderations", json={"input": given})
        return [row["category_scores"] for row in answer.json()["results"]]

    one = await scores("1 2 3")
    assert await scores(["1 2 3"]) == one
    parts = [{"type": "text", "text": "1 2"}, {"type": "text", "text": "3"}]
    assert await scores(parts) == one  # the parts of one input
    assert len(await scores([TEXT, OTHER])) == 2


@pytest.mark.parametrize(
    ("model", "status"),
    [
        ("omni-moderation-latest", 200), ("text-moderation-007", 200), ("r8", 200), ("pvc://out/model", 200),
        ("gpt-4", 404), ("omni-moderation-", 404), ("omni-moderation-a b", 404), ("", 404),
    ],
)  # fmt: skip
async def test_models_that_are_taken(talk: Any, model: str, status: int) -> None:
    client = await talk()
    answer = await client.post("/v1/moderations", json={"input": TEXT, "model": model})
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["error"]["code"] == "model_not_found"
    else:
        assert answer.json()["model"] == "r8"
        elsewhere = await client.post("/v1/classification", json={"input": TEXT, "model": model})
        assert elsewhere.status_code == (404 if "moderation" in model else 200)


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ("{", None, "The body is not valid JSON in UTF-8."),
        ("{}", "input", "input is missing: write a text, a list of texts or a list of parts."),
        ('{"input": []}', "input", "input is empty: write at least one text."),
        ('{"input": 1}', "input", "input must be a text, a list of texts or a list of parts."),
        (
            '{"input": ["a", {"type": "text", "text": "b"}]}', "input[1]",
            "input[1] must be a text, or {type: text, text: …}.",
        ),
        (
            '{"input": [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {"url": "x"}}]}',
            "input[1].type", "input[1].type must be text: this model reads nothing else.",
        ),
        ('{"input": [{"type": "text"}]}', "input[0].text", "input[0].text is missing: write a string."),
        ('{"input": [{"type": "text", "text": 1}]}', "input[0].text", "input[0].text must be a string."),
        ('{"input": [{"text": "a"}]}', "input[0].type", "input[0].type is missing: write text."),
    ],
)  # fmt: skip
async def test_refusals(talk: Any, body: str, param: str | None, message: str) -> None:
    answer = await (await talk()).post("/v1/moderations", content=body, headers={"content-type": "application/json"})
    assert answer.status_code == 400
    assert answer.json() == {
        "error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}
    }


async def test_models(talk: Any) -> None:
    client = await talk()
    listed = (await client.get("/v1/models")).json()
    (model,) = listed["data"]
    created = model.pop("created")
    assert isinstance(created, int)
    assert listed["object"] == "list"
    assert model == {
        "id": "r8", "object": "model", "owned_by": "classifier-operator", "root": "pvc://out/model", "max_model_len": 8,
    }  # fmt: skip
    for name in ("r8", "epoch-3", "r8/epoch-3"):
        one = await client.get(f"/v1/models/{name}")
        assert (one.status_code, one.json()["id"], one.json()["ready"]) == (200, "r8", True)
    missing = await client.get("/v1/models/gpt-4")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "model_not_found")
    loading = await talk(loaded=False)
    assert (await loading.get("/v1/models")).json()["data"][0]["max_model_len"] is None
    assert (await loading.get("/v1/models/r8")).status_code == 503
