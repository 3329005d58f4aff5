"""What stands around every answer of the API port: request ids, `Connection: close` while draining, errors as JSON, and
the clock of the metrics. Plain ASGI, because Starlette's BaseHTTPMiddleware hides a caller who left."""

from __future__ import annotations

import logging
import re
import time
import uuid
from collections.abc import Callable

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from classifier_server.dialects import native
from classifier_server.errors import ClientGoneError, RequestError
from classifier_server.limits import MAX_HEADER_BYTES
from classifier_server.metrics import Metrics
from classifier_server.state import ServerState

logger = logging.getLogger(__name__)

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,128}")
_GONE = 499  # what nginx writes for a caller who left; only the metrics see it

DialectOf = Callable[[str], str | None]


async def respond(send: Send, status: int, body: bytes, media_type: str, headers: dict[str, str] | None = None) -> None:
    """Sends a whole answer."""
    raw = [(b"content-type", media_type.encode("latin-1")), (b"content-length", str(len(body)).encode("ascii"))]
    raw += [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (headers or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": body})


class Edge:
    """Wraps the application."""

    def __init__(self, app: ASGIApp, state: ServerState, metrics: Metrics, dialect_of: DialectOf) -> None:
        """`dialect_of` tells the dialect of a path, None for a path that is no dialect's."""
        self._app = app
        self._state = state
        self._metrics = metrics
        self._dialect_of = dialect_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        begun = time.perf_counter()
        request_id = _request_id(scope)
        scope.setdefault("state", {})["request_id"] = request_id
        code = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
                headers = [*message.get("headers", []), (b"x-request-id", request_id.encode("ascii"))]
                if self._state.draining_since is not None:
                    headers = [header for header in headers if header[0] != b"connection"]
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            try:
                if sum(len(name) + len(value) + 4 for name, value in scope["headers"]) > MAX_HEADER_BYTES:
                    raise RequestError(431, f"The headers are larger than {MAX_HEADER_BYTES // 1024} KiB.")
                await self._app(scope, receive, send_with_headers)
            except HTTPException as error:
                raise _refusal(error, scope) from error
            except (RequestError, ClientGoneError):
                raise
            except Exception as error:  # a bug: told to the log whole, to the caller in one sentence
                logger.exception("request %s failed", request_id)
                raise RequestError(500, "The server failed on this request; its log says why.") from error
        except RequestError as error:
            if not code:
                await respond(
                    send_with_headers, error.status, native.render_error(error), "application/json", error.headers
                )
        except ClientGoneError:
            code = _GONE
        finally:
            dialect = self._dialect_of(scope["path"])
            if dialect is not None:
                self._metrics.requests.labels(dialect, str(code or 500)).observe(time.perf_counter() - begun)


def _refusal(error: HTTPException, scope: Scope) -> RequestError:
    headers = dict(error.headers or {})
    if error.status_code == 404:
        return RequestError(404, "There is no such path; /docs lists those there are.", headers=headers)
    if error.status_code == 405:
        return RequestError(405, f"{scope['method']} is not answered here; the header Allow says what is.",
                            headers=headers)  # fmt: skip
    return RequestError(error.status_code, error.detail, headers=headers)


def _request_id(scope: Scope) -> str:
    """The caller's X-Request-ID where it is a harmless one, else a new one."""
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _REQUEST_ID.fullmatch(value):
            return str(value.decode("ascii"))
    return uuid.uuid4().hex
