"""uvicorn's HTTP protocol, with bounds on a request's head and errors as JSON."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from classifier_server.dialects import native
from classifier_server.errors import RequestError
from classifier_server.limits import MAX_HEADER_BYTES, RECEIVE_SECONDS


class BoundedProtocol(HttpToolsProtocol):
    """Reads at most 16 KiB of a request's head, for at most 30 s."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None

    @property
    def fresh(self) -> bool:
        """Whether the connection is open and has not brought a request yet."""
        return self.cycle is None and not self.transport.is_closing()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in uvicorn
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            self._head_bytes += len(data)
            self._start_timer()
        super().data_received(data)
        if self._in_head and self._head_bytes > MAX_HEADER_BYTES:
            self._refuse(RequestError(431, f"The headers are larger than {MAX_HEADER_BYTES // 1024} KiB."))

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_timer()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head = True
        self._head_bytes = 0

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  # uvicorn's text for the same
        self._refuse(RequestError(400, "This is not an HTTP request."))

    def _start_timer(self) -> None:
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(RECEIVE_SECONDS, self._head_too_slow)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_too_slow(self) -> None:
        self._refuse(RequestError(408, f"The headers did not arrive within {RECEIVE_SECONDS:.0f} s."))

    def _refuse(self, error: RequestError) -> None:
        if self.transport.is_closing():
            return
        body = native.render_error(error)
        head = b"content-type: application/json\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body)
        self.transport.write(STATUS_LINE[error.status] + head + body)
        self.transport.close()
