"""Spans of a request, and when there are any."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from classifier_server.classifier import Timings
from classifier_server.handled import Handled
from classifier_server.tracing import Tracing, wanted
from support.server_process import running

ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}
TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, False),
        (ENDPOINT, True),
        ({"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://collector:4318/v1/traces"}, True),
        ({"OTEL_SERVICE_NAME": "x"}, False),
        (ENDPOINT | {"OTEL_SDK_DISABLED": "true"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "none"}, False),
        (ENDPOINT | {"OTEL_TRACES_EXPORTER": "otlp"}, True),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, True),
        (ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, False),
        (
            ENDPOINT | {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"},
            True,
        ),
    ],
)
def test_wanted(environment: dict[str, str], expected: bool) -> None:
    assert wanted(environment) is expected


def handled(code: int = 200, **changes: Any) -> Handled:
    values: dict[str, Any] = {
        "request_id": "r-1", "dialect": "native", "code": code, "started": 5_000_000_000, "seconds": 0.1, "texts": 2,
        "asked": 0.01, "tokens": 7, "truncated": 1, "timings": Timings(tokenize=0.02, queue=0.03, infer=0.05),
    }  # fmt: skip
    return Handled(**(values | changes))


def spans_of(told: Handled) -> dict[str, Any]:
    exporter = InMemorySpanExporter()
    tracing = Tracing("r8/epoch-3", exporter)
    tracing.record(told)
    tracing.close()
    return {span.name: span for span in exporter.get_finished_spans()}


def test_stages_follow_each_other_inside_the_request() -> None:
    spans = spans_of(handled())
    request = spans.pop("classify native")
    assert (request.start_time, request.end_time) == (5_000_000_000, 5_100_000_000)
    assert request.kind is SpanKind.SERVER
    assert request.parent is None
    assert request.status.status_code is StatusCode.UNSET
    assert dict(request.attributes) == {
        "classifier.dialect": "native", "classifier.request_id": "r-1", "classifier.texts": 2, "classifier.tokens": 7,
        "classifier.truncated_texts": 1, "http.response.status_code": 200,
    }  # fmt: skip
    assert dict(request.resource.attributes)["classifier.model"] == "r8/epoch-3"
    milliseconds = {
        name: ((span.start_time - 5_000_000_000) // 10**6, (span.end_time - 5_000_000_000) // 10**6)
        for name, span in spans.items()
    }
    assert milliseconds == {"tokenize": (10, 30), "queue": (30, 60), "infer": (60, 80)}
    assert {span.parent.span_id for span in spans.values()} == {request.context.span_id}


def test_the_callers_trace_goes_on() -> None:
    spans = spans_of(handled(trace={"traceparent": f"00-{TRACE}-{PARENT}-01"}))
    assert {f"{span.context.trace_id:032x}" for span in spans.values()} == {TRACE}
    assert f"{spans['classify native'].parent.span_id:016x}" == PARENT


@pytest.mark.parametrize("trace", [{"traceparent": "nonsense"}, {"tracestate": "a=b"}])
def test_a_broken_trace_is_none(trace: dict[str, str]) -> None:
    assert spans_of(handled(trace=trace))["classify native"].parent is None


def test_a_request_that_was_not_computed_has_no_stages() -> None:
    assert list(spans_of(handled(429, timings=None))) == ["classify native"]
    (failed,) = spans_of(handled(500, timings=None)).values()
    assert failed.status.status_code is StatusCode.ERROR


@contextmanager
def collector() -> Iterator[tuple[str, list[ExportTraceServiceRequest]]]:
    """Takes OTLP over HTTP."""
    taken: list[ExportTraceServiceRequest] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            assert self.path == "/v1/traces"
            taken.append(ExportTraceServiceRequest.FromString(body))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", taken
        server.shutdown()


def test_a_process_sends_its_spans_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    with collector() as (address, taken):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        arguments = ["--model", "/fake/model", "--drain-seconds", "0"]
        with running(arguments, python=("-m", "support.fake_server")) as server:
            server.wait_until_ready()
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            body = {"input": ["a b", "c"]}
            assert httpx.post(f"{server.api}/v1/classification", json=body, headers=headers).status_code == 200
            assert httpx.get(f"{server.api}/health").status_code == 200
            server.terminate()
            assert server.wait() == 0
    (resource,) = (each for sent in taken for each in sent.resource_spans)
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert sorted(span.name for span in spans) == ["classify native", "infer", "queue", "tokenize"]
    assert {span.trace_id.hex() for span in spans} == {TRACE}
    assert {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"] == (
        "classifier-server"
    )


def test_without_the_variables_nothing_of_it_is_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    script = (
        "import sys\nfrom support.fake_server import load_fake\nfrom classifier_server.__main__ import main\n"
        "code = main(load_model=load_fake)\n"
        "assert not [name for name in sys.modules if name.startswith('opentelemetry')]\nraise SystemExit(code)\n"
    )
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
    with running(["--model", "/fake/model", "--drain-seconds", "0"], python=("-c", script)) as server:
        server.wait_until_ready()
        assert httpx.post(f"{server.api}/v1/classification", json={"input": "a"}).status_code == 200
        server.terminate()
        assert server.wait() == 0, server.output()
