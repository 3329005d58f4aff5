"""Traces by OpenTelemetry, where the usual OTEL_* variables ask for them; nothing of it is imported otherwise.

A request is one span with the stages tokenize, queue and infer in it. They are written when it has ended, from times
that are taken anyway, so that tracing costs the request nothing while it is computed.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

from classifier_server.handled import Handled

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SpanExporter

logger = logging.getLogger(__name__)

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_HTTP = "http/protobuf"
_FLUSH_MILLISECONDS = 2000
_SERVICE = "classifier-server"


def wanted(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the variables name somebody who takes traces."""
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp").lower() not in ("otlp", ""):
        return False
    if not any(environment.get(name) for name in _ENDPOINTS):
        return False
    protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), _HTTP)
    if protocol != _HTTP:
        logger.warning("no traces: OTEL_EXPORTER_OTLP_PROTOCOL is %s, write %s", protocol, _HTTP)
        return False
    return True


class Tracing:
    """Writes the spans of requests that have ended."""

    def __init__(self, model: str, exporter: SpanExporter | None = None) -> None:
        """`model` names the deployment, unless OTEL_SERVICE_NAME does; `exporter` is for tests."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        if exporter is None:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

            exporter = OTLPSpanExporter()
        own = {"service.name": os.environ.get("OTEL_SERVICE_NAME") or _SERVICE, "classifier.model": model}
        self._provider: TracerProvider = TracerProvider(resource=Resource.create(own), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("classifier_server")
        self._callers = TraceContextTextMapPropagator()

    def record(self, handled: Handled) -> None:
        """A span for the request, inside the caller's where it sent `traceparent`, and one for each stage."""
        from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

        around = self._callers.extract(dict(handled.trace))
        attributes: dict[str, str | int] = {
            "classifier.dialect": handled.dialect,
            "classifier.request_id": handled.request_id,
            "classifier.texts": handled.texts,
            "http.response.status_code": handled.code,
        }
        timings = handled.timings
        if timings is not None:
            attributes |= {"classifier.tokens": handled.tokens, "classifier.truncated_texts": handled.truncated}
        begun, end = handled.started, handled.started + _nanoseconds(handled.seconds)
        span = self._tracer.start_span(
            f"classify {handled.dialect}", around, SpanKind.SERVER, attributes, start_time=begun
        )
        if timings is not None:
            inside = set_span_in_context(span, around)
            at = begun + _nanoseconds(handled.asked)
            stages = {"tokenize": timings.tokenize, "queue": timings.queue, "infer": timings.infer - timings.queue}
            for name, seconds in stages.items():
                stage = self._tracer.start_span(name, inside, start_time=at)
                at += _nanoseconds(seconds)
                stage.end(at)
        if handled.code >= 500:
            span.set_status(StatusCode.ERROR)
        span.end(end)

    def close(self) -> None:
        """Sends what waits, for at most two seconds."""
        self._provider.force_flush(_FLUSH_MILLISECONDS)


def _nanoseconds(seconds: float) -> int:
    return int(1e9 * max(seconds, 0.0))
