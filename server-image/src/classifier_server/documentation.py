"""The OpenAPI document, out of the dialects' models, and the page that shows it: no script, nothing from outside."""

from __future__ import annotations

import html
import json
from typing import Any

from pydantic.json_schema import models_json_schema

from classifier_server.dialects import native

VERSION = "v1alpha1"
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_ERRORS = {
    "400": "The body is not JSON in UTF-8.",
    "401": "The API key is missing or not known; write X-API-Key, or Authorization: Bearer.",
    "404": "The server has no model of that name; the message names those it has.",
    "408": "The body took longer than 30 s to arrive.",
    "413": "The body is larger than 4 MiB.",
    "415": "Not application/json, or compressed.",
    "422": "A field is wrong; `param` names it.",
    "429": "Too many texts are waiting; the header Retry-After says for how long.",
    "431": "The headers are larger than 16 KiB.",
    "500": "The model failed on this request.",
    "503": "The model is still loading, or the deployment has no API key.",
}


def openapi() -> dict[str, Any]:
    """The OpenAPI 3.1 document of the API port."""
    _, definitions = models_json_schema(
        [
            (native.ClassificationRequest, "validation"),
            (native.ClassificationResponse, "serialization"),
            (native.ErrorResponse, "serialization"),
        ],
        ref_template="#/components/schemas/{model}",
    )
    answers = {
        "200": {
            "description": "The answer, a row for each text.",
            "headers": {
                "X-Classifier-Model": _header("name/checkpoint that answered", "string"),
                "X-Classifier-Truncated": _header("texts that were cut", "integer"),
            },
            "content": _json("ClassificationResponse"),
        },
        **{
            code: {"description": why, "content": _json("ErrorResponse")}
            | ({"headers": {"Retry-After": _header("seconds to wait", "integer")}} if code in ("429", "503") else {})
            for code, why in _ERRORS.items()
        },
    }
    request_id: dict[str, Any] = {
        "name": "X-Request-ID",
        "in": "header",
        "description": "Kept in the answer's header and `id`.",
        "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]{1,128}$"},
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "classifier-operator server", "version": VERSION},
        "paths": {
            native.PATH: {
                "post": {
                    "operationId": "classify",
                    "summary": "Classify texts",
                    "parameters": [request_id],
                    "requestBody": {"required": True, "content": _json("ClassificationRequest")},
                    "responses": answers,
                }
            },
            "/health": _probe("health", "Whether the process is alive", {"200": "Alive.", "503": "Stuck."}),
            "/ready": _probe(
                "ready",
                "Whether the model is loaded",
                {"200": "Ready.", "503": "Loading or draining; `status` says which."},
            ),
            "/metrics": {
                "get": {
                    "operationId": "metrics",
                    "summary": "Prometheus metrics",
                    "responses": {"200": {"description": "Metrics.", "content": {"text/plain": {}}}},
                }
            },
        },
        "components": {"schemas": definitions["$defs"]},
    }


def page(document: dict[str, Any], model: str) -> str:
    """The document as one HTML page."""
    sections = "".join(
        _operation(path, method, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    )
    schemas = "".join(_schema(name, schema) for name, schema in document["components"]["schemas"].items())
    example = json.dumps(native.ClassificationRequest.model_json_schema()["examples"][0])
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{html.escape(model)}: API</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }}
code, pre {{ font-family: ui-monospace, monospace; font-size: .9em; }}
pre {{ border: 1px solid #8886; border-radius: 6px; padding: .75rem; overflow-x: auto; }}
table {{ border-collapse: collapse; width: 100%; margin: .5rem 0 1.5rem; }}
td, th {{ text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid #8884; }}
td:first-child {{ white-space: nowrap; }}
h2 {{ margin-top: 2.5rem; }}
</style></head><body>
<h1>{html.escape(model)}</h1>
<p>The machine-readable document is <a href="openapi.json">openapi.json</a>.</p>
<pre>curl -s http://HOST{native.PATH} -H 'Content-Type: application/json' \\
  -d '{html.escape(example)}'</pre>
{sections}<h2>Shapes</h2>
{schemas}</body></html>
"""


def _operation(path: str, method: str, operation: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><td>{code}</td><td>{html.escape(answer['description'])}</td></tr>"
        for code, answer in operation["responses"].items()
    )
    return (
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(operation['summary'])}</p>"
        f"<table><tr><th>Status</th><th>Meaning</th></tr>{rows}</table>"
    )


def _schema(name: str, schema: dict[str, Any]) -> str:
    required = schema.get("required", [])
    rows = "".join(
        f"<tr><td><code>{html.escape(field)}</code>{' (required)' if field in required else ''}</td>"
        f"<td>{html.escape(_type(value))}</td><td>{html.escape(_description(value))}</td></tr>"
        for field, value in schema.get("properties", {}).items()
    )
    return (
        f"<h3>{html.escape(name)}</h3><p>{html.escape(schema.get('description', ''))}</p>"
        f"<table><tr><th>Field</th><th>Type</th><th>Meaning</th></tr>{rows}</table>"
    )


def _type(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return " or ".join(_type(branch) for branch in schema["anyOf"])
    if "$ref" in schema:
        return str(schema["$ref"].rsplit("/", 1)[-1])
    if "enum" in schema:
        return " or ".join(json.dumps(value) for value in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if schema.get("type") == "object" and "additionalProperties" in schema:
        return f"object of {_type(schema['additionalProperties'])}"
    return str(schema.get("type", "any"))


def _description(schema: dict[str, Any]) -> str:
    branches = [schema, *schema.get("anyOf", [])]
    return next((str(branch["description"]) for branch in branches if "description" in branch), "")


def _header(description: str, kind: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": kind}}


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _probe(name: str, summary: str, answers: dict[str, str]) -> dict[str, Any]:
    body = {"application/json": {"schema": {"type": "object", "required": ["status"]}}}
    responses = {code: {"description": why, "content": body} for code, why in answers.items()}
    return {"get": {"operationId": name, "summary": summary, "responses": responses}}
