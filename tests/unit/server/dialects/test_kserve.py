"""KServe V2 with JSON and binary tensors, and V1."""

from __future__ import annotations

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from support.dialect_cases import OTHER, TEXT, Case

INFER = "/v2/models/r8/infer"
LENGTH = "Inference-Header-Content-Length"
SIZE = "inputs[0].parameters.binary_data_size is not the number of bytes after the JSON, which is"
NO_TENSOR = "inputs[0] is no tensor of BYTES: each text needs its length in 4 bytes before it."


def tensor(*texts: str, **other: Any) -> dict[str, Any]:
    return {"name": "input-0", "shape": [len(texts)], "datatype": "BYTES", "data": list(texts), **other}


def packed(*texts: str) -> bytes:
    return b"".join(struct.pack("<I", len(text.encode())) + text.encode() for text in texts)


def binary(raw: bytes, count: int, size: int | None = None, **other: Any) -> tuple[bytes, dict[str, str]]:
    """Body and headers of a request with a binary tensor."""
    parameters = {"binary_data_size": len(raw) if size is None else size}
    inputs = [{"name": "text", "shape": [count], "datatype": "BYTES", "parameters": parameters}]
    head = json.dumps({"inputs": inputs, **other}).encode()
    return head + raw, {LENGTH: str(len(head))}


def expected_label(case: Case) -> str:
    return case.classes[case.class_probs.index(max(case.class_probs))]


async def test_each_task(talk: Any, case: Case) -> None:
    client = await talk(**case.make)
    answer = await client.post(INFER, json={"id": "mine", "inputs": [tensor(TEXT, OTHER)]})
    body = answer.json()
    classes = len(case.classes)
    assert [body[key] for key in ("model_name", "model_version", "id")] == ["r8", "epoch-3", "mine"]
    label, probabilities, labels = body["outputs"]
    assert (label["name"], label["datatype"], label["shape"]) == ("label", "BYTES", [2])
    assert label["data"][0] == expected_label(case)
    assert (probabilities["name"], probabilities["datatype"]) == ("probabilities", "FP32")
    assert probabilities["shape"] == [2, classes]
    assert probabilities["data"][:classes] == pytest.approx(case.class_probs, abs=1e-5)
    assert len(probabilities["data"]) == 2 * classes
    assert labels == {"name": "labels", "datatype": "BYTES", "shape": [classes], "data": case.classes}


async def test_each_task_in_v1(talk: Any, case: Case) -> None:
    client = await talk(**case.make)
    answer = await client.post("/v1/models/r8:predict", json={"instances": [TEXT]})
    best = max(case.predicted, key=case.probs.__getitem__, default=None)
    assert answer.json() == {
        "predictions": [
            {
                "label": best,
                "labels": case.predicted,
                "probabilities": {name: pytest.approx(value, abs=1e-5) for name, value in case.probs.items()},
            }
        ]
    }


async def test_one_logit_below_a_half_has_no_label(talk: Any, make_service: Any) -> None:
    service = make_service(task="Binary", logits=1)
    service.backend.forward = lambda batch, _: np.array([[-1.0], [1.0]], dtype=np.float32)[: len(batch)]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(service.app), base_url="http://server") as client:
        label, *_ = (await client.post(INFER, json={"inputs": [tensor(TEXT, OTHER)]})).json()["outputs"]
    assert label["data"] == ["", "cat"]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (INFER, 200), ("/v2/models/r8/versions/epoch-3/infer", 200), ("/v2/models/r8/versions/1/infer", 200),
        ("/v2/models/r8/epoch-3/infer", 200), ("/v2/models/other/infer", 404),
        ("/v2/models/r8/versions/epoch-2/infer", 404), ("/v2/models/other/versions/1/infer", 404),
    ],
)  # fmt: skip
async def test_paths(talk: Any, path: str, status: int) -> None:
    answer = await (await talk()).post(path, json={"inputs": [tensor(TEXT)]})
    assert answer.status_code == status
    assert status == 200 or set(answer.json()) == {"error"}


