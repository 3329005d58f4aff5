"""What a run is doing, for everyone who asks: the endpoint's thread, the display, the last word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, Protocol

Phase = Literal["Preparing", "Training", "Testing", "Succeeded", "Failed"]

_VERSION = "v1alpha1"
_MAX_LABELS = 100
_MAX_WARNINGS = 20


class Listener(Protocol):
    """Shows the run to a person."""

    def said(self, text: str) -> None:
        """A line worth keeping."""

    def moved(self, document: dict[str, Any]) -> None:
        """The progress document changed."""

    def close(self) -> None:
        """The run is over."""


class Tracker:
    """Counts work in forward-token units over all phases, so that one percentage covers the run and only rises."""

    def __init__(self, listener: Listener | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._listener = listener
        self._clock = clock
        self._phase: Phase = "Preparing"
        self._message = "starting"
        self._total = 0.0
        self._done = 0.0
        self._percent = 0
        self._began: float | None = None
        self._training: dict[str, Any] = {}
        self._dataset: dict[str, Any] | None = None
        self._warnings: list[str] = []
        self._checkpoints: list[dict[str, Any]] = []
        self._best: str | None = None

    def phase(self, phase: Phase, message: str) -> None:
        """Enters a phase; the message is one line."""
        with self._lock:
            self._phase, self._message = phase, message
            if phase == "Succeeded":
                self._percent = 100
        self._tell(message)

    def say(self, text: str) -> None:
        """A line for the log only."""
        self._tell(text)

    def warn(self, text: str) -> None:
        """A warning for the status and the log."""
        with self._lock:
            self._warnings.append(text)
        self._tell(f"warning: {text}")

    def dataset(self, task: str, labels: Sequence[str], train_rows: int, test_rows: int) -> None:
        """What the data turned out to be."""
        with self._lock:
            self._dataset = {
                "taskType": task,
                "labels": list(labels[:_MAX_LABELS]),
                "labelCount": len(labels),
                "trainRows": train_rows,
                "testRows": test_rows,
            }

    def plan(self, units: float) -> None:
        """The work of the whole run, now that it is known."""
        with self._lock:
            self._total = max(units, 1.0)
            self._began = self._clock()

    def advance(self, units: float) -> None:
        """Work that was done."""
        with self._lock:
            self._done = min(self._done + units, self._total)
            if self._total:
                # 100 is for the end alone.
                self._percent = max(self._percent, min(99, int(100 * self._done / self._total)))
            document = self._document()
        self._move(document)

    def trained(self, message: str, **values: float) -> None:
        """After an update: epoch, epochs, step, steps, loss, samplesPerSecond, tokensPerSecond."""
        with self._lock:
            self._message = message
            self._training.update(values)

    def checkpoint(self, entry: dict[str, Any], best: str) -> None:
        """A checkpoint is there: name, step, path, metrics."""
        with self._lock:
            self._checkpoints.append(entry)
            self._best = best

    def restore(self, document: dict[str, Any]) -> None:
        """Takes over the last word of a finished run."""
        with self._lock:
            self._dataset = document.get("dataset")
            self._warnings = list((self._dataset or {}).get("warnings", []))
            self._checkpoints = list(document.get("checkpoints", []))
            self._best = document.get("best")
            self._training = {
                k: v for k, v in document.get("progress", {}).items() if k not in ("percent", "secondsLeft")
            }

    def close(self) -> None:
        """Ends the display."""
        if self._listener is not None:
            self._listener.close()

    def document(self) -> dict[str, Any]:
        """The progress document of `GET /progress`."""
        with self._lock:
            return self._document()

    def _document(self) -> dict[str, Any]:
        progress: dict[str, Any] = {"percent": self._percent, **self._training}
        left = self._seconds_left()
        if left is not None:
            progress["secondsLeft"] = left
        result: dict[str, Any] = {
            "version": _VERSION,
            "phase": self._phase,
            "message": self._message,
            "progress": progress,
            "checkpoints": list(self._checkpoints),
        }
        if self._dataset is not None:
            result["dataset"] = {**self._dataset, "warnings": self._warnings[:_MAX_WARNINGS]}
        if self._best is not None:
            result["best"] = self._best
        return result

    def _seconds_left(self) -> int | None:
        if self._phase in ("Succeeded", "Failed"):
            return 0 if self._phase == "Succeeded" else None
        if self._began is None or self._done < 0.02 * self._total:
            return None
        elapsed = self._clock() - self._began
        return max(1, round(elapsed * (self._total - self._done) / self._done))

    def _tell(self, text: str) -> None:
        if self._listener is not None:
            self._listener.said(text)

    def _move(self, document: dict[str, Any]) -> None:
        if self._listener is not None:
            self._listener.moved(document)
