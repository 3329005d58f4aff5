"""What a deployment is scaled down to: the most that was called for within the window."""

from __future__ import annotations

import random

import pytest

from classifier_operator.controller.demand import SteadyDemand
from support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def demand(clock: FakeClock) -> SteadyDemand[str]:
    return SteadyDemand(monotonic=clock.monotonic, window=60)


def test_up_at_once_down_after_the_window(clock: FakeClock, demand: SteadyDemand[str]) -> None:
    assert demand.note("a", 1, running=1) == 1
    assert demand.note("a", 4, running=1) == 4
    clock.advance(10)
    assert demand.note("a", 2, running=4) == 4
    clock.advance(30)
    assert demand.note("a", 3, running=4) == 4
    clock.advance(30)
    assert demand.note("a", 1, running=4) == 4, "it was 4 until 60 seconds ago"
    clock.advance(1)
    assert demand.note("a", 1, running=4) == 3
    clock.advance(60)
    assert demand.note("a", 1, running=3) == 1


def test_a_demand_lasts_until_the_next_is_noted(clock: FakeClock, demand: SteadyDemand[str]) -> None:
    demand.note("a", 4, running=1)
    clock.advance(600)
    assert demand.note("a", 0, running=4) == 4, "nobody said in between that it was less"
    clock.advance(61)
    assert demand.note("a", 0, running=4) == 0


def test_after_a_restart_the_pods_that_run_count_as_called_for(clock: FakeClock, demand: SteadyDemand[str]) -> None:
    assert demand.note("a", 0, running=3) == 3
    clock.advance(59)
    assert demand.note("a", 0, running=3) == 3
    clock.advance(2)
    assert demand.note("a", 0, running=3) == 0


def test_keys_are_apart_and_forgotten(clock: FakeClock, demand: SteadyDemand[str]) -> None:
    demand.note("a", 5, running=1)
    assert demand.note("b", 1, running=1) == 1
    demand.forget("a")
    assert demand.note("a", 1, running=1) == 1


@pytest.mark.parametrize("seed", range(20))
def test_it_is_the_highest_of_the_window(seed: int, clock: FakeClock, demand: SteadyDemand[str]) -> None:
    """Against the definition: every demand with the stretch of time in which it held."""
    random_ = random.Random(seed)
    stretches: list[tuple[float, int]] = []  # until when, how much
    current = 2
    for step in range(200):
        clock.advance(random_.choice([0.0, 0.5, 3.0, 20.0]) if step else 0.0)
        now = clock.monotonic()
        stretches.append((now, current))
        current = random_.randint(0, 6)
        expected = max([current, *(each for until, each in stretches if until >= now - 60)])
        assert demand.note("a", current, running=2) == expected
