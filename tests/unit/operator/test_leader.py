"""Whoever is not sure to hold the Lease writes nothing. Taking and losing it is tested with a real API server."""

from __future__ import annotations

from typing import Any, NoReturn

import pytest

from classifier_operator.errors import LeaseLostError
from classifier_operator.kube.leader import Leader
from support.fake_clock import FakeClock


class EndedError(Exception):
    """In place of the end of the process."""


def end(reason: str) -> NoReturn:
    raise EndedError(reason)


def leader(clock: FakeClock) -> Leader:
    client: Any = None
    return Leader(
        client,
        namespace="ns",
        name="lease",
        lease_seconds=15,
        identity="me",
        on_lost=end,
        monotonic=clock.monotonic,
        wall=clock.wall,
    )


def holding(clock: FakeClock) -> Leader:
    made = leader(clock)
    made._held = True
    made._renewed = (clock.monotonic(), clock.wall())
    return made


def test_nothing_is_written_before_the_lease_is_held() -> None:
    with pytest.raises(LeaseLostError):
        leader(FakeClock()).remaining()


def test_two_thirds_of_the_lease_may_be_written() -> None:
    clock = FakeClock()
    made = holding(clock)
    assert made.remaining() == 10
    clock.advance(9)
    assert made.remaining() == pytest.approx(1)
    clock.advance(1)
    with pytest.raises(EndedError, match="not renewed for 10"):
        made.remaining()


@pytest.mark.parametrize("move", ["advance_wall", "advance_monotonic"])
def test_either_clock_ends_it(move: str) -> None:
    clock = FakeClock()
    made = holding(clock)
    getattr(clock, move)(11)
    with pytest.raises(EndedError):
        made.check_after_wake()


def test_waking_without_the_lease_is_harmless() -> None:
    leader(FakeClock()).check_after_wake()
