"""Looks whether what a job names is there and fits: without it its pod would wait without a word."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Final

from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.references import ConfigMapKey
from classifier_operator.errors import KubeError, WaitError
from classifier_operator.kube.client import KubeClient
from classifier_operator.kube.resources import CLAIMS, CONFIG_MAPS
from classifier_operator.manifests.mounts import Mounts

_REMEMBERED_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 5.0
_KEPT: Final = 1000
_WRITERS: Final = frozenset({"ReadWriteMany"})
_READERS: Final = frozenset({"ReadWriteMany", "ReadOnlyMany"})


class Inputs:
    """Reads objects of others when they are needed; the keys are remembered for a moment, never the data."""

    def __init__(self, client: KubeClient, *, monotonic: Callable[[], float]) -> None:
        self._client = client
        self._monotonic = monotonic
        self._keys: dict[tuple[str, str], tuple[float, asyncio.Future[frozenset[str] | None]]] = {}

    async def check(self, job: ClassifierTrainingJob, mounts: Mounts) -> None:
        """Returns if all is there.

        Raises:
            WaitError: a ConfigMap or a key in it is missing, or one node at a time could mount a claim of several.
            KubeError: the API server does not say.
        """
        for field, source in _config_maps(job):
            keys = await self._lookup(job.metadata.namespace, source.name)
            if keys is None:
                text = (
                    f"{field}.configMap.name: there is no ConfigMap {source.name} in namespace {job.metadata.namespace}"
                )
                raise WaitError("ConfigMapNotFound", f"{text}; training starts when there is", seconds=_AGAIN_SECONDS)
            if source.key not in keys:
                there = ", ".join(sorted(keys)[:10]) or "none"
                text = f"{field}.configMap.key: ConfigMap {source.name} has no key {source.key}, only {there}"
                raise WaitError("ConfigMapKeyNotFound", f"{text}; training starts when it has", seconds=_AGAIN_SECONDS)
        if (job.spec.nodes or 1) > 1:
            for claim, written in mounts.claims.items():
                await self._check_shared(job.metadata.namespace, claim, written=written)

    async def _check_shared(self, namespace: str, claim: str, *, written: bool) -> None:
        try:
            value = await self._client.request("GET", CLAIMS.path(namespace, claim))
        except KubeError as error:
            if error.not_found:
                return  # the pods say so
            raise
        modes = (value.get("spec") or {}).get("accessModes") or []
        wanted = _WRITERS if written else _READERS
        if not wanted & set(modes):
            verb = "write" if written else "read"
            text = (
                f"several nodes cannot {verb} PersistentVolumeClaim {claim}, which is {' and '.join(modes)}: make it "
                f"{' or '.join(sorted(wanted, reverse=True))}, or apply the job under a new name with nodes: 1"
            )
            raise WaitError("ClaimNotShared", text, seconds=_AGAIN_SECONDS)

    async def _lookup(self, namespace: str, name: str) -> frozenset[str] | None:
        now = self._monotonic()
        known = self._keys.get((namespace, name))
        if known is not None and now - known[0] < _REMEMBERED_SECONDS:
            return await asyncio.shield(known[1])
        if len(self._keys) > _KEPT:
            self._keys.clear()
        # One question for all jobs that name it, however many ask at once.
        future = asyncio.ensure_future(self._read(namespace, name))
        self._keys[namespace, name] = (now, future)
        try:
            return await asyncio.shield(future)
        except KubeError:
            self._keys.pop((namespace, name), None)
            raise

    async def _read(self, namespace: str, name: str) -> frozenset[str] | None:
        try:
            value = await self._client.request("GET", CONFIG_MAPS.path(namespace, name))
        except KubeError as error:
            if error.not_found:
                return None
            raise
        return frozenset((value.get("data") or {}) | (value.get("binaryData") or {}))


def _config_maps(job: ClassifierTrainingJob) -> Iterator[tuple[str, ConfigMapKey]]:
    """The ConfigMaps that a job names, each with the field that does."""
    for field, dataset in (("trainDataset", job.spec.train_dataset), ("testDataset", job.spec.test_dataset)):
        if dataset is not None and dataset.config_map is not None:
            yield field, dataset.config_map
    for number, function in enumerate(job.spec.test_functions or ()):
        if function.config_map is not None:
            yield f"testFunctions[{number}]", function.config_map
