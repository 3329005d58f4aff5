"""A namespace in which an operator and a kubelet of ours work, and what the tests want to know of it."""

from __future__ import annotations

from typing import Any

from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import BATCH_JOBS, TRAINING_JOBS, Resource
from support.builders import training_job_manifest
from support.control_plane import Cluster, eventually
from support.fake_kubelet import Ending, FakeKubelet
from support.fake_trainer_pod import FakeTrainerPod
from support.operator_process import OperatorProcess


class Scene:
    """A namespace in which an operator and a kubelet of ours work."""

    def __init__(self, cluster: Cluster, operator: OperatorProcess, kubelet: FakeKubelet, pod: FakeTrainerPod) -> None:
        self.cluster = cluster
        self.operator = operator
        self.kubelet = kubelet
        self.pod = pod

    async def train(self, name: str, *endings: Ending, **spec: Any) -> None:
        self.kubelet.endings[name] = endings
        await self.cluster.create(TRAINING_JOBS, training_job_manifest(name, **spec))

    async def status(self, resource: Resource, name: str) -> Json:
        status: Json = (await self.cluster.get(resource, name)).get("status") or {}
        return status

    async def phase(self, resource: Resource, name: str, *phases: str, seconds: float = 20) -> Json:
        """Waits for one of the phases; returns the status."""

        async def there() -> Json | None:
            status = await self.status(resource, name)
            return status if status.get("phase") in phases else None

        found: Json = await eventually(f"{name} is {phases}", there, seconds=seconds)
        return found

    async def says(self, resource: Resource, name: str, text: str, *, seconds: float = 20) -> Json:
        """Waits for a message that holds the text; returns the status."""

        async def there() -> Json | None:
            status = await self.status(resource, name)
            return status if text in (status.get("message") or "") else None

        found: Json = await eventually(f"{name} says {text!r}", there, seconds=seconds)
        return found

    async def job(self, name: str) -> Json:
        """The batch Job of a training job, once it is there."""

        async def there() -> Json | None:
            jobs = await self.cluster.list(BATCH_JOBS)
            return next((job for job in jobs if job["metadata"]["ownerReferences"][0]["name"] == name), None)

        found: Json = await eventually(f"the Job of {name}", there)
        return found


def true_conditions(status: Json) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in status["conditions"] if each["status"] == "True"}
