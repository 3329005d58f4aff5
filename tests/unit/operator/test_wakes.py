"""When a deployment was asked for, and how long its pods took to come."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from classifier_operator.controller.wakes import Turn, Wakes
from support.builders import NOW
from support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def wakes(clock: FakeClock) -> Wakes:
    return Wakes(clock)


def micro(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def asked(wakes: Wakes, renewed: str | None) -> float | None:
    wakes.see("u", renewed=renewed, wanted=0, ready_endpoints=0)
    return wakes.view("u", 10_000).since_asked


def test_a_change_of_the_lease_is_a_question_by_our_own_clock(clock: FakeClock, wakes: Wakes) -> None:
    assert asked(wakes, None) is None
    clock.advance(100)
    assert asked(wakes, micro(NOW - timedelta(hours=3))) == 0, "the gateway's clock may be wrong"
    clock.advance(7)
    assert asked(wakes, micro(NOW - timedelta(hours=3))) == 7
    assert asked(wakes, micro(NOW - timedelta(hours=2))) == 0
    clock.advance_wall(3600)
    assert asked(wakes, micro(NOW - timedelta(hours=2))) == 0, "only the monotonic clock counts"


@pytest.mark.parametrize(
    ("renewed", "since"),
    [
        (micro(NOW - timedelta(seconds=29)), 0),
        (micro(NOW + timedelta(seconds=29)), 0),
        (micro(NOW - timedelta(seconds=31)), None),
        (micro(NOW + timedelta(seconds=31)), None),
        ("2026-03-01T12:00:00Z", 0),
        ("2026-03-01T12:00:00", None),
        ("yesterday", None),
    ],
)
def test_at_the_start_what_is_recent_counts_as_now(wakes: Wakes, renewed: str, since: float | None) -> None:
    assert asked(wakes, renewed) == since


def test_a_lease_that_is_gone_takes_nothing_back(clock: FakeClock, wakes: Wakes) -> None:
    asked(wakes, micro(NOW))
    clock.advance(3)
    assert asked(wakes, None) == 3


def test_a_wake_is_from_no_pods_to_the_first_endpoint(clock: FakeClock, wakes: Wakes) -> None:
    def see(wanted: int | None, ready: int) -> Turn:
        return wakes.see("u", renewed=None, wanted=wanted, ready_endpoints=ready)

    assert see(0, 0) == Turn()
    assert see(2, 0) == Turn(began=True)
    clock.advance(5)
    assert see(2, 0) == Turn()
    assert wakes.view("u", 10_000).took is None
    clock.advance(2)
    assert see(2, 1) == Turn(took=7)
    clock.advance(60)
    assert see(2, 2) == Turn()
    assert wakes.view("u", 10_000).took == 7, "until the next wake"
    see(0, 1)
    see(0, 0)
    assert wakes.view("u", 10_000).took == 7
    assert see(1, 0) == Turn(began=True)
    assert wakes.view("u", 10_000).took is None


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("the first start, which pulls images", [(None, 0), (1, 0), (1, 1)]),
        ("the operator came in the middle of it", [(1, 0), (1, 1)]),
        ("the pods of before were still there", [(0, 1), (1, 1), (1, 1)]),
        ("it was called off", [(0, 0), (1, 0), (0, 0), (0, 1)]),
        ("more pods, not the first", [(1, 1), (3, 1), (3, 3)]),
    ],
)
def test_what_is_no_wake_is_not_timed(wakes: Wakes, name: str, seen: list[tuple[int | None, int]]) -> None:
    for wanted, ready in seen:
        turn = wakes.see("u", renewed=None, wanted=wanted, ready_endpoints=ready)
        assert turn.took is None
    assert wakes.view("u", 10_000).took is None


def test_who_is_forgotten_is_new(clock: FakeClock, wakes: Wakes) -> None:
    asked(wakes, None)
    asked(wakes, micro(NOW))
    wakes.forget("u")
    assert wakes.view("u", 10_001).since_asked is None
    assert wakes.view("u", 10_001).port == 10_001
