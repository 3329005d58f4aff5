"""One request of a dialect as it ended, and the line about it in the log. Keys and texts never come this far."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from classifier_server.classifier import Timings
from classifier_server.logs import fields

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Handled:
    """What is told of a request."""

    request_id: str
    dialect: str
    code: int
    """HTTP status; 499 where the caller left."""
    started: int
    """Nanoseconds since 1970."""
    seconds: float
    """From the request's head to the end of its answer."""
    texts: int = 0
    """0 where the body was not read so far."""
    asked: float = 0.0
    """Seconds from `started` until the first stage began."""
    tokens: int = 0
    truncated: int = 0
    timings: Timings | None = None
    """None where nothing was computed."""
    trace: Mapping[str, str] = field(default_factory=dict)
    """The caller's `traceparent` and `tracestate`."""


Recorder = Callable[[Handled], None]


def log(handled: Handled) -> None:
    """One line at INFO."""
    if not logger.isEnabledFor(logging.INFO):
        return
    told: dict[str, object] = {
        "request_id": handled.request_id,
        "dialect": handled.dialect,
        "code": handled.code,
        "ms": _milliseconds(handled.seconds),
        "texts": handled.texts,
    }
    timings = handled.timings
    if timings is not None:
        told |= {
            "tokens": handled.tokens,
            "truncated": handled.truncated,
            "tokenize_ms": _milliseconds(timings.tokenize),
            "queue_ms": _milliseconds(timings.queue),
            "infer_ms": _milliseconds(timings.infer - timings.queue),
        }
    logger.info("request", extra=fields(**told))


def _milliseconds(seconds: float) -> float:
    return round(1000 * max(seconds, 0.0), 2)
