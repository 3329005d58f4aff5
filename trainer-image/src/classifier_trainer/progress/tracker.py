"""What a run is doing, for everyone who asks: the endpoint's thread, the display, the last word."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Literal, Protocol, overload

from classifier_trainer.progress.work import SECONDS, Kind, Work

Phase = Literal["Preparing", "Training", "Testing", "Succeeded", "Failed"]

_VERSION = "v1alpha1"
_MAX_LABELS = 100
_MAX_WARNINGS = 20
_SHOW_LEFT_AFTER = 2.0
"""Percent before which the time left is a mere guess."""


class Listener(Protocol):
    """Shows the run to a person."""

    def said(self, text: str) -> None:
        """A line worth keeping."""

    def moved(self, document: dict[str, Any]) -> None:
        """The progress document changed."""

    def close(self) -> None:
        """The run is over."""


class Tracker:
    """Counts the work of all phases, so that one percentage covers the run and only rises.

    The time between two calls of `advance` belongs to the later one; what passes before a call of `phase` belongs to
    no kind of work, so that loading a model does not slow the training that follows it.
    """

    def __init__(self, listener: Listener | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._lock = threading.Lock()
        self._listener = listener
        self._clock = clock
        self._phase: Phase = "Preparing"
        self._message = "starting"
        self._work = Work()
        self._mark = clock()
        self._timed = 0.0
        self._training: dict[str, Any] = {}
        self._dataset: dict[str, Any] | None = None
        self._warnings: list[str] = []
        self._checkpoints: list[dict[str, Any]] = []
        self._best: str | None = None

    def phase(self, phase: Phase, message: str) -> None:
        """Enters a phase; the message is one line."""
        with self._lock:
            self._phase, self._message = phase, message
            self._mark = self._clock()
        self._tell(message)

    def say(self, text: str) -> None:
        """A line for the log only."""
        self._tell(text)

    def warn(self, text: str) -> None:
        """A warning for the status and the log."""
        with self._lock:
            self._warnings.append(text)
        self._tell(f"warning: {text}")

    def dataset(
        self, task: str, labels: Sequence[str], train_rows: int, test_rows: int, validation_rows: int = 0
    ) -> None:
        """What the data turned out to be."""
        with self._lock:
            self._dataset = {
                "taskType": task,
                "labels": list(labels[:_MAX_LABELS]),
                "labelCount": len(labels),
                "trainRows": train_rows,
                "validationRows": validation_rows,
                "testRows": test_rows,
            }

    def plan(self, units: float | Mapping[Kind, float]) -> None:
        """The work of the whole run by kind (see `Kind` for the units), now that it is known.

        A later call replaces the kinds it names, which may raise the time left and never lowers the percentage.
        """
        with self._lock:
            self._work.plan(units if isinstance(units, Mapping) else {"work": units})
            self._mark = self._clock()

    @overload
    def advance(self, kind: Kind, units: float, /) -> None: ...
    @overload
    def advance(self, units: float, /) -> None: ...
    def advance(self, kind: Kind | float, units: float | None = None, /) -> None:
        """Work that was done since the last call."""
        with self._lock:
            now = self._clock()
            if isinstance(kind, str):
                self._work.advance(kind, units or 0.0, now - self._mark)
            else:
                self._work.advance("work", kind, now - self._mark)
            self._mark = now
            document = self._document()
        self._move(document)

    def advancing(self, kind: Kind) -> Callable[[float], None]:
        """`advance` for work of one kind, for those who know only their units."""
        return lambda units: self.advance(kind, units)

    @contextmanager
    def timed(self, kind: Kind) -> Iterator[None]:
        """The block is all that is planned in seconds, or a checkpoint's share of `functions` or `writing`."""
        with self._lock:
            units = self._work.rest(kind) if kind in SECONDS else 1.0
            self._mark, self._timed = self._clock(), self._work.seconds_of(kind, units)
        try:
            yield
        finally:
            self._timed = 0.0
        self.advance(kind, units)

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

    def deleted(self, name: str) -> None:
        """A checkpoint is not kept: its metrics stay, and it has no path any more."""
        with self._lock:
            # Replaced, not changed: the endpoint's thread may be writing the entry out.
            self._checkpoints = [
                {key: value for key, value in entry.items() if key != "path" or entry["name"] != name}
                for entry in self._checkpoints
            ]

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

    def state(self) -> dict[str, Any]:
        """JSON for `resume`, to be saved with the state of the training."""
        with self._lock:
            return {
                "work": self._work.state(),
                "training": dict(self._training),
                "checkpoints": list(self._checkpoints),
                "best": self._best,
            }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Goes on from `state` of an earlier process; `plan` is still told the work of the whole run."""
        with self._lock:
            self._work.resume(state.get("work", {}))
            self._training = dict(state.get("training", {}))
            self._checkpoints = list(state.get("checkpoints", []))
            self._best = state.get("best")

    def close(self) -> None:
        """Ends the display."""
        if self._listener is not None:
            self._listener.close()

    def document(self) -> dict[str, Any]:
        """The progress document of `GET /progress`."""
        with self._lock:
            return self._document()

    def _document(self) -> dict[str, Any]:
        # 100 is for the end alone.
        percent = 100 if self._phase == "Succeeded" else min(99, int(self._work.percent))
        progress: dict[str, Any] = {"percent": percent, **self._training}
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
        left = self._work.seconds_left()
        if left is None or not self._work.planned or self._work.percent < _SHOW_LEFT_AFTER:
            return None
        return max(1, round(left - min(self._timed, self._clock() - self._mark)))

    def _tell(self, text: str) -> None:
        if self._listener is not None:
            self._listener.said(text)

    def _move(self, document: dict[str, Any]) -> None:
        if self._listener is not None:
            self._listener.moved(document)
