"""vLLM."""

from __future__ import annotations

from typing import Any

import pytest

from support.dialect_cases import OTHER, TEXT, Case


async def test_each_task(talk: Any, case: Case) -> None:
    client = await talk(**case.make)
    answer = await client.post("/vllm/classify", json={"input": TEXT}, headers={"X-Request-ID": "one"})
    body = answer.json()
    created = body.pop("created")
    assert isinstance(created, int)
    best = case.class_probs.index(max(case.class_probs))
    assert body == {
        "id": "classify-one",
        "object": "list",
        "model": "r8",
        "data": [
            {
                "index": 0,
                "label": case.classes[best],
                "probs": pytest.approx(case.class_probs, abs=1e-5),
                "num_classes": len(case.classes),
            }
        ],
        "usage": {"prompt_tokens": 2, "total_tokens": 2, "completion_tokens": 0},
    }
    raw = (await client.post("/vllm/classify", json={"input": TEXT, "use_activation": False})).json()
    assert raw["data"][0]["probs"] == pytest.approx(case.logits)


@pytest.mark.parametrize(
    ("server", "shape"),
    [({}, "list"), ({"classifyDialect": "VLLM"}, "list"), ({"classifyDialect": "Infinity"}, "classify")],
)
async def test_the_bare_path_is_whose_the_configuration_says(talk: Any, server: dict[str, Any], shape: str) -> None:
    client = await talk(server=server)
    body = {"input": [TEXT, OTHER], "model": "epoch-3"}
    assert (await client.post("/classify", json=body)).json()["object"] == shape
    assert (await client.post("/vllm/classify", json=body)).json()["object"] == "list"
    assert (await client.post("/infinity/classify", json=body)).json()["object"] == "classify"


async def test_truncation(talk: Any) -> None:
    client = await talk()
    text = " ".join(map(str, range(20)))

    async def total(**request: Any) -> int:
        body = {"input": text, "use_activation": False, **request}
        answer = await client.post("/classify", json=body)
        assert answer.headers["x-classifier-truncated"] == "1"
        hundredths: int = round(100 * answer.json()["data"][0]["probs"][0])
        return hundredths

    assert await total() == await total(truncate_prompt_tokens=-1) == await total(truncate_prompt_tokens=900) == 28
    assert await total(truncation_side="left") == 124
    assert await total(truncate_prompt_tokens=3) == 3
    assert await total(truncate_prompt_tokens=3, truncation_side="left") == 54


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ("nonsense", None, "The body is not valid JSON in UTF-8."),
        ('{"messages": []}', "input", "input is missing: write a string or a list of strings."),
        ('{"input": [1, 2]}', "input[0]", "input[0] must be a string."),
        ('{"input": []}', "input", "input is empty: write at least one text."),
        (
            '{"input": "1", "truncate_prompt_tokens": 0}', "truncate_prompt_tokens",
            "truncate_prompt_tokens must be -1, or at least 1.",
        ),
        (
            '{"input": "1", "truncate_prompt_tokens": -2}', "truncate_prompt_tokens",
            "truncate_prompt_tokens must be a whole number from -1 on.",
        ),
    ],
)  # fmt: skip
async def test_refusals(talk: Any, body: str, param: str | None, message: str) -> None:
    answer = await (await talk()).post("/classify", content=body, headers={"content-type": "application/json"})
    error = {"message": message, "type": "BadRequestError", "param": param, "code": 400}
    assert (answer.status_code, answer.json()) == (400, {"error": error})


async def test_types_of_errors(talk: Any) -> None:
    async def kind(answer: Any) -> tuple[int, str]:
        return answer.status_code, answer.json()["error"]["type"]

    client = await talk()
    assert await kind(await client.post("/classify", json={"input": "1", "model": "x"})) == (404, "NotFoundError")
    assert await kind(await client.get("/classify")) == (405, "MethodNotAllowedError")
    loading = await talk(loaded=False)
    assert await kind(await loading.post("/classify", json={"input": "1"})) == (503, "ServiceUnavailableError")
    assert (await client.get("/vllm/v1/models")).json()["data"][0]["max_model_len"] == 8
    assert (await client.get("/vllm/health")).status_code == 200
