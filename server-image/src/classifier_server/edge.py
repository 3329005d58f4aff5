"""What stands around every answer of the API port: request ids, `Connection: close` while draining, errors as JSON, and
the clock of the metrics. Plain ASGI, because Starlette's BaseHTTPMiddleware hides a caller who left."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier_server import handled
from classifier_server.classifier import Classified
from classifier_server.dialects import native
from classifier_server.dialects.dialect import Dialect, Rendered
from classifier_server.errors import ClientGoneError, RequestError
from classifier_server.handled import Handled, Recorder
from classifier_server.metrics import Metrics
from classifier_server.state import ServerState

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_GONE = 499  # what nginx writes for a caller who left; only the metrics see it


@dataclass(slots=True)
class Call:
    """What is known of a request while it is answered; `scope["state"]["call"]`."""

    request_id: str
    shape: Dialect[Any] = native.DIALECT
    """Whose shape an error has."""
    counted: bool = False
    """Whether it is a question, which the metrics count by dialect."""
    texts: int = 0
    asked: float = 0.0
    """When the classifier was asked, by the clock of time.perf_counter."""
    answer: Classified | None = None


async def respond(send: Send, answer: Rendered) -> None:
    """Sends a whole answer."""
    raw = []
    if answer.status != 304:  # its length would be that of a body which is not sent
        raw = [(b"content-type", answer.media_type.encode("latin-1")), (b"content-length", b"%d" % len(answer.body))]
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    await send({"type": "http.response.body", "body": answer.body})


class Edge:
    """Wraps the application."""

    def __init__(
        self, app: ASGIApp, state: ServerState, metrics: Metrics, recorders: Sequence[Recorder] = (handled.log,)
    ) -> None:
        """`recorders` are told of every question when it has ended."""
        self._app = app
        self._state = state
        self._metrics = metrics
        self._recorders = recorders

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun, started = time.perf_counter(), time.time_ns()
        call = Call(_request_id(scope))
        scope.setdefault("state", {})["call"] = call
        code = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                headers = [*message.get("headers", []), (b"x-request-id", call.request_id.encode("ascii"))]
                if self._state.draining_since is not None:
                    headers = [header for header in headers if header[0] != b"connection"]
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            try:
                await self._app(scope, receive, send_with_headers)
            except (RequestError, ClientGoneError):
                raise
            except Exception as error:  # a bug: told to the log whole, to the caller in one sentence
                logger.exception("request %s failed", call.request_id)
                raise RequestError(500, "The server failed on this request; its log says why.") from error
        except RequestError as error:
            if not code:
                told = call.shape.refusal(error)
                body = call.shape.render_error(told)
                await respond(send_with_headers, Rendered(body, told.status, headers=told.headers))
        except ClientGoneError:
            code = _GONE
        finally:
            if call.counted:
                seconds = time.perf_counter() - begun
                self._metrics.requests.labels(call.shape.name, str(code or 500)).observe(seconds)
                ended = _handled(call, code or 500, started, seconds, call.asked - begun, scope)
                for record in self._recorders:
                    record(ended)


def _handled(call: Call, code: int, started: int, seconds: float, asked: float, scope: Scope) -> Handled:
    trace = {
        name.decode("ascii"): value.decode("latin-1")
        for name, value in scope["headers"]
        if name in (b"traceparent", b"tracestate")
    }
    answer = call.answer
    if answer is None:
        return Handled(call.request_id, call.shape.name, code, started, seconds, call.texts, trace=trace)
    return Handled(
        call.request_id, call.shape.name, code, started, seconds, call.texts, asked, answer.tokens, answer.truncated,
        answer.timings, trace,
    )  # fmt: skip


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-ID where it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return uuid.uuid4().hex
