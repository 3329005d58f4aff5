"""Pods are asked for their progress: bounded in time and size, without redirects, and only news is told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from classifier_operator.pods import progress
from classifier_operator.pods.http import MAX_ANSWER_BYTES, PodHttp
from classifier_operator.pods.progress import ProgressPoller
from classifier_operator.pods.service import ServiceProbe
from support.fake_trainer_pod import FakeTrainerPod, fake_trainer_pod


@pytest.fixture
def pod(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeTrainerPod]:
    with fake_trainer_pod(0) as made:
        monkeypatch.setattr(progress, "PROGRESS_PORT", made.port)
        yield made


@pytest.fixture
async def http() -> AsyncIterator[PodHttp]:
    made = PodHttp()
    yield made
    await made.close()


class Polled:
    """A poller, and whom it told of news."""

    def __init__(self, http: PodHttp) -> None:
        self.news: asyncio.Queue[str] = asyncio.Queue()
        self.poller: ProgressPoller[str] = ProgressPoller(http, seconds=0.02, on_change=self.news.put_nowait)

    async def next(self) -> str:
        return await asyncio.wait_for(self.news.get(), 5)

    def message(self, key: str) -> str | None:
        said = self.poller.report(key)
        return said[1].message if said else None


@pytest.fixture
async def polled(http: PodHttp) -> AsyncIterator[Polled]:
    made = Polled(http)
    yield made
    await made.poller.close()


async def asked(pod: FakeTrainerPod, times: int) -> None:
    until = pod.asked + times
    async with asyncio.timeout(5):
        while pod.asked < until:  # noqa: ASYNC110  # the pod is a thread
            await asyncio.sleep(0.01)


async def test_news_is_told_once(pod: FakeTrainerPod, polled: Polled) -> None:
    pod.say("Training", "epoch 1")
    polled.poller.watch("a", "uid", pod.address)
    assert await polled.next() == "a"
    assert polled.message("a") == "epoch 1"
    await asked(pod, 3)
    assert polled.news.empty()
    pod.say("Training", "epoch 2")
    assert await polled.next() == "a"
    assert polled.message("a") == "epoch 2"


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (500, b'{"phase": "Training"}', {}),
        (302, b"", {"Location": "http://127.0.0.1:1/"}),
        (200, b"not JSON", {}),
        (200, b'{"phase": "Dancing"}', {}),
        (200, b'{"phase": "Training", "message": "' + b"x" * MAX_ANSWER_BYTES + b'"}', {}),
    ],
)
async def test_what_is_no_report_is_ignored(
    pod: FakeTrainerPod, polled: Polled, status: int, body: bytes, headers: dict[str, str]
) -> None:
    pod.status, pod.body, pod.headers = status, body, headers
    polled.poller.watch("a", "uid", pod.address)
    await asked(pod, 2)
    assert polled.message("a") is None
    pod.status, pod.headers = 200, {}
    pod.say("Training", "well again")
    assert await polled.next() == "a"


async def test_another_pod_of_the_same_job_replaces_the_first(pod: FakeTrainerPod, polled: Polled) -> None:
    pod.say("Training", "first")
    polled.poller.watch("a", "one", pod.address)
    await polled.next()
    polled.poller.watch("a", "two", pod.address)
    assert polled.message("a") is None
    await polled.next()
    said = polled.poller.report("a")
    assert said is not None
    assert said[0] == "two"


async def test_a_paused_pod_is_not_asked_but_remembered(pod: FakeTrainerPod, polled: Polled) -> None:
    pod.say("Training", "last")
    polled.poller.watch("a", "uid", pod.address)
    await polled.next()
    polled.poller.pause("a")
    await asyncio.sleep(0.05)
    before = pod.asked
    await asyncio.sleep(0.1)
    assert pod.asked == before
    assert polled.message("a") == "last"
    polled.poller.forget("a")
    assert polled.message("a") is None


async def test_a_service_answers_or_not(pod: FakeTrainerPod, http: PodHttp) -> None:
    probe = ServiceProbe(http, template="http://{cluster_ip}:{port}/ready")
    where = {"name": "n", "namespace": "ns", "cluster_ip": pod.address}
    assert await probe.answers(**where, port=pod.port)
    pod.ready = False
    assert not await probe.answers(**where, port=pod.port)
    assert not await probe.answers(**where, port=1)
