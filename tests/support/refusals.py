"""Whether an answer is one that a dialect may give."""

from __future__ import annotations

from typing import Any

import httpx
from pydantic import TypeAdapter, ValidationError

from classifier_server.config import ServerSettings
from classifier_server.dialects import native
from classifier_server.dialects.dialect import Dialect
from classifier_server.routes import Ask, Table, dialect_rows
from support.malformed_requests import LENGTH, SECRET, Request

_TABLE = Table(dialect_rows(ServerSettings()))


def mistakes_in(request: Request, answer: httpx.Response) -> list[str]:
    """What is wrong with the answer to a malformed request."""
    if answer.status_code >= 500:
        return [f"{answer.status_code}: {answer.text[:200]}"]
    dialect = _dialect(request)
    if answer.status_code == 200:
        if LENGTH in answer.headers:
            answer = httpx.Response(200, content=answer.content[: int(answer.headers[LENGTH])])
        return _unlike(dialect.response, answer)
    wrong = _unlike(dialect.error, answer)
    # The name of a field that is not known is told, nothing else of the caller's.
    told = (
        {**answer.json(), "error": {**answer.json()["error"], "param": None}}
        if not wrong and dialect is native.DIALECT
        else answer.text
    )
    if SECRET in str(told):
        wrong.append(f"the input is repeated: {answer.text[:200]}")
    return wrong


def _dialect(request: Request) -> Dialect[Any]:
    """Whose shape the answer must have. Of the two at `/`, the error before the body is read has the fields of both."""
    rows = [row for row, _ in _TABLE.fitting(request.path)]
    row = next((row for row in rows if isinstance(row, Ask)), None)
    if row is None:
        return rows[0].shape if rows else native.DIALECT
    return row.choose(request.body) if row.choose is not None else row.dialect


def _unlike(shape: Any, answer: httpx.Response) -> list[str]:
    try:
        TypeAdapter(shape).validate_json(answer.content)
    except ValidationError as error:
        return [f"{answer.status_code}, not the dialect's shape: {answer.text[:200]} {error.errors()[0]['msg']}"]
    return []
