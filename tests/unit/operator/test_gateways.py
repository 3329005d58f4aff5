"""The gateway pods: who is ready, who listens for whom, and who is told when that changes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from classifier_operator.api.names import uid_hash
from classifier_operator.controller.gateways import ROUND_PAUSE_SECONDS, GatewayFleet, concerned
from classifier_operator.plan.types import GatewayView
from classifier_operator.pods.http import PodHttp
from classifier_operator.settings import Settings
from classifier_operator.wire.gateway import REPORT_PATH, REPORT_PORT
from support.fake_trainer_pod import FakeTrainerPod, fake_trainer_pod


@pytest.fixture
def pods() -> Iterator[list[FakeTrainerPod]]:
    """Two pods at two addresses and one port, which is free at both."""
    with ExitStack() as stack:
        first = stack.enter_context(fake_trainer_pod(0))
        yield [first, stack.enter_context(fake_trainer_pod(first.port))]


class Fleet:
    """A fleet, the versions of its pods, and what it told."""

    def __init__(self, http: PodHttp, port: int) -> None:
        self.told: asyncio.Queue[frozenset[str] | None] = asyncio.Queue()
        self.fleet = GatewayFleet(http, url=f"http://{{ip}}:{port}{REPORT_PATH}", on_change=self.told.put_nowait)
        self.version = 0

    def put(self, name: str, address: str | None, *, ready: bool = True, restarts: int = 0, **metadata: str) -> None:
        self.version += 1
        self.fleet.store.put(
            {
                "metadata": {
                    "namespace": "system",
                    "name": name,
                    "uid": f"uid of {name}",
                    "resourceVersion": str(self.version),
                    **metadata,
                },
                "spec": {"nodeName": f"node of {name}"},
                "status": {
                    "phase": "Running",
                    **({"podIP": address} if address else {}),
                    "conditions": [{"type": "Ready", "status": str(ready)}],
                    "containerStatuses": [{"name": "gateway", "restartCount": restarts}],
                },
            }
        )

    def remove(self, name: str) -> None:
        self.version += 1
        metadata = {"namespace": "system", "name": name, "resourceVersion": str(self.version)}
        self.fleet.store.remove({"metadata": metadata})

    async def next(self) -> frozenset[str] | None:
        return await asyncio.wait_for(self.told.get(), 10)

    def names(self, port: int, uid: str) -> list[str]:
        return [view.pod for view in self.fleet.views(port, uid)]


@pytest.fixture
async def fleet(pods: list[FakeTrainerPod]) -> AsyncIterator[Fleet]:
    http = PodHttp()
    made = Fleet(http, pods[0].port)
    yield made
    await made.fleet.close()
    await http.close()


@pytest.fixture
async def following(fleet: Fleet) -> AsyncIterator[Fleet]:
    task = asyncio.create_task(fleet.fleet.follow())
    yield fleet
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def listen(pod: FakeTrainerPod, ports: dict[int, str], **more: Any) -> None:
    said = {str(port): uid_hash(uid) for port, uid in ports.items()}
    pod.status, pod.body = 200, json.dumps({"version": "v1alpha1", "ports": said, **more}).encode()


def test_gateway_pods_are_asked_where_they_answer() -> None:
    assert Settings().gateway_report_url == f"http://{{ip}}:{REPORT_PORT}{REPORT_PATH}"


async def test_who_is_ready_and_listens_is_seen(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    listen(pods[0], {10_000: "a", 10_001: "b"}, newer="field")
    listen(pods[1], {10_000: "a"})
    assert not fleet.fleet.anyone_ready()
    fleet.put("gateway-2", pods[1].address)
    fleet.put("gateway-1", pods[0].address)
    assert fleet.fleet.anyone_ready()
    assert fleet.names(10_000, "a") == [], "nobody was asked yet"
    await fleet.fleet.refresh()
    assert fleet.fleet.views(10_000, "a") == (
        GatewayView(ip=pods[0].address, node="node of gateway-1", pod="gateway-1"),
        GatewayView(ip=pods[1].address, node="node of gateway-2", pod="gateway-2"),
    )
    assert fleet.names(10_001, "b") == ["gateway-1"]
    assert fleet.names(10_001, "a") == []
    assert fleet.names(10_002, "a") == []


@pytest.mark.parametrize(
    "change",
    [
        {"ready": False},
        {"deletionTimestamp": "2026-03-01T12:00:00Z"},
        {"address": None},
        {"restarts": 1},
    ],
    ids=str,
)
async def test_who_is_ready_no_more_is_left_out_at_once(
    pods: list[FakeTrainerPod], fleet: Fleet, change: dict[str, Any]
) -> None:
    listen(pods[0], {10_000: "a"})
    fleet.put("gateway-1", pods[0].address)
    await fleet.fleet.refresh()
    assert await fleet.next() is None
    fleet.put("gateway-1", **{"address": pods[0].address, **change})
    assert fleet.names(10_000, "a") == []
    assert fleet.told.get_nowait() is None, "all deployments are looked at"
    fleet.put("gateway-1", pods[0].address, restarts=2)
    assert fleet.names(10_000, "a") == [], "what it said before it went does not count"
    await fleet.fleet.refresh()
    assert fleet.names(10_000, "a") == ["gateway-1"]


async def test_who_is_gone_is_left_out_at_once(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    listen(pods[0], {10_000: "a"})
    fleet.put("gateway-1", pods[0].address)
    await fleet.fleet.refresh()
    assert await fleet.next() is None
    fleet.remove("gateway-1")
    assert fleet.names(10_000, "a") == []
    assert fleet.told.get_nowait() is None
    assert not fleet.fleet.anyone_ready()


async def test_what_changes_nothing_is_not_told(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    listen(pods[0], {10_000: "a"})
    fleet.put("gateway-1", pods[0].address)
    await fleet.fleet.refresh()
    assert await fleet.next() is None
    fleet.put("gateway-1", pods[0].address, generation="7")
    await fleet.fleet.refresh()
    assert fleet.told.empty()
    assert fleet.names(10_000, "a") == ["gateway-1"]


async def test_a_new_pod_is_asked_and_then_told_of(pods: list[FakeTrainerPod], following: Fleet) -> None:
    listen(pods[0], {10_000: "a"})
    following.put("gateway-1", pods[0].address)
    assert await following.next() is None
    assert following.names(10_000, "a") == ["gateway-1"]


@pytest.mark.parametrize(
    ("status", "body"), [(503, b"{}"), (200, b"not JSON"), (200, b'{"ports": {"10000": 7}}'), (302, b"")]
)
async def test_a_pod_that_says_nothing_useful_is_asked_again(
    pods: list[FakeTrainerPod], following: Fleet, status: int, body: bytes
) -> None:
    pods[0].status, pods[0].body = status, body
    following.put("gateway-1", pods[0].address)
    async with asyncio.timeout(10):
        while not pods[0].asked:  # noqa: ASYNC110  # the pod is a thread
            await asyncio.sleep(0.01)
    assert following.names(10_000, "a") == []
    listen(pods[0], {10_000: "a"})
    assert await following.next() is None
    assert following.names(10_000, "a") == ["gateway-1"]


async def test_what_was_said_counts_while_a_pod_does_not_answer(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    listen(pods[0], {10_000: "a"})
    fleet.put("gateway-1", pods[0].address)
    await fleet.fleet.refresh()
    pods[0].status = 500
    await fleet.fleet.refresh()
    assert fleet.names(10_000, "a") == ["gateway-1"]


async def test_news_that_is_expected_is_looked_for_until_all_pods_have_it(
    pods: list[FakeTrainerPod], following: Fleet
) -> None:
    for pod in pods:
        listen(pod, {10_000: "a", 10_005: "z"})
    following.put("gateway-1", pods[0].address)
    following.put("gateway-2", pods[1].address)
    while following.names(10_000, "a") != ["gateway-1", "gateway-2"]:
        assert await following.next() is None
    while not following.told.empty():
        following.told.get_nowait()
    following.fleet.expect(10_001, "b")
    listen(pods[0], {10_000: "a", 10_001: "b"})
    assert await following.next() == frozenset({uid_hash("b"), uid_hash("z")}), "it listens for z no more"
    assert following.names(10_001, "b") == ["gateway-1"]
    listen(pods[1], {10_000: "a", 10_001: "b", 10_005: "z"})
    assert await following.next() == frozenset({uid_hash("b")})
    assert following.names(10_001, "b") == ["gateway-1", "gateway-2"]


async def test_questions_are_shared(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    listen(pods[0], {10_000: "a"})
    fleet.put("gateway-1", pods[0].address)
    await asyncio.gather(*(fleet.fleet.refresh() for _ in range(50)))
    assert pods[0].asked == 1
    first = asyncio.create_task(fleet.fleet.refresh())
    async with asyncio.timeout(10):
        while pods[0].asked < 2:  # noqa: ASYNC110  # the pod is a thread
            await asyncio.sleep(0)
    listen(pods[0], {10_001: "b"})  # too late for the round that is under way
    await asyncio.gather(first, *(fleet.fleet.refresh() for _ in range(50)))
    assert pods[0].asked == 3
    assert fleet.names(10_001, "b") == ["gateway-1"], "who came later got an answer to a later question"


async def test_rounds_keep_a_distance(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    listen(pods[0], {10_000: "a"})
    fleet.put("gateway-1", pods[0].address)
    loop = asyncio.get_running_loop()
    begin = loop.time()
    for _ in range(3):
        await fleet.fleet.refresh()
    assert pods[0].asked == 3
    assert loop.time() - begin >= 2 * ROUND_PAUSE_SECONDS


async def test_without_pods_nobody_is_waited_for(fleet: Fleet) -> None:
    fleet.fleet.store.finish_list(set(), 1)
    await asyncio.wait_for(fleet.fleet.wait_until_known(), 10)
    assert fleet.told.empty()


async def test_at_the_start_all_that_are_ready_are_asked(pods: list[FakeTrainerPod], fleet: Fleet) -> None:
    pods[0].status = 500
    fleet.put("gateway-1", pods[0].address)
    waiting = asyncio.create_task(fleet.fleet.wait_until_known())
    await asyncio.sleep(0.05)
    assert pods[0].asked == 0, "the list is not complete yet"
    fleet.fleet.store.finish_list({("system", "gateway-1")}, fleet.version)
    async with asyncio.timeout(10):
        while pods[0].asked < 2:  # noqa: ASYNC110  # the pod is a thread
            await asyncio.sleep(0.01)
    assert not waiting.done()
    listen(pods[0], {10_000: "a"})
    await asyncio.wait_for(waiting, 10)
    assert fleet.names(10_000, "a") == ["gateway-1"]


def test_those_that_were_used_last_are_looked_at_first() -> None:
    deployments = [
        {"metadata": {"namespace": "ns", "name": name, "uid": name}, "status": status}
        for name, status in (
            ("never", None),
            ("long-ago", {"lastRequestTime": "2026-02-28T12:00:00Z"}),
            ("now", {"lastRequestTime": "2026-03-01T12:00:00Z"}),
            ("new", {}),
        )
    ]
    assert [key.name for key in concerned(deployments, None)] == ["now", "long-ago", "never", "new"]
    some = frozenset({uid_hash("new"), uid_hash("long-ago"), uid_hash("another")})
    assert [str(key) for key in concerned(deployments, some)] == [
        "ClassifierDeployment ns/long-ago",
        "ClassifierDeployment ns/new",
    ]
