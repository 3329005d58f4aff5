"""Plays Job controller and kubelet where there is only an API server: pods appear, run, and end as the test says."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from classifier_operator.api.names import TRAINING_JOB_LABEL
from classifier_operator.errors import KubeError
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import BATCH_JOBS, PODS, Resource
from support.control_plane import Cluster

SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")
_PAUSE = 0.05


@dataclass(frozen=True)
class Ending:
    """How a pod ends: exit code, what the trainer leaves as its last word, and after how many seconds."""

    code: int = 0
    words: str = ""
    seconds: float = 0.3


@dataclass
class _Pod:
    name: str
    begun: float
    ending: Ending


@dataclass
class FakeKubelet:
    """Runs the Jobs of one namespace.

    Args:
        endings: how the pods of each training job end, one after the other; without an entry pods run for ever.
        address: IP that every pod has.
    """

    cluster: Cluster
    endings: dict[str, Sequence[Ending]] = field(default_factory=dict)
    address: str = "127.0.7.1"
    _pods: dict[str, _Pod] = field(default_factory=dict)
    _failed: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        """Never returns."""
        await self._ensure_service_account()
        while True:
            for job in await self.cluster.list(BATCH_JOBS):
                if TRAINING_JOB_LABEL not in job["metadata"].get("labels", {}):
                    continue
                try:
                    await self._step(job)
                except KubeError as error:
                    if error.status not in (404, 409, 422):  # the job changed since it was listed
                        raise
            await asyncio.sleep(_PAUSE)

    async def _step(self, job: Json) -> None:
        uid, status = job["metadata"]["uid"], job.get("status") or {}
        conditions = status.get("conditions") or []
        if any(each["type"] in ("Complete", "Failed") and each["status"] == "True" for each in conditions):
            return
        pod = self._pods.get(uid)
        if job["spec"].get("suspend"):
            if pod is not None or not conditions:
                await self._suspend(job)
        elif pod is None:
            await self._begin(job)
        elif time.monotonic() - pod.begun >= pod.ending.seconds:
            await self._end(job, pod)

    async def _begin(self, job: Json) -> None:
        metadata, uid = job["metadata"], job["metadata"]["uid"]
        attempt = self._failed.get(uid, 0)
        planned = self.endings.get(metadata["labels"][TRAINING_JOB_LABEL], ())
        ending = planned[min(attempt, len(planned) - 1)] if planned else Ending(seconds=1e9)
        name = f"{metadata['name']}-{attempt}-{int(time.monotonic() * 1000) % 100_000}"
        await self.cluster.create(PODS, _pod(name, job))
        begun = {"state": {"running": {"startedAt": _now()}}, "ready": True, "started": True}
        await self.cluster.set_status(
            PODS,
            name,
            {
                "phase": "Running",
                "podIP": self.address,
                "podIPs": [{"ip": self.address}],
                "conditions": [{"type": "Ready", "status": "True"}, {"type": "PodScheduled", "status": "True"}],
                "containerStatuses": [_container(begun)],
            },
        )
        start = (job.get("status") or {}).get("startTime") or _now()
        await self._job_status(job, {"active": 1, "ready": 1, "startTime": start}, _condition("Suspended", False))
        self._pods[uid] = _Pod(name, time.monotonic(), ending)

    async def _suspend(self, job: Json) -> None:
        pod = self._pods.pop(job["metadata"]["uid"], None)
        if pod is not None:
            with contextlib.suppress(KubeError):
                await self.cluster.delete(PODS, pod.name, gracePeriodSeconds=0)
        await self._job_status(job, {"active": 0, "ready": 0, "startTime": None}, _condition("Suspended", True))

    async def _end(self, job: Json, pod: _Pod) -> None:
        uid, ending = job["metadata"]["uid"], pod.ending
        ended = {
            "exitCode": ending.code,
            "reason": "Completed" if ending.code == 0 else "Error",
            "message": ending.words,
            "startedAt": _now(),
            "finishedAt": _now(),
        }
        phase = "Succeeded" if ending.code == 0 else "Failed"
        container = _container({"state": {"terminated": ended}, "ready": False, "started": False})
        await self.cluster.set_status(PODS, pod.name, {"phase": phase, "containerStatuses": [container]})
        status: Json = {"active": 0, "ready": 0}
        if ending.code == 0:
            status |= {"succeeded": 1, "completionTime": _now()}
            await self._job_status(job, status, _condition("SuccessCriteriaMet", True), _condition("Complete", True))
        else:
            failed = self._failed[uid] = self._failed.get(uid, 0) + 1
            status["failed"] = failed
            reason = "PodFailurePolicy" if ending.code == 42 else "BackoffLimitExceeded"
            if ending.code == 42 or failed > job["spec"]["backoffLimit"]:
                target = _condition("FailureTarget", True, reason)
                await self._job_status(job, status, target, _condition("Failed", True, reason))
            else:
                await self._job_status(job, status)
        del self._pods[uid]

    async def _job_status(self, job: Json, status: Json, *conditions: Json) -> None:
        kinds = {each["type"] for each in conditions}
        kept = [each for each in (job.get("status") or {}).get("conditions") or () if each["type"] not in kinds]
        await self.cluster.set_status(
            BATCH_JOBS, job["metadata"]["name"], {**status, "conditions": [*kept, *conditions]}
        )

    async def _ensure_service_account(self) -> None:
        with contextlib.suppress(KubeError):
            await self.cluster.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}})


@contextmanager
def running(kubelet: FakeKubelet) -> Iterator[FakeKubelet]:
    """Runs the kubelet beside the test; the test fails if the kubelet does."""
    task = asyncio.get_running_loop().create_task(kubelet.run())
    try:
        yield kubelet
        assert not task.done(), task.exception()
    finally:
        task.cancel()


def words(phase: str, message: str, **more: Any) -> str:
    """A termination message of the trainer."""
    return json.dumps({"version": "v1alpha1", "phase": phase, "message": message, **more})


def _pod(name: str, job: Json) -> Json:
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    template = job["spec"]["template"]
    return {
        "metadata": {
            "name": name,
            "labels": template["metadata"]["labels"],
            "ownerReferences": [{**owner, "controller": True, "blockOwnerDeletion": False}],
        },
        "spec": {**template["spec"], "serviceAccountName": "default", "nodeName": "nowhere"},
    }


def _container(state: Json) -> Json:
    return {"name": "trainer", "image": "x", "imageID": "x", "restartCount": 0, **state}


def _condition(kind: str, holds: bool, reason: str = "Test") -> Json:
    now = _now()
    status = "True" if holds else "False"
    return {"type": kind, "status": status, "reason": reason, "lastTransitionTime": now, "lastProbeTime": now}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
