from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from classifier_server.batching import BatchLimits, Caller, Waiting, select

LIMITS = BatchLimits(tokens=64, padding=0.25)


def queue_of(*texts: tuple[Caller, int]) -> list[Waiting[Caller]]:
    return [Waiting(caller, row, [1] * length) for row, (caller, length) in enumerate(texts)]


def lengths(batch: list[Waiting[Caller]]) -> list[int]:
    return [waiting.length for waiting in batch]


def test_starts_with_the_oldest_and_takes_the_nearest_lengths() -> None:
    callers = [Caller(time) for time in range(5)]
    queue = queue_of((callers[0], 16), (callers[1], 60), (callers[2], 15), (callers[3], 17), (callers[4], 3))
    assert lengths(select(queue, LIMITS)) == [16, 15, 17]


def test_a_text_longer_than_the_budget_goes_alone() -> None:
    queue = queue_of((Caller(0), 100), (Caller(1), 99))
    assert lengths(select(queue, LIMITS)) == [100]


def test_padding_is_bounded() -> None:
    queue = queue_of((Caller(0), 30), (Caller(1), 10))
    assert lengths(select(queue, LIMITS)) == [30]
    assert lengths(select(queue, BatchLimits(tokens=64, padding=0.5))) == [30, 10]


def test_without_padding_all_lengths_go_together_oldest_first() -> None:
    queue = queue_of((Caller(0), 30), (Caller(1), 2), (Caller(2), 31), (Caller(3), 33), (Caller(4), 1))
    assert lengths(select(queue, BatchLimits(tokens=64, padding=None))) == [30, 2, 31, 1]


def test_a_large_request_leaves_room_for_small_ones() -> None:
    large, small = Caller(0), Caller(1)
    queue = queue_of(*[(large, 8)] * 20, (small, 8))
    batch = select(queue, LIMITS)
    assert len(batch) == 8  # full
    assert any(waiting.caller is small for waiting in batch)


def test_callers_take_turns_where_their_lengths_do_not_fit_together() -> None:
    large, small = Caller(served=5.0), Caller(served=3.0)  # the large one came first and was served since
    queue = queue_of(*[(large, 8)] * 20, (small, 60))
    assert select(queue, LIMITS)[0].caller is small


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 90)), min_size=1, max_size=40),
    st.integers(1, 128),
    st.none() | st.floats(0, 0.9),
)
def test_limits_hold_and_the_longest_waiting_caller_is_served(
    texts: list[tuple[int, int]], tokens: int, padding: float | None
) -> None:
    callers = [Caller(served=float(7 * number % 5)) for number in range(5)]
    queue = queue_of(*((callers[number], length) for number, length in texts))
    batch = select(queue, BatchLimits(tokens, padding))
    oldest = min(waiting.caller.served for waiting in queue)
    assert batch[0].caller.served == oldest
    assert len({id(waiting) for waiting in batch}) == len(batch)
    padded, real = len(batch) * max(lengths(batch)), sum(lengths(batch))
    if len(batch) > 1 and padding is None:
        assert real <= tokens
    elif len(batch) > 1 and padding is not None:
        assert padded <= tokens
        assert padded - real <= padding * padded
