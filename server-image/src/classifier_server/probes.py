"""Port 9090: probes, metrics, activity and drain, from threads of their own, so that they answer while the model is
imported and loaded or a batch is computed."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from typing import Any

from classifier_server.metrics import CONTENT_TYPE, Metrics
from classifier_server.state import ServerState

_Answer = tuple[int, str, bytes]
_IDLE_SECONDS = 30


def start_probes(listener: socket, state: ServerState, metrics: Metrics, drain: Callable[[], None]) -> None:
    """Serves on `listener` until the process ends; `drain` is called from such a thread."""

    def stats() -> _Answer:
        return _json((200, state.stats()))

    def drained() -> _Answer:
        drain()
        return _json((200, {"status": state.phase}))

    routes: dict[str, Callable[[], _Answer]] = {
        "/health": lambda: _json(state.health()),
        "/ready": lambda: _json(state.readiness()),
        "/metrics": lambda: (200, CONTENT_TYPE, metrics.render()),
        "/stats": stats,
        "/drain": drained,
    }

    class Handler(_Handler):
        answers = routes

    server = ThreadingHTTPServer(listener.getsockname()[:2], Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="probes", daemon=True).start()


def _json(answer: tuple[int, dict[str, Any]]) -> _Answer:
    code, body = answer
    return code, "application/json", json.dumps(body).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = _IDLE_SECONDS
    answers: dict[str, Callable[[], _Answer]]

    def do_GET(self) -> None:
        """Answers one request."""
        answer = self.answers.get(self.path.partition("?")[0])
        code, media_type, body = (404, "application/json", b'{"status":"NotFound"}') if answer is None else answer()
        self.send_response(code)
        self.send_header("Content-Type", media_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Probes come every few seconds; nobody reads them in a log."""
