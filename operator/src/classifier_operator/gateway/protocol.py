"""HTTP as callers speak it: bounds on a request's head, and errors in our own shape."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from classifier_operator.gateway.head import MAX_HEAD_BYTES, too_large
from classifier_operator.gateway.metrics import REJECTED
from classifier_operator.gateway.refusal import RefusalError

logger = logging.getLogger(__name__)

_LINGER_SECONDS: Final = 5.0
"""How long the rest of a body is read and thrown away after an early answer: who still sends would not see it."""

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class BoundedProtocol(RequestHandler):
    """Reads at most 16 KiB of a request's head, for a bounded time."""

    __slots__ = ("_head_bytes", "_head_seconds", "_head_timer")

    def __init__(self, *args: Any, head_seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._head_bytes = 0
        self._head_seconds = head_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def fresh(self) -> bool:
        """Whether it has not brought a request yet."""
        return not self._request_count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._head_timer = self._loop.call_later(self._head_seconds, self._head_too_slow)

    def connection_lost(self, exc: BaseException | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._head_timer is None:
            return
        if self._request_count:
            self._stop_timer()
            return
        self._head_bytes += len(data)
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(too_large())

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002  # aiohttp's text, which repeats what was sent
    ) -> web.StreamResponse:
        """What cannot be parsed, and what is a bug of ours."""
        if request.writer.output_size > 0:
            if not isinstance(exc, ConnectionError):
                logger.error("An answer broke off: %s", type(exc).__name__, exc_info=exc)
            raise ConnectionError("a part of the answer has been sent")
        if isinstance(exc, LineTooLong):
            refusal = too_large()
        elif status < 500:
            refusal = RefusalError(
                400,
                "This is no well-formed HTTP request, or it has both Content-Length and Transfer-Encoding.",
                reason="Malformed",
            )
        else:
            logger.error("A request failed: %s", type(exc).__name__, exc_info=exc)
            refusal = RefusalError(500, "The gateway failed on this request; its log says why.", reason="Internal")
        REJECTED.labels(refusal.reason).inc()
        return refusal.response()

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._refuse(
            RefusalError(
                408, f"The head of a request did not arrive within {self._head_seconds:g} s.", reason="TooSlow"
            )
        )

    def _refuse(self, refusal: RefusalError) -> None:
        """Answers before there is a request to aiohttp."""
        self._stop_timer()
        if self.transport is None or self.transport.is_closing():
            return
        REJECTED.labels(refusal.reason).inc()
        body = refusal.render()
        status = f"HTTP/1.1 {refusal.status} Refused\r\n".encode()
        head = b"Content-Type: application/json\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
        self.transport.write(status + head + body)
        self.force_close()


class BoundedServer(web.Server):
    """One server for one port. A caller who leaves takes the request's task with him."""

    def __init__(self, handler: Handler, *, head_seconds: float, name: logging.Logger = logger) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._arguments: dict[str, Any] = {
            "head_seconds": head_seconds,
            "keepalive_timeout": head_seconds * 2,  # our own timer is first
            "access_log": None,
            "logger": name,
            "max_line_size": MAX_HEAD_BYTES,
            "max_field_size": MAX_HEAD_BYTES,
            "max_headers": MAX_HEAD_BYTES // 4,
            "lingering_time": _LINGER_SECONDS,
            "auto_decompress": False,
        }

    def __call__(self) -> RequestHandler:
        return BoundedProtocol(self, loop=self._loop, **self._arguments)

    @property
    def fresh(self) -> list[BoundedProtocol]:
        """Connections that have not brought a request yet."""
        return [each for each in self.connections if isinstance(each, BoundedProtocol) and each.fresh]
