from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter

from classifier_server import documentation
from classifier_server.config import ServerSettings
from classifier_server.dialects.native import ClassificationResponse, ErrorResponse
from classifier_server.routes import dialect_rows


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if "$ref" in node else set()
        return own.union(*map(references, node.values()))
    return set().union(*map(references, node)) if isinstance(node, list) else set()


async def test_document_is_whole(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    for reference in references(document):
        name = reference.removeprefix("#/components/schemas/")
        assert name in document["components"]["schemas"]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for example in examples(document, operation) if method == "post" else [None]:
                response = await client.request(method, path.format(name="r8", version="epoch-3"), json=example)
                assert response.status_code == 200, (path, example)


def examples(document: dict[str, Any], operation: dict[str, Any]) -> list[Any]:
    """The examples of an operation's requests."""
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    found = []
    for each in schema.get("anyOf", [schema]):
        found += document["components"]["schemas"][each["$ref"].rpartition("/")[2]]["examples"]
    assert found
    return found


@pytest.mark.parametrize("request_body", [{"input": ["1", "2"]}, {"input": "1", "data_format": "logits", "top_k": 1}])
async def test_answers_have_the_documented_shape(client: httpx.AsyncClient, request_body: dict[str, Any]) -> None:
    body = (await client.post("/v1/classification", json=request_body)).content
    TypeAdapter(ClassificationResponse).validate_json(body, strict=True, extra="forbid")
    error = (await client.post("/v1/classification", json={})).content
    TypeAdapter(ErrorResponse).validate_json(error, strict=True, extra="forbid")


async def test_page_needs_nothing_from_outside(client: httpx.AsyncClient) -> None:
    response = await client.get("/docs")
    assert response.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "<script" not in response.text
    assert re.findall(r'(?:src|href)="([^"]*)"', response.text) == ["openapi.json"]
    for text in (
        "ClassificationRequest is answered with ClassificationResponse.",
        "TeiRequest or TaskRequest is answered with list of Prediction or list of list of Prediction or list of list",
        "where Text Embeddings Inference itself takes the softmax",
    ):
        assert text in response.text
    for text in ("POST /v1/classification", "data_format", "X-Request-ID", "r8/epoch-3", "429"):
        assert text in response.text


def test_names_are_escaped() -> None:
    assert "<b>" not in documentation.page(documentation.openapi(dialect_rows(ServerSettings())), "<b>model")
