"""Time awake and asleep, as Prometheus sees it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from prometheus_client import REGISTRY

from classifier_operator.api import names
from classifier_operator.controller.keys import Key
from classifier_operator.controller.sleep_metrics import SleepMetrics
from support.builders import NOW
from support.fake_clock import FakeClock

PREFIX = "classifier_operator_deployment_"
KEY = Key(names.DEPLOYMENT_KIND, "ns", "news")


def figure(name: str, key: Key = KEY) -> float | None:
    return REGISTRY.get_sample_value(PREFIX + name, {"namespace": key.namespace, "name": key.name})


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def metrics(clock: FakeClock) -> Iterator[SleepMetrics]:
    made = SleepMetrics(clock.monotonic)
    yield made
    made.forget(KEY)


def test_time_counts_for_the_state_in_which_it_passed(clock: FakeClock, metrics: SleepMetrics) -> None:
    metrics.see(KEY, awake=True, spared_gpus=0, next_transition=None)
    clock.advance(10)
    metrics.see(KEY, awake=False, spared_gpus=4, next_transition=None)
    assert (figure("awake_seconds_total"), figure("asleep_gpu_seconds_saved_total")) == (10, None)
    clock.advance(7)
    metrics.tick()
    assert (figure("awake_seconds_total"), figure("asleep_gpu_seconds_saved_total")) == (10, 28)
    clock.advance(1)
    metrics.see(KEY, awake=True, spared_gpus=0, next_transition=None)
    clock.advance(5)
    metrics.tick()
    assert (figure("awake_seconds_total"), figure("asleep_gpu_seconds_saved_total")) == (15, 32)


def test_wakes_are_counted_and_timed(metrics: SleepMetrics) -> None:
    metrics.began(KEY)
    metrics.began(KEY)
    metrics.took(KEY, 7.5)
    assert figure("wakes_total") == 2
    assert (figure("wake_seconds_count"), figure("wake_seconds_sum")) == (1, 7.5)


def test_the_next_transition_is_there_while_there_is_one(metrics: SleepMetrics) -> None:
    metrics.see(KEY, awake=True, spared_gpus=0, next_transition=NOW)
    assert figure("next_transition_timestamp_seconds") == NOW.timestamp()
    metrics.see(KEY, awake=True, spared_gpus=0, next_transition=None)
    assert figure("next_transition_timestamp_seconds") is None


def test_the_series_of_a_deployment_go_with_it(clock: FakeClock, metrics: SleepMetrics) -> None:
    other = Key(names.DEPLOYMENT_KIND, "ns", "other")
    for key in (KEY, other):
        metrics.see(key, awake=True, spared_gpus=1, next_transition=NOW)
        metrics.began(key)
        metrics.took(key, 1)
    clock.advance(1)
    metrics.tick()
    metrics.forget(other)
    clock.advance(1)
    metrics.tick()
    all_figures = (
        "awake_seconds_total",
        "asleep_gpu_seconds_saved_total",
        "wakes_total",
        "wake_seconds_count",
        "next_transition_timestamp_seconds",
    )
    assert [figure(name, other) for name in all_figures] == [None] * 5
    assert all(figure(name) for name in all_figures)
    metrics.forget(other)
