"""A run of many objects through an operator that is killed again and again: the end must be as without the kills."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier_operator.kube.resources import BATCH_JOBS, TRAINING_JOBS
from support.builders import training_job_manifest
from support.control_plane import Cluster, CreationCounter, eventually
from support.fake_kubelet import Ending, FakeKubelet, running, words
from support.operator_process import OperatorProcess

LEASE_SECONDS = 3.0
_CHECKPOINTS = [{"name": "epoch-1", "step": 5, "path": "checkpoints/epoch-1", "metrics": {"accuracy": "0.9100"}}]
_DONE = words("Succeeded", "accuracy 0.91", best="epoch-1", checkpoints=_CHECKPOINTS)
_WRONG = words("Failed", "trainDataset.uri: line 3 is not JSON")


@dataclass(frozen=True)
class Scenario:
    """A kind of training job, and how its pods end."""

    name: str
    endings: Sequence[Ending]
    spec: dict[str, Any]


SCENARIOS = (
    Scenario("good", (Ending(0, _DONE),), {}),
    Scenario("wrong", (Ending(42, _WRONG),), {}),
    Scenario("again", (Ending(1, ""), Ending(0, _DONE)), {"backoffLimit": 3}),
    Scenario("never", (Ending(1, ""),), {"backoffLimit": 1}),
    Scenario("late", (), {"activeDeadlineSeconds": 2}),
)


@dataclass(frozen=True)
class Killed:
    """What came of it."""

    kills: int
    objects: int
    finished: int
    second_jobs: int
    different: dict[str, tuple[Any, Any]]
    """Objects whose end is not as without the kills: what it is, and what it should be."""


async def kill_run(cluster: Cluster, kubeconfig: Path, folder: Path, *, kills: int, seed: int) -> Killed:
    """Makes objects while the operator is killed `kills` times at random moments, then waits for the end of all."""
    draw = random.Random(seed)
    kubelet = FakeKubelet(cluster)
    log = folder / "killed-operator.log"
    settings: dict[str, Any] = {"namespace": cluster.namespace, "lease_seconds": LEASE_SECONDS}
    operator = OperatorProcess(kubeconfig, log, **settings)

    async def all_finished() -> bool:
        nonlocal operator
        if not operator.alive:  # it lost its Lease on a busy machine: a kubelet starts it again
            operator = OperatorProcess(kubeconfig, log, **settings)
        return all(map(_is_finished, await cluster.list(TRAINING_JOBS)))

    try:
        async with CreationCounter(cluster, BATCH_JOBS) as counter:
            with running(kubelet):
                for scenario in SCENARIOS:
                    await _create(cluster, kubelet, scenario, f"calm-{scenario.name}")
                await eventually("every training job is done", all_finished, seconds=90, pause=0.2)
                expected = {s.name: _end(await cluster.get(TRAINING_JOBS, f"calm-{s.name}")) for s in SCENARIOS}
                for number in range(kills):
                    await _create(cluster, kubelet, draw.choice(SCENARIOS), f"killed-{number}", late=True)
                    # From within the start of the process to well after it has taken the Lease.
                    await asyncio.sleep(draw.uniform(0.1, 8.0))
                    operator.kill()
                    operator = OperatorProcess(kubeconfig, log, **settings)
                await eventually("every training job is done", all_finished, seconds=120, pause=0.2)
                counter.check()
        jobs = await cluster.list(TRAINING_JOBS)
        different = {}
        for job in jobs:
            scenario = job["metadata"]["annotations"]["scenario"]
            if _end(job) != expected[scenario]:
                different[job["metadata"]["name"]] = (_end(job), expected[scenario])
        return Killed(kills, len(jobs), sum(map(_is_finished, jobs)), counter.second, different)
    finally:
        operator.stop()


async def _create(cluster: Cluster, kubelet: FakeKubelet, scenario: Scenario, name: str, *, late: bool = False) -> None:
    # Pods of the killed run live longer, so that kills meet every state of a job.
    stretch = 4.0 if late else 1.0
    kubelet.endings[name] = [Ending(each.code, each.words, each.seconds * stretch) for each in scenario.endings]
    manifest = training_job_manifest(name, **scenario.spec)
    manifest["metadata"]["annotations"] = {"scenario": scenario.name}
    await cluster.create(TRAINING_JOBS, manifest)


def _is_finished(job: dict[str, Any]) -> bool:
    return (job.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _end(job: dict[str, Any]) -> dict[str, Any]:
    """What the end of a job says, without its times and names."""
    status, name = job["status"], job["status"].get("jobName") or "?"
    kept = {key: status.get(key) for key in ("phase", "message", "attempt", "best", "score", "checkpoints")}
    text = str(kept).replace(name, "<job>").replace(job["metadata"]["name"], "<name>")
    conditions = {each["type"]: (each["status"], each["reason"]) for each in status["conditions"]}
    return {"end": text, "conditions": conditions}
