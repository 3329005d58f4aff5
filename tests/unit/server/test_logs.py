"""Lines of the log: their two forms, and what they say of a request."""

from __future__ import annotations

import io
import json
import logging
import sys
from typing import Any

import httpx
import pytest

from classifier_artifacts.errors import UserError
from classifier_server.__main__ import _parser
from classifier_server.logs import (
    FORMAT_VARIABLE,
    LEVEL_VARIABLE,
    JsonFormatter,
    TextFormatter,
    fields,
    log_to_stderr,
)
from support.server_process import running

TEXT, KEY = "the secret text", "the-secret-key"


def record(**values: object) -> logging.LogRecord:
    made = logging.LogRecord("classifier_server.x", logging.WARNING, __file__, 1, "%d of %s", (2, "three"), None)
    made.created = 1_700_000_000.25
    made.__dict__.update(fields(**values))
    return made


def test_json() -> None:
    assert json.loads(JsonFormatter().format(record(code=200, dialect="native"))) == {
        "time": "2023-11-14T22:13:20.250+00:00",
        "level": "warning",
        "logger": "classifier_server.x",
        "message": "2 of three",
        "code": 200,
        "dialect": "native",
    }


def test_text() -> None:
    line = TextFormatter().format(record(code=200, dialect="native"))
    assert line == "2023-11-14T22:13:20.250+00:00 WARNING 2 of three code=200 dialect=native"


@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()])
def test_exceptions_are_told_whole(formatter: logging.Formatter) -> None:
    try:
        raise KeyError("x")
    except KeyError:
        told = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", None, sys.exc_info())
    line = formatter.format(told)
    assert "KeyError: 'x'" in line
    if isinstance(formatter, JsonFormatter):
        assert "Traceback" in json.loads(line)["exception"]


@pytest.mark.parametrize(
    ("level", "form", "words"),
    [
        ("loud", "Auto", "--log-level: write one of DEBUG, INFO, WARNING, ERROR."),
        ("INFO", "xml", "--log-format: write one of Auto, JSON, Text."),
    ],
)
def test_switches_name_what_there_is(level: str, form: str, words: str) -> None:
    with pytest.raises(UserError) as refused:
        log_to_stderr(level, form, io.StringIO())
    assert str(refused.value) == words


def request_lines(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    found = [each for each in caplog.records if each.name == "classifier_server.handled"]
    return [json.loads(JsonFormatter().format(each)) for each in found]


async def ask(service: Any, body: object, **headers: str) -> httpx.Response:
    transport = httpx.ASGITransport(service.app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server", headers=headers) as client:
        return await client.post("/v1/classification", json=body)


async def test_a_request_is_one_line(make_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service = make_service()
    await ask(service, {"input": ["1 2 3", TEXT, "1 " * 20]}, **{"X-Request-Id": "mine", "X-API-Key": KEY})
    (line,) = request_lines(caplog)
    assert {name: line[name] for name in ("request_id", "dialect", "code", "texts", "tokens", "truncated")} == {
        "request_id": "mine", "dialect": "native", "code": 200, "texts": 3, "tokens": 14, "truncated": 1,
    }  # fmt: skip
    stages = [line[name] for name in ("tokenize_ms", "queue_ms", "infer_ms")]
    assert all(value >= 0 for value in stages)
    assert 0 < sum(stages) <= line["ms"] + 0.1


async def test_a_refused_request_is_one_line(make_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    service = make_service()
    await ask(service, {"input": [TEXT, 3]}, Authorization=f"Bearer {KEY}")
    await ask(service, {"input": [TEXT], "model": "other"})
    refused, unknown = request_lines(caplog)
    assert (refused["code"], refused["texts"], "tokens" in refused) == (422, 0, False)
    assert (unknown["code"], unknown["texts"]) == (404, 1)


async def test_neither_keys_nor_texts_are_logged(make_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "classifier_server")
    service = make_service()
    for body in ({"input": TEXT}, {"input": [TEXT, None]}, {"input": TEXT, "model": TEXT}, {TEXT: TEXT}):
        await ask(service, body, **{"X-API-Key": KEY, "Authorization": f"Bearer {KEY}", "X-Request-Id": TEXT})
    service.backend.fail = lambda _: ValueError("broken")
    await ask(service, {"input": TEXT})
    assert len(request_lines(caplog)) == 5
    told = "\n".join(JsonFormatter().format(each) for each in caplog.records)
    assert TEXT not in told
    assert KEY not in told


async def test_no_line_above_info(make_service: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    assert (await ask(make_service(), {"input": "1"})).status_code == 200
    assert request_lines(caplog) == []


@pytest.mark.parametrize(
    ("environment", "arguments", "expected"),
    [
        ({}, [], ("INFO", "Auto")),
        ({"CLASSIFIER_LOG_LEVEL": "warning", "CLASSIFIER_LOG_FORMAT": "json"}, [], ("warning", "json")),
        ({"CLASSIFIER_LOG_LEVEL": "warning"}, ["--log-level", "ERROR", "--log-format", "Text"], ("ERROR", "Text")),
    ],
)
def test_switches_of_the_process(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], arguments: list[str], expected: tuple[str, str]
) -> None:
    for name in (LEVEL_VARIABLE, FORMAT_VARIABLE):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    parsed = _parser().parse_args(arguments)
    assert (parsed.log_level, parsed.log_format) == expected


def test_the_process_writes_json_where_no_person_reads() -> None:
    with running(["--model", "/fake/model", "--drain-seconds", "0"], python=("-m", "support.fake_server")) as server:
        server.wait_until_ready()
        assert httpx.post(f"{server.api}/v1/classification", json={"input": "a"}).status_code == 200
        server.terminate()
        assert server.wait() == 0
        lines = [json.loads(line) for line in server.output().splitlines()]
    assert [line["code"] for line in lines if line["message"] == "request"] == [200]
    assert {"ready after", "listening on"} <= {" ".join(line["message"].split()[:2]) for line in lines}


def test_a_wrong_switch_ends_the_process_with_42() -> None:
    with running(["--model", "/fake/model", "--log-level", "loud"]) as server:
        assert server.wait() == 42
        assert server.termination_log.read_text() == "--log-level: write one of DEBUG, INFO, WARNING, ERROR."
