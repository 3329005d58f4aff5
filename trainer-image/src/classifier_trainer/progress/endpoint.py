"""GET /progress, /health and /metrics, from a thread of their own."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

_FIELDS = {
    "percent": ("classifier_training_progress_percent", "Share of the run that is done."),
    "epoch": ("classifier_training_epoch", "Epoch that is trained."),
    "step": ("classifier_training_step", "Updates that are done."),
    "steps": ("classifier_training_steps", "Updates of the whole run."),
    "loss": ("classifier_training_loss", "Training loss of the last update."),
    "samplesPerSecond": ("classifier_training_samples_per_second", "Rows trained on in a second."),
    "tokensPerSecond": ("classifier_training_tokens_per_second", "Tokens trained on in a second."),
    "secondsLeft": ("classifier_training_seconds_left", "Estimated seconds until the end."),
}


class Endpoint:
    """Serves the progress document while the block runs.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, port: int, document: Callable[[], dict[str, Any]], host: str = "") -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Training(document))

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/progress":
                    self._answer("application/json", json.dumps(document()).encode())
                elif path == "/health":
                    self._answer("text/plain; charset=utf-8", b"ok\n")
                elif path == "/metrics":
                    self._answer(CONTENT_TYPE_LATEST, generate_latest(registry))
                else:
                    self.send_error(404)

            def _answer(self, kind: str, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Probes every few seconds are no news."""

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name="progress", daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._server.server_address[1])

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Training(Collector):
    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document

    def collect(self) -> Iterator[Metric]:
        document = self._document()
        for field, value in document.get("progress", {}).items():
            if field in _FIELDS:
                yield GaugeMetricFamily(*_FIELDS[field], value=float(value))
        phase = GaugeMetricFamily("classifier_training_phase", "1 for the phase of the run.", labels=["phase"])
        phase.add_metric([document["phase"]], 1.0)
        yield phase
