"""Where the process stands: loading, ready or draining, and what it is doing. Written by the event loop, the loader and
the workers, read by the port of the probes from threads of its own."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from classifier_artifacts.fetch import shown
from classifier_server.dialects.dialect import Facts

if TYPE_CHECKING:
    from classifier_server.classifier import Classifier
    from classifier_server.config import ServeConfig

_ALIVE_SECONDS = 10.0

Phase = Literal["Loading", "Ready", "Draining"]


@dataclass
class ServerState:
    """One for each process."""

    config: ServeConfig
    loading: str = "starting"
    """What the loader does right now, for people who wait."""
    classifier: Classifier | None = None
    draining_since: float | None = None
    created: int = field(default_factory=lambda: int(time.time()))
    """Seconds since 1970."""
    loop_beat: float = field(default_factory=time.monotonic)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _in_flight: int = 0
    _last_completion: float | None = None
    _ready_since: float | None = None

    def loaded(self, classifier: Classifier) -> None:
        """The model is loaded and warmed up: ready from now on. To be called once."""
        self._ready_since = time.monotonic()
        self.classifier = classifier

    @property
    def phase(self) -> Phase:
        """Draining as soon as it was asked for, also while loading."""
        if self.draining_since is not None:
            return "Draining"
        return "Ready" if self.classifier is not None else "Loading"

    def drain(self) -> None:
        """From now on not ready, and every answer says `Connection: close`. Harmless to repeat."""
        with self._lock:
            if self.draining_since is None:
                self.draining_since = time.monotonic()

    def request_started(self) -> None:
        """An inference request entered the queue."""
        with self._lock:
            self._in_flight += 1

    def request_ended(self, *, answered: bool) -> None:
        """It left; only an answered one counts as activity."""
        with self._lock:
            self._in_flight -= 1
            if answered:
                self._last_completion = time.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the event loop and, once the model is loaded, the engine's workers beat."""
        beats = time.monotonic() - self.loop_beat < _ALIVE_SECONDS
        return beats and (self.classifier is None or self.classifier.engine.alive)

    def health(self) -> tuple[int, dict[str, Any]]:
        """Status code and body of /health."""
        return (200, {"status": "Alive"}) if self.alive else (503, {"status": "Stuck"})

    def readiness(self) -> tuple[int, dict[str, Any]]:
        """Status code and body of /ready."""
        phase = self.phase
        body: dict[str, Any] = {"status": phase, "model": self.config.model_id}
        if phase == "Loading":
            body["message"] = self.loading
        if self.classifier is not None and self.classifier.about.version is not None:
            body["version"] = self.classifier.about.version
        return (200 if phase == "Ready" else 503), body

    def facts(self) -> Facts:
        """What dialects tell about the model."""
        config, classifier = self.config, self.classifier
        return Facts(
            names=config.accepted_names,
            uri=shown(config.model.uri),
            checkpoint=config.checkpoint,
            ready=self.phase == "Ready",
            created=self.created,
            labels=None if classifier is None else classifier.labels,
            max_length=None if classifier is None else classifier.encoder.max_length,
            max_queue=config.server.max_queue,
        )

    def stats(self) -> dict[str, Any]:
        """Body of /stats: what the operator decides about sleep by."""
        with self._lock:
            in_flight, last = self._in_flight, self._last_completion
        return {
            "inFlight": in_flight,
            "queue": self.classifier.engine.queued if self.classifier is not None else 0,
            "secondsSinceLastCompletion": _seconds_since(last),
            "secondsSinceReady": _seconds_since(self._ready_since),
        }


def _seconds_since(moment: float | None) -> float | None:
    return None if moment is None else round(time.monotonic() - moment, 3)
