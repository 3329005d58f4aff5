"""A pod that says what the test wants: HTTP on a loopback address of its own, at the port that the operator asks."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

PORT: Final = 9090
_ADDRESSES: Final = itertools.count(2)


class FakeTrainerPod:
    """Answers `/progress` with a report, and `/ready` with `ready`."""

    def __init__(self, address: str, port: int = PORT) -> None:
        self.address = address
        self.body: bytes = b""
        self.status = 200
        self.headers: dict[str, str] = {}
        self.ready = True
        self.asked = 0
        pod = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/ready":
                    self._answer(200 if pod.ready else 503, b"{}", {})
                    return
                pod.asked += 1
                self._answer(pod.status, pod.body, pod.headers)

            def _answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Tests print nothing."""

        self._server = ThreadingHTTPServer((address, port), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def say(self, phase: str, message: str = "", **more: Any) -> None:
        """What `/progress` answers from now on."""
        self.body = json.dumps({"version": "v1alpha1", "phase": phase, "message": message, **more}).encode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)


@contextmanager
def fake_trainer_pod(port: int = PORT) -> Iterator[FakeTrainerPod]:
    """A pod at the next free loopback address (all of 127/8 is this machine)."""
    pod = FakeTrainerPod(f"127.0.7.{next(_ADDRESSES)}", port)
    try:
        yield pod
    finally:
        pod.close()