@pytest.mark.parametrize("shape", [[2], [2, 1], [1, 2], [1, 1, 2]])
@pytest.mark.parametrize("data", [[TEXT, OTHER], [[TEXT], [OTHER]], [[TEXT, OTHER]]])
async def test_shapes_of_the_input(talk: Any, shape: list[int], data: list[Any]) -> None:
    answer = await (await talk()).post(INFER, json={"inputs": [tensor() | {"shape": shape, "data": data}]})
    assert answer.json()["outputs"][0]["shape"] == [2]


async def test_outputs_can_be_chosen(talk: Any) -> None:
    client = await talk()
    body = {"inputs": [tensor(TEXT)], "outputs": [{"name": "labels"}, {"name": "label"}]}
    assert [output["name"] for output in (await client.post(INFER, json=body)).json()["outputs"]] == ["labels", "label"]
    assert len((await client.post(INFER, json=body | {"outputs": []})).json()["outputs"]) == 3


async def test_binary_input(talk: Any) -> None:
    client = await talk()
    content, headers = binary(packed(TEXT, "1 2 é", OTHER), 3)
    answer = await client.post(INFER, content=content, headers=headers)
    assert answer.headers["content-type"] == "application/json"
    plain = await client.post(INFER, json={"inputs": [tensor(TEXT, "1 2 é", OTHER)]})
    assert answer.json()["outputs"] == plain.json()["outputs"]
    assert answer.json()["id"] == answer.headers["x-request-id"]


async def test_binary_outputs(talk: Any) -> None:
    client = await talk()
    plain = (await client.post(INFER, json={"inputs": [tensor(TEXT, OTHER)]})).json()["outputs"]
    wanted = [{"name": "probabilities"}, {"name": "label", "parameters": {"binary_data": False}}, {"name": "labels"}]
    request = {"inputs": [tensor(TEXT, OTHER)], "outputs": wanted, "parameters": {"binary_data_output": True}}
    answer = await client.post(INFER, json=request)
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[LENGTH])
    probabilities, label, labels = json.loads(answer.content[:length])["outputs"]
    rest = answer.content[length:]
    sizes = [output["parameters"]["binary_data_size"] for output in (probabilities, labels)]
    assert sizes == [2 * 3 * 4, 3 * 5]
    assert np.frombuffer(rest[: sizes[0]], "<f4") == pytest.approx(plain[1]["data"], abs=1e-6)
    assert rest[sizes[0] :] == packed("a", "b", "c")
    assert label == plain[0]


@pytest.mark.parametrize(
    ("raw", "count", "size", "message"),
    [
        (packed("1"), 1, 4, f"{SIZE} 5."),
        (packed("1"), 1, 6, f"{SIZE} 5."),
        (b"", 1, 5, f"{SIZE} 0."),
        (packed("1", "2"), 1, None, "inputs[0].shape does not fit the data, which has 2 texts."),
        (packed("1")[:-1], 1, None, NO_TENSOR),
        (packed("1") + b"\0", 1, None, NO_TENSOR),
        (b"\xff\xff\xff\xff1", 1, None, NO_TENSOR),
        (packed("1") + b"\1\0\0\0\xff", 2, None, "inputs[0].data[1] is not UTF-8."),
        (b"", 0, None, "inputs[0].data is empty: write at least one text."),
    ],
)  # fmt: skip
async def test_wrong_binary_input(talk: Any, raw: bytes, count: int, size: int | None, message: str) -> None:
    content, headers = binary(raw, count, size)
    answer = await (await talk()).post(INFER, content=content, headers=headers)
    assert (answer.status_code, answer.json()) == (400, {"error": message})


@pytest.mark.parametrize("length", ["", "-1", "x", "1e3", "999999", "9" * 5000])
async def test_wrong_length_of_the_json(talk: Any, length: str) -> None:
    content, _ = binary(packed("1"), 1)
    answer = await (await talk()).post(INFER, content=content, headers={LENGTH: length})
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("Inference-Header-Content-Length must be")


