"""What sleep brings and what it costs, for Prometheus: a series for each deployment, gone when the deployment is."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from classifier_operator import metrics
from classifier_operator.controller.keys import Key

_SERIES: Final = (
    metrics.AWAKE_SECONDS,
    metrics.GPU_SECONDS_SAVED,
    metrics.WAKES,
    metrics.WAKE_SECONDS,
    metrics.NEXT_TRANSITION,
)


@dataclass(slots=True)
class _State:
    since: float
    awake: bool
    spared_gpus: int


class SleepMetrics:
    """Counts the time that deployments are awake and asleep; what was true at the last look was true until this one."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._states: dict[Key, _State] = {}

    def see(self, key: Key, *, awake: bool, spared_gpus: int, next_transition: datetime | None) -> None:
        """Takes in how a deployment stands now.

        Args:
            awake: whether pods are wanted.
            spared_gpus: GPUs that its pods would hold, if it sleeps.
        """
        self._count(key)
        self._states[key] = _State(self._monotonic(), awake, spared_gpus)
        if next_transition is not None:
            metrics.NEXT_TRANSITION.labels(key.namespace, key.name).set(next_transition.timestamp())
        else:
            _remove(metrics.NEXT_TRANSITION, key)

    def began(self, key: Key) -> None:
        """Pods were asked for where there were none."""
        metrics.WAKES.labels(key.namespace, key.name).inc()

    def took(self, key: Key, seconds: float) -> None:
        """The first of them became ready after so many seconds."""
        metrics.WAKE_SECONDS.labels(key.namespace, key.name).observe(seconds)

    def tick(self) -> None:
        """Counts the time until now, so that the figures of deployments that nothing happens to grow too."""
        for key in self._states:
            self._count(key)

    def forget(self, key: Key) -> None:
        """The deployment is gone."""
        self._states.pop(key, None)
        for series in _SERIES:
            _remove(series, key)

    def _count(self, key: Key) -> None:
        state = self._states.get(key)
        if state is None:
            return
        now = self._monotonic()
        seconds, state.since = now - state.since, now
        if state.awake:
            metrics.AWAKE_SECONDS.labels(key.namespace, key.name).inc(seconds)
        if state.spared_gpus:
            metrics.GPU_SECONDS_SAVED.labels(key.namespace, key.name).inc(seconds * state.spared_gpus)


def _remove(series: metrics.Series, key: Key) -> None:
    with contextlib.suppress(KeyError):
        series.remove(key.namespace, key.name)
