"""The OpenAPI document, out of the table of paths and the dialects' models, and the page that shows it: no script,
nothing from outside."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from classifier_server.dialects import native
from classifier_server.dialects.dialect import Dialect, Facts, Rendered
from classifier_server.routes import Ask, Look, Row

VERSION = "v1alpha1"
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}
_ERRORS = {
    400: "The body is not JSON in UTF-8.",
    401: "The API key is missing or not known; write X-API-Key, or Authorization: Bearer.",
    404: "The server has no model of that name; the message names those it has.",
    408: "The body took longer than 30 s to arrive.",
    413: "The body is larger than 4 MiB.",
    415: "Not application/json, or compressed.",
    422: "A field is wrong; the message names it.",
    429: "Too many texts are waiting; the header Retry-After says for how long.",
    431: "The headers are larger than 16 KiB.",
    500: "The model failed on this request.",
    503: "The model is still loading, or the deployment has no API key.",
}
_RETRIED = (429, 503)
_REFERENCE = "#/components/schemas/{model}"


def rows(others: Sequence[Row], model: str) -> list[Row]:
    """The document of all `others` and the page that shows it; `model` is the page's title."""
    document = openapi(others)
    whole = json.dumps(document, ensure_ascii=False).encode()
    shown = page(document, model).encode()

    def tell_document(_: Facts, __: Mapping[str, str]) -> Rendered:
        return Rendered(whole)

    def tell_page(_: Facts, __: Mapping[str, str]) -> Rendered:
        return Rendered(shown, media_type="text/html; charset=utf-8", headers=SECURITY_HEADERS)

    return [
        Look("/openapi.json", tell_document, "This document", hidden=True),
        Look("/docs", tell_page, "The page that shows it", hidden=True),
    ]


def openapi(table: Iterable[Row]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of the API port."""
    shown = [row for row in table if isinstance(row, Ask) or not row.hidden]
    schemas, definitions = _schemas([row.shape for row in shown])
    paths: dict[str, dict[str, Any]] = {}
    for row in shown:
        operation = _ask(row, schemas) if isinstance(row, Ask) else _look(row, schemas)
        paths.setdefault(_template(row.path), {}).setdefault(row.method.lower(), operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "classifier-operator server", "version": VERSION},
        "paths": paths,
        "components": {
            "schemas": definitions,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


_Schemas = Mapping[tuple[str, str], dict[str, Any]]


def _schemas(dialects: Iterable[Dialect[Any]]) -> tuple[_Schemas, dict[str, Any]]:
    """{(dialect, `request` | `response` | `error`): its schema}, and what these refer to."""
    inputs: list[tuple[tuple[str, str], Any, TypeAdapter[Any]]] = []
    for dialect in {dialect.name: dialect for dialect in dialects}.values():
        inputs += [
            ((dialect.name, "request"), "validation", TypeAdapter(dialect.request)),
            ((dialect.name, "response"), "serialization", TypeAdapter(dialect.response)),
            ((dialect.name, "error"), "serialization", TypeAdapter(dialect.error)),
        ]
    schemas, definitions = TypeAdapter.json_schemas(inputs, ref_template=_REFERENCE)
    return {key: schema for (key, _), schema in schemas.items()}, definitions["$defs"]


def _ask(row: Ask, schemas: _Schemas) -> dict[str, Any]:
    dialects = [row.dialect, *row.others]
    return {
        "operationId": f"ask {row.path}",
        "summary": " / ".join(dialect.title for dialect in dialects),
        "description": " ".join(dialect.note for dialect in dialects if dialect.note),
        "parameters": [*_parameters(row.path), _REQUEST_ID],
        "security": _SECURITY,
        "requestBody": {"required": True, "content": _json(_any_of(dialects, "request", schemas))},
        "responses": {
            "200": {
                "description": "The answer, for each text.",
                "headers": {
                    "X-Classifier-Model": _header("name/checkpoint that answered", "string"),
                    "X-Classifier-Truncated": _header("texts that were cut", "integer"),
                },
                "content": _json(_any_of(dialects, "response", schemas)),
            },
            **_refusals(dialects, _ERRORS, schemas),
        },
    }


def _look(row: Look, schemas: _Schemas) -> dict[str, Any]:
    parameters = _parameters(row.path)
    refused = [*([] if row.open else [401, 503]), *([404] if parameters else [])]
    return {
        "operationId": f"look {row.path}",
        "summary": row.title,
        "parameters": parameters,
        "security": [] if row.open else _SECURITY,
        "responses": {
            "200": {"description": "Yes.", "content": {row.media_type: {}}},
            **({"503": {"description": "Not now; the body says why."}} if row.open else {}),
            **_refusals([row.shape], {code: _ERRORS[code] for code in refused}, schemas),
        },
    }


def _refusals(dialects: Sequence[Dialect[Any]], reasons: Mapping[int, str], schemas: _Schemas) -> dict[str, Any]:
    """The answers that are errors, by the dialects' statuses."""
    told: dict[int, list[str]] = {}
    for status, why in reasons.items():
        for dialect in dialects:
            told.setdefault(dialect.statuses.get(status, status), []).append(why)
    return {
        str(status): {
            "description": " ".join(dict.fromkeys(whys)),
            "content": _json(_any_of(dialects, "error", schemas)),
        }
        | ({"headers": {"Retry-After": _header("seconds to wait", "integer")}} if status in _RETRIED else {})
        for status, whys in sorted(told.items())
    }


def _any_of(dialects: Sequence[Dialect[Any]], what: str, schemas: _Schemas) -> dict[str, Any]:
    found = [schemas[dialect.name, what] for dialect in dialects]
    return found[0] if len(found) == 1 else {"anyOf": found}


def _template(path: str) -> str:
    return re.sub(r":\w+}", "}", path)


def _parameters(path: str) -> list[dict[str, Any]]:
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)", path)
    ]


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
    told = " ".join(filter(None, (f"{operation['summary']}.", operation.get("description"), _shapes(operation))))
    return (
        f"<h2><code>{method.upper()} {html.escape(path)}</code></h2><p>{html.escape(told)}</p>"
        f"<table><tr><th>Status</th><th>Meaning</th></tr>{rows}</table>"
    )


def _shapes(operation: dict[str, Any]) -> str:
    """What is sent and answered, by the names under Shapes."""
    if "requestBody" not in operation:
        return ""
    bodies = (operation["requestBody"], operation["responses"]["200"])
    sent, answered = (_type(body["content"]["application/json"]["schema"]) for body in bodies)
    return f"{sent} is answered with {answered}."


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


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


_SECURITY: list[dict[str, list[str]]] = [{}, {"key": []}, {"bearer": []}]
_REQUEST_ID: dict[str, Any] = {
    "name": "X-Request-ID",
    "in": "header",
    "description": "Kept in the answer's header and, where it has one, `id`, if it is at most 128 of A-Z, a-z, "
    "0-9, `.`, `_` and `-`; else another takes its place.",
    "schema": {"type": "string"},
}