@pytest.mark.parametrize(
    ("request_body", "message"),
    [
        ({}, "inputs is missing: write a list with one tensor of texts."),
        ({"inputs": []}, "inputs must be a list with one tensor of texts."),
        ({"inputs": [tensor("1"), tensor("1")]}, "inputs must be a list with one tensor of texts."),
        ({"inputs": ["text"]}, "inputs[0] must be a tensor: name, shape, datatype and data."),
        ({"inputs": [{"name": "a"}]}, "inputs[0].shape is missing: write a list of whole numbers from 0 on."),
        ({"inputs": [tensor("1", datatype="FP32")]}, "inputs[0].datatype must be BYTES."),
        ({"inputs": [tensor("1", shape=[2])]}, "inputs[0].shape does not fit the data, which has 1 texts."),
        ({"inputs": [tensor("1", shape=[])]}, "inputs[0].shape does not fit the data, which has 1 texts."),
        ({"inputs": [tensor("1", shape=[-1])]}, "inputs[0].shape[0] must be a whole number from 0 on."),
        ({"inputs": [tensor("1", data=None)]}, "inputs[0].data is missing: write a list of strings."),
        ({"inputs": [tensor("1", data=[1.5])]}, "inputs[0].data[0] must be a string."),
        ({"inputs": [tensor("1", data=["1", ["2", 3]])]}, "inputs[0].data[1][1] must be a string."),
        (
            {"inputs": [tensor("1")], "outputs": [{"name": "label"}, {"name": "output-0"}]},
            "outputs[1].name must be label, probabilities or labels.",
        ),
        ({"inputs": [tensor("1")], "parameters": {"binary_data_output": 1}},
         "parameters.binary_data_output must be true or false."),
        ({"inputs": [tensor("1")], "id": 7}, "id must be a string."),
    ],
)  # fmt: skip
async def test_refusals(talk: Any, request_body: dict[str, Any], message: str) -> None:
    answer = await (await talk()).post(INFER, json=request_body)
    assert (answer.status_code, answer.json()) == (400, {"error": message})


@pytest.mark.parametrize(
    ("in_binary", "headers", "status"),
    [
        (True, {}, 200), (True, {"content-type": "text/plain"}, 200), (True, {"origin": "null"}, 200),
        (True, {"content-encoding": "gzip"}, 415),
        (False, {}, 200), (False, {"origin": "https://elsewhere"}, 415), (False, {"content-type": "text/plain"}, 415),
        (False, {"content-type": "application/json", "origin": "https://elsewhere"}, 200),
        (False, {"content-encoding": "gzip"}, 415),
    ],
)  # fmt: skip
async def test_media_types(talk: Any, in_binary: bool, headers: dict[str, str], status: int) -> None:
    """No page of another site can make a browser ask: it can neither send JSON's media type nor the header with the
    length unasked, and where it sends no media type there is an Origin."""
    content, needed = binary(packed("1"), 1) if in_binary else (json.dumps({"inputs": [tensor("1")]}).encode(), {})
    answer = await (await talk()).post(INFER, content=content, headers=needed | headers)
    assert answer.status_code == status


async def test_health_and_metadata(talk: Any) -> None:
    client, loading = await talk(), await talk(loaded=False)
    for path in ("/v2/health/ready", "/v2/models/r8/ready", "/v2/models/r8/versions/epoch-3/ready"):
        assert [(await each.get(path)).status_code for each in (client, loading)] == [200, 503], path
    assert (await loading.get("/v2/health/live")).json() == {"live": True}
    missing = await client.get("/v2/models/other/ready")
    assert (missing.status_code, missing.json()) == (404, {"error": "This server has no such model."})
    assert (await client.get("/v2")).json()["extensions"] == ["binary_tensor_data"]
    for path in ("/v2/models/r8", "/v2/models/r8/versions/epoch-3", "/v2/models/epoch-3"):
        metadata = (await client.get(path)).json()
        assert (metadata["name"], metadata["versions"]) == ("r8", ["epoch-3"])
        assert [output["shape"] for output in metadata["outputs"]] == [[-1], [-1, 3], [3]]
    assert (await loading.get("/v2/models/r8")).json()["outputs"][2]["shape"] == [-1]
    assert (await client.get("/v2/models/other")).status_code == 404


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "instances is missing: write a list of strings."),
        ('{"instances": []}', "instances is empty: write at least one text."),
        ('{"instances": [{"text": "a"}]}', "instances[0] must be a string."),
    ],
)
async def test_refusals_of_v1(talk: Any, body: str, message: str) -> None:
    client = await talk()
    answer = await client.post("/v1/models/r8:predict", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"error": message})
