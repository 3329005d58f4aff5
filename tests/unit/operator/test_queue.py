"""The queue of keys: once waiting, once running, and back when asked for."""

from __future__ import annotations

import asyncio

import pytest

from classifier_operator.controller.queue import LONGEST_RETRY_SECONDS, KeyQueue
from support.fake_clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def queue(clock: FakeClock) -> KeyQueue[str]:
    return KeyQueue(monotonic=clock.monotonic, jitter=lambda: 1.0)


async def test_a_key_waits_once(queue: KeyQueue[str]) -> None:
    for key in ("a", "b", "a", "a"):
        queue.add(key)
    assert [await queue.get(), await queue.get()] == ["a", "b"]
    assert len(queue) == 0


async def test_a_key_runs_once_at_a_time_and_again_if_it_was_added_meanwhile(queue: KeyQueue[str]) -> None:
    queue.add("a")
    assert await queue.get() == "a"
    queue.add("a")
    queue.add("a")
    assert len(queue) == 0, "it is being worked on"
    queue.done("a")
    assert await queue.get() == "a"
    queue.done("a")
    assert len(queue) == 0


async def test_of_several_delays_the_earliest_counts(queue: KeyQueue[str], clock: FakeClock) -> None:
    queue.add_after("a", 10)
    queue.add_after("a", 5)
    queue.add_after("a", 20)
    clock.advance(5)
    assert await queue.get() == "a"
    queue.done("a")
    clock.advance(100)
    queue.add("end")
    assert await queue.get() == "end", "the later times are forgotten"


async def test_a_waiting_worker_wakes_when_a_time_has_come(clock: FakeClock) -> None:
    queue: KeyQueue[str] = KeyQueue(monotonic=asyncio.get_running_loop().time)
    queue.add_after("a", 0.01)
    assert await asyncio.wait_for(queue.get(), 1) == "a"


async def test_every_key_finds_one_of_many_workers(queue: KeyQueue[str]) -> None:
    seen: list[str] = []

    async def work() -> None:
        while True:
            key = await queue.get()
            seen.append(key)
            await asyncio.sleep(0)
            queue.done(key)

    workers = [asyncio.create_task(work()) for _ in range(4)]
    await asyncio.sleep(0)
    for number in range(50):
        queue.add(str(number))
    while len(seen) < 50:  # noqa: ASYNC110  # a list has no event
        await asyncio.sleep(0)
    for worker in workers:
        worker.cancel()
    await asyncio.gather(*workers, return_exceptions=True)
    assert sorted(seen, key=int) == [str(number) for number in range(50)]


def test_retries_grow_to_a_limit_and_begin_anew_after_a_success(queue: KeyQueue[str]) -> None:
    assert [queue.retry("a") for _ in range(4)] == [0.2, 0.4, 0.8, 1.6]
    for _ in range(30):
        last = queue.retry("a")
    assert last == LONGEST_RETRY_SECONDS
    assert queue.failures("a") == 34
    queue.forget_failures("a")
    assert queue.retry("a") == 0.2


def test_retries_are_jittered_down_to_half() -> None:
    queue: KeyQueue[str] = KeyQueue(monotonic=lambda: 0.0, jitter=lambda: 0.0)
    assert queue.retry("a") == 0.1
