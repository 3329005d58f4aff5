"""Killed, frozen, doubled: never two Jobs for one object, and the end is the same."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.kube.client import Json
from classifier_operator.kube.leader import LOST_EXIT_CODE
from classifier_operator.kube.resources import BATCH_JOBS, LEASES, TRAINING_JOBS
from support.builders import training_job_manifest
from support.control_plane import Cluster, CreationCounter, eventually
from support.fake_kubelet import Ending, FakeKubelet, running
from support.kill_run import kill_run
from support.operator_process import OperatorProcess

pytestmark = pytest.mark.integration

KILLS = 20
LEASE_SECONDS = 4

Start = Callable[[], OperatorProcess]


@pytest.fixture
def start(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts operators that share one Lease."""
    made: list[OperatorProcess] = []

    def begin() -> OperatorProcess:
        log = tmp_path / f"operator-{len(made)}.log"
        settings: dict[str, Any] = {"namespace": cluster.namespace, "lease_seconds": LEASE_SECONDS}
        made.append(OperatorProcess(kubeconfig, log, **settings))
        return made[-1]

    yield begin
    for each in made:
        each.kill()


async def leads(operator: OperatorProcess, seconds: float = 30) -> None:
    async def says() -> bool:
        return "Every list is complete" in operator.log()

    await eventually("the operator leads", says, seconds=seconds)


async def suspended(cluster: Cluster, count: int) -> None:
    async def all_there() -> bool:
        phases = [(job.get("status") or {}).get("phase") for job in await cluster.list(TRAINING_JOBS)]
        return phases.count("Suspended") >= count

    await eventually(f"{count} jobs are suspended", all_there, seconds=60)


async def create(cluster: Cluster, prefix: str, count: int) -> None:
    made = (training_job_manifest(f"{prefix}-{number}", suspend=True) for number in range(count))
    await asyncio.gather(*(cluster.create(TRAINING_JOBS, manifest) for manifest in made))


async def test_killed_at_random_moments(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> None:
    result = await kill_run(cluster, kubeconfig, tmp_path, kills=KILLS, seed=random.randrange(10**6))
    assert result.finished == result.objects
    assert result.second_jobs == 0
    assert result.different == {}


async def test_the_second_waits_and_takes_over_when_the_first_is_gone(cluster: Cluster, start: Start) -> None:
    first = start()
    await leads(first)
    second = start()
    await asyncio.sleep(LEASE_SECONDS * 1.5)
    assert "Holding the Lease" not in second.log()
    await create(cluster, "a", 3)
    await suspended(cluster, 3)
    killed_at = time.monotonic()
    first.kill()
    await leads(second)
    assert time.monotonic() - killed_at >= LEASE_SECONDS * 0.5, "the Lease has to run out"
    await create(cluster, "b", 3)
    await suspended(cluster, 6)


async def test_a_lease_that_is_given_back_is_taken_at_once(cluster: Cluster, start: Start) -> None:
    first = start()
    await leads(first)
    second = start()
    await eventually("the second waits", _log_holds(second, "Initial authentication has finished"), seconds=30)
    assert first.stop() == 0
    lease = await cluster.get(LEASES, "classifier-operator")
    assert lease["spec"]["leaseTransitions"] >= 0
    await leads(second, seconds=LEASE_SECONDS)


def _log_holds(operator: OperatorProcess, text: str) -> Callable[[], Awaitable[bool]]:
    async def holds() -> bool:
        return text in operator.log()

    return holds


@pytest.mark.parametrize("moment", range(3))
async def test_frozen_and_continued_beside_a_second_one(cluster: Cluster, start: Start, moment: int) -> None:
    """The first is frozen in the middle of a burst; the second does the work; the first wakes and is gone."""
    first = start()
    await leads(first)
    async with CreationCounter(cluster, BATCH_JOBS) as counter:
        making = asyncio.create_task(create(cluster, "burst", 60))
        await asyncio.sleep(0.1 + 0.25 * moment)
        first.send(signal.SIGSTOP)
        await making
        second = start()
        await leads(second)
        await suspended(cluster, 60)
        first.send(signal.SIGCONT)
        woken = time.monotonic()
        assert await asyncio.to_thread(first.wait, 5) == LOST_EXIT_CODE
        assert time.monotonic() - woken < 1.5, "at once"
        await create(cluster, "after", 3)
        await suspended(cluster, 63)
        counter.check()
    assert (counter.total, counter.second) == (63, 0)
    assert second.alive


async def test_a_lost_lease_ends_the_process(cluster: Cluster, start: Start) -> None:
    operator = start()
    await leads(operator)
    await cluster.patch(LEASES, "classifier-operator", {"spec": {"holderIdentity": "somebody else"}})
    assert await asyncio.to_thread(operator.wait, LEASE_SECONDS) == LOST_EXIT_CODE
    assert "held by somebody else; exiting at once" in operator.log()


async def test_what_a_frozen_operator_writes_late_is_put_right(cluster: Cluster, start: Start) -> None:
    """A Job that is made after the object's end, as by a request that was under way when its sender froze."""
    start()
    with running(FakeKubelet(cluster, {"late": (Ending(seconds=60),)})):
        await cluster.create(TRAINING_JOBS, training_job_manifest("late", activeDeadlineSeconds=1))

        async def made() -> Json | None:
            return next(iter(await cluster.list(BATCH_JOBS)), None)

        job: Json = await eventually("the Job", made, seconds=30)

        async def gone() -> bool:
            return not await cluster.list(BATCH_JOBS)

        await eventually("the deadline", gone)
        value = await cluster.get(TRAINING_JOBS, "late")
        assert value["status"]["phase"] == "Failed"
        assert job["metadata"]["name"] == names.job_name("late", value["metadata"]["uid"])
        template = job["spec"]["template"]
        for label in (
            "controller-uid",
            "job-name",
            "batch.kubernetes.io/controller-uid",
            "batch.kubernetes.io/job-name",
        ):
            template["metadata"]["labels"].pop(label, None)
        metadata = {key: job["metadata"][key] for key in ("name", "labels", "ownerReferences")}
        await cluster.create(BATCH_JOBS, {"metadata": metadata, "spec": {"template": template}})
        await eventually("it goes again", gone)
        after = await cluster.get(TRAINING_JOBS, "late")
        assert after["status"] == value["status"]


async def test_nothing_but_the_lease_is_written_before_it_is_held(cluster: Cluster, start: Start) -> None:
    now = "2026-01-01T00:00:00.000000Z"
    spec = {"holderIdentity": "another", "leaseDurationSeconds": 3600, "renewTime": now, "acquireTime": now}
    await cluster.create(LEASES, {"metadata": {"name": "classifier-operator"}, "spec": spec})
    await create(cluster, "waiting", 3)
    operator = start()
    await eventually("it lists", _log_holds(operator, "Initial authentication has finished"), seconds=30)
    await asyncio.sleep(2)
    assert await cluster.list(BATCH_JOBS) == []
    assert all("status" not in job for job in await cluster.list(TRAINING_JOBS))
    assert operator.stop() == 0
