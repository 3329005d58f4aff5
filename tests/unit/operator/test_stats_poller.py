"""Server pods are asked for their activity: what they said ages, silence is noticed, and only news is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack

import pytest

from classifier_operator.pods import stats
from classifier_operator.pods.http import PodHttp
from classifier_operator.pods.stats import Said, StatsPoller
from support.fake_clock import FakeClock
from support.fake_trainer_pod import FakeTrainerPod, fake_trainer_pod

NEVER = 3600.0


@pytest.fixture
def pods(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[FakeTrainerPod]]:
    """Two pods at two addresses and one port, which is free at both."""
    with ExitStack() as stack:
        first = stack.enter_context(fake_trainer_pod(0))
        second = stack.enter_context(fake_trainer_pod(first.port))
        monkeypatch.setattr(stats, "STATS_PORT", first.port)
        yield [first, second]


class Asked:
    """A poller, its clock, and whom it told of news."""

    def __init__(self, http: PodHttp) -> None:
        self.clock = FakeClock()
        self.news: asyncio.Queue[str] = asyncio.Queue()
        self.poller: StatsPoller[str] = StatsPoller(
            http, monotonic=self.clock.monotonic, on_change=self.news.put_nowait
        )

    async def next(self) -> str:
        return await asyncio.wait_for(self.news.get(), 10)

    def said(self, *uids: str) -> list[Said | None]:
        return list(self.poller.said("a", uids))


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    http = PodHttp()
    made = Asked(http)
    yield made
    await made.poller.close()
    await http.close()


def say(pod: FakeTrainerPod, in_flight: int, **more: float) -> None:
    pod.status, pod.body = 200, json.dumps({"inFlight": in_flight, **more}).encode()


async def questions(pod: FakeTrainerPod, count: int) -> None:
    """Waits until the pod has been asked so often from now on."""
    until = pod.asked + count
    async with asyncio.timeout(10):
        while pod.asked < until:  # noqa: ASYNC110  # the pod is a thread
            await asyncio.sleep(0.01)


async def test_new_pods_are_asked_when_told_to_and_what_they_say_ages(pods: list[FakeTrainerPod], asked: Asked) -> None:
    say(pods[0], 2, secondsSinceLastCompletion=4.5, secondsSinceReady=60)
    both = {"u1": pods[0].address, "u2": pods[1].address}
    assert asked.poller.watch("a", both, seconds=NEVER, counts=False)
    assert asked.said("u1", "u2") == [None, None]
    await asked.poller.ask_now("a")
    asked.clock.advance(3)
    first, second = asked.said("u1", "u2")
    assert first is not None
    assert (first.stats.in_flight, first.stats.seconds_since_last_completion, first.age) == (2, 4.5, 3)
    assert second is None
    assert not asked.poller.watch("a", both, seconds=NEVER, counts=False), "they have been asked"
    assert asked.poller.watch("a", {**both, "u3": pods[0].address}, seconds=NEVER, counts=False)
    say(pods[0], 0)
    await asked.poller.ask_now("a")
    said = asked.said("u3", "u1", "unknown")
    assert [each and each.stats.in_flight for each in said] == [0, 0, None]
    assert said[1] is not None
    assert said[1].age == 0
    assert asked.news.empty(), "whoever asks looks at the answer itself"


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b'{"inFlight": 1}'), (200, b"not JSON"), (200, b'{"inFlight": -1}'), (200, b"{}"), (302, b"")],
)
async def test_what_is_no_answer_counts_as_silence_at_the_second_time(
    pods: list[FakeTrainerPod], asked: Asked, status: int, body: bytes
) -> None:
    say(pods[0], 1)
    asked.poller.watch("a", {"u": pods[0].address}, seconds=NEVER, counts=False)
    await asked.poller.ask_now("a")
    pods[0].status, pods[0].body = status, body
    await asked.poller.ask_now("a")
    asked.clock.advance(5)
    (said,) = asked.said("u")
    assert said is not None
    assert (said.stats.in_flight, said.age) == (1, 5), "what was said before counts once more"
    await asked.poller.ask_now("a")
    assert asked.said("u") == [None]
    say(pods[0], 4)
    await asked.poller.ask_now("a")
    (said,) = asked.said("u")
    assert said is not None
    assert said.stats.in_flight == 4


async def test_silence_and_speech_are_news(pods: list[FakeTrainerPod], asked: Asked) -> None:
    asked.poller.watch("a", {"u": pods[0].address}, seconds=0.02, counts=False)
    say(pods[0], 1)
    assert await asked.next() == "a"
    await questions(pods[0], 3)
    say(pods[0], 2)
    await questions(pods[0], 3)
    assert asked.news.empty(), "neither the same nor another number is news where they do not count"
    pods[0].status = 500
    assert await asked.next() == "a"
    assert asked.said("u") == [None]
    await questions(pods[0], 3)
    assert asked.news.empty()
    pods[0].status = 200
    assert await asked.next() == "a"
    assert asked.said("u") != [None]


async def test_where_requests_count_a_change_of_them_is_news(pods: list[FakeTrainerPod], asked: Asked) -> None:
    say(pods[0], 1, secondsSinceReady=1)
    say(pods[1], 5)
    both = {"u1": pods[0].address, "u2": pods[1].address}
    asked.poller.watch("a", both, seconds=0.02, counts=True)
    await asked.poller.ask_now("a")
    await questions(pods[0], 3)
    say(pods[0], 1, secondsSinceReady=2)
    await questions(pods[0], 3)
    assert asked.news.empty()
    say(pods[1], 6)
    assert await asked.next() == "a"


async def test_who_is_to_be_asked_more_often_is_asked_at_once(pods: list[FakeTrainerPod], asked: Asked) -> None:
    say(pods[0], 1)
    asked.poller.watch("a", {"u": pods[0].address}, seconds=NEVER, counts=False)
    await asyncio.sleep(0.05)
    assert pods[0].asked == 0
    asked.poller.watch("a", {"u": pods[0].address}, seconds=0.02, counts=True)
    await questions(pods[0], 3)


async def test_pods_that_are_gone_are_asked_no_more(pods: list[FakeTrainerPod], asked: Asked) -> None:
    for pod in pods:
        say(pod, 1)
    asked.poller.watch("a", {"u1": pods[0].address, "u2": pods[1].address}, seconds=0.02, counts=False)
    await questions(pods[1], 2)
    asked.poller.watch("a", {"u1": pods[0].address}, seconds=0.02, counts=False)
    await asked.poller.ask_now("a")
    before = pods[1].asked
    await questions(pods[0], 3)
    assert pods[1].asked == before
    assert asked.said("u2") == [None]
    asked.poller.watch("a", {}, seconds=0.02, counts=False)
    await asyncio.sleep(0.05)
    before = pods[0].asked
    await asyncio.sleep(0.1)
    assert pods[0].asked == before
    assert asked.said("u1") == [None]
    await asked.poller.ask_now("a")  # nobody is there: nothing happens
