"""GET /progress, /health and /metrics, from a thread of their own."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from classifier_trainer.progress.termination import shrink

PROGRESS_BYTES = 65536
"""The operator reads no more."""

_FIELDS = {
    "percent": ("classifier_training_progress_percent", "Share of the run that is done."),
    "epoch": ("classifier_training_epoch", "Epoch that is trained."),
    "epochs": ("classifier_training_epochs", "Epochs of the whole run."),
    "step": ("classifier_training_step", "Updates that are done."),
    "steps": ("classifier_training_steps", "Updates of the whole run."),
    "loss": ("classifier_training_loss", "Training loss of the last update."),
    "samplesPerSecond": ("classifier_training_samples_per_second", "Rows trained on in a second."),
    "tokensPerSecond": ("classifier_training_tokens_per_second", "Tokens trained on in a second."),
    "secondsLeft": ("classifier_training_seconds_left", "Estimated seconds until the end."),
}
_PREFIX = "classifier_training_"
_ROWS = {"trainRows": "train", "validationRows": "validation", "testRows": "test"}


class Endpoint:
    """Serves the progress document while the block runs.

    Raises:
        OSError: the port cannot be had.
    """

    def __init__(self, port: int, document: Callable[[], dict[str, Any]], host: str = "") -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Training(document))
        ProcessCollector(registry=registry)

        class Handler(BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                if path == "/progress":
                    self._answer("application/json", shrink(document(), PROGRESS_BYTES))
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

        self._server = _Server((host, port), Handler)
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


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Somebody who hangs up early is no news either.
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)


class _Training(Collector):
    def __init__(self, document: Callable[[], dict[str, Any]]) -> None:
        self._document = document

    def collect(self) -> Iterator[Metric]:
        document = self._document()
        for field, value in document.get("progress", {}).items():
            if field in _FIELDS:
                yield GaugeMetricFamily(*_FIELDS[field], value=float(value))
        yield _family("phase", "1 for the phase of the run.", "phase", {document["phase"]: 1.0})
        dataset = document.get("dataset", {})
        rows = {name: float(dataset[field]) for field, name in _ROWS.items() if field in dataset}
        yield _family("rows", "Rows of the data.", "split", rows)
        checkpoints = document.get("checkpoints", [])
        yield GaugeMetricFamily(f"{_PREFIX}checkpoints", "Checkpoints that are written.", value=len(checkpoints))
        best: dict[str, str] = next(
            (item["metrics"] for item in checkpoints if item["name"] == document.get("best")), {}
        )
        yield _family("best_score", "Scores of the best checkpoint so far.", "metric", _numbers(best))


def _family(name: str, text: str, label: str, values: dict[str, float]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(f"{_PREFIX}{name}", text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], value)
    return family


def _numbers(metrics: dict[str, str]) -> dict[str, float]:
    found = {}
    for name, value in metrics.items():
        with suppress(ValueError):
            found[name] = float(value)
    return found
