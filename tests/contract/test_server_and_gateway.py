"""Whoever asks cannot tell, by what is let in and how it is refused, whether the gateway or a server answers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from classifier_operator.gateway.auth import check_key
from classifier_operator.gateway.refusal import RefusalError
from classifier_operator.gateway.routes import find_route
from classifier_server.config import ServerSettings
from classifier_server.dialects import native
from classifier_server.errors import RequestError
from classifier_server.keys import Keys
from classifier_server.routes import Ask, Row, dialect_rows

KEYS = ["one", "zw\u00f6lf"]
HEADERS: list[dict[str, str]] = [
    {},
    {"x-api-key": "one"},
    {"x-api-key": " zw\u00f6lf\t"},
    {"x-api-key": "One"},
    {"x-api-key": "two", "authorization": "Bearer one"},
    {"x-api-key": "", "authorization": "Bearer one"},
    {"authorization": "bearer   one "},
    {"authorization": "Basic one"},
    {"authorization": "Bearer"},
    {"authorization": "Bearer one two"},
]


@pytest.mark.parametrize("headers", HEADERS)
@pytest.mark.parametrize("keys", [None, [], KEYS])
def test_keys(tmp_path: Path, keys: list[str] | None, headers: dict[str, str]) -> None:
    for number, key in enumerate(keys or ()):
        (tmp_path / str(number)).write_bytes(key.encode() + b"\n")
    sent = [(name.encode(), value.encode()) for name, value in headers.items()]
    digests = None if keys is None else [hashlib.sha256(key.encode()).hexdigest() for key in keys]
    here: RequestError | None = None
    there: RefusalError | None = None
    try:
        Keys(None if keys is None else str(tmp_path)).check(sent)
    except RequestError as error:
        here = error
    try:
        check_key(digests, sent)
    except RefusalError as error:
        there = error
    assert (here is None) == (there is None)
    if here is not None and there is not None:
        assert (here.status, here.message, here.field) == (there.status, there.message, there.field)
        assert {name.lower() for name in here.headers} == {name.lower() for name in there.headers}


@pytest.mark.parametrize("status", [400, 401, 404, 405, 408, 413, 415, 431, 500, 503, 504])
@pytest.mark.parametrize("field", [None, "Content-Encoding"])
def test_errors_have_one_shape(status: int, field: str | None) -> None:
    there = RefusalError(status, "What is wrong.", reason="Internal", field=field).render()
    here = native.render_error(RequestError(status, "What is wrong.", field=field))
    model = native.ErrorResponse.model_validate_json
    assert model(there, strict=True) == model(here, strict=True)


ROWS = [row for dialect in ("VLLM", "Infinity") for row in dialect_rows(ServerSettings(classifyDialect=dialect))]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.method} {row.path}")
@pytest.mark.parametrize("name", ["r8", "r8/epoch-3"])
def test_the_gateway_knows_every_path_of_a_dialect(row: Row, name: str) -> None:
    """Asleep, a question wakes and whatever is open stays open."""
    route = find_route(row.path.replace(":path", "").format(name=name, version="epoch-3"))
    assert route is not None
    if isinstance(row, Ask):
        assert route.inference
    else:
        assert route.page is not None
        assert not (row.open and route.keyed)
