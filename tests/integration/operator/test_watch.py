"""List and watch against a real API server, through a network that breaks."""

from __future__ import annotations

import asyncio

import pytest

from classifier_operator.api import names
from classifier_operator.errors import KubeError
from classifier_operator.kube import trim
from classifier_operator.kube.cache import Store
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import CLAIMS, TRAINING_JOBS, Resource
from classifier_operator.kube.watch import PAGE_SIZE, Reflector, Relister
from support.builders import training_job_manifest
from support.control_plane import Cluster, eventually, own_namespace
from support.cut_proxy import CutProxy

pytestmark = pytest.mark.integration


def claim(name: str, *, managed: bool = True) -> Json:
    labels = names.trainer_labels("news") if managed else {"app": "other"}
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    return {"metadata": {"name": name, "labels": labels}, "spec": spec}


class Seen:
    """A store, and the names of our namespace in it."""

    def __init__(self, resource: Resource, namespace: str) -> None:
        self.changes = 0
        self.namespace = namespace
        self.store = Store(resource, lambda value: trim.trim(resource, value), lambda _: (), self._count)

    def _count(self, *_: object) -> None:
        self.changes += 1

    def names(self) -> set[str]:
        return {v["metadata"]["name"] for v in self.store.values() if v["metadata"]["namespace"] == self.namespace}

    async def becomes(self, *wanted: str) -> None:
        async def same() -> bool:
            return self.names() == set(wanted)

        await eventually(f"{set(wanted)} is seen", same, seconds=40)


async def test_a_reflector_looks_in_one_namespace_if_told_to(cluster: Cluster) -> None:
    async with own_namespace(cluster.client, "other") as other:
        await other.create(CLAIMS, claim("before"))
        seen = Seen(CLAIMS, cluster.namespace)
        selector = names.MANAGED_BY_SELECTOR
        reflector = Reflector(cluster.client, seen.store, selector=selector, namespace=cluster.namespace)
        await cluster.create(CLAIMS, claim("a"))
        task = asyncio.create_task(reflector.run())
        try:
            await seen.becomes("a")
            await other.create(CLAIMS, claim("after"))
            await cluster.create(CLAIMS, claim("b"))
            await seen.becomes("a", "b")
            assert len(seen.store) == 2
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def test_a_reflector_through_a_broken_network(cluster: Cluster, proxy: CutProxy, shaky: KubeClient) -> None:
    seen = Seen(CLAIMS, cluster.namespace)
    task = asyncio.create_task(Reflector(shaky, seen.store, selector=names.MANAGED_BY_SELECTOR).run())
    try:
        await cluster.create(CLAIMS, claim("a"))
        await cluster.create(CLAIMS, claim("stranger", managed=False))
        await seen.becomes("a")
        assert seen.store.complete.is_set()
        for number in range(3):
            proxy.cut()
            await cluster.create(CLAIMS, claim(f"b{number}"))
        await seen.becomes("a", "b0", "b1", "b2")
        proxy.refusing = True
        proxy.cut()
        await cluster.delete(CLAIMS, "a", gracePeriodSeconds=0)
        await cluster.patch(CLAIMS, "a", {"metadata": {"finalizers": None}})
        await cluster.create(CLAIMS, claim("c"))
        await asyncio.sleep(1)
        assert "c" not in seen.names()
        proxy.refusing = False
        await seen.becomes("b0", "b1", "b2", "c")
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_a_version_that_is_too_old_needs_a_new_list(cluster: Cluster) -> None:
    seen = Seen(CLAIMS, cluster.namespace)
    reflector = Reflector(cluster.client, seen.store, selector=None)
    # What the API server sends in the stream when a version has left its memory.
    status = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"}
    with pytest.raises(KubeError) as refused:
        reflector._take({"type": "ERROR", "object": status}, "5")
    assert refused.value.expired


async def test_a_list_of_several_pages_removes_what_is_gone(cluster: Cluster) -> None:
    count = PAGE_SIZE + 20
    slots = asyncio.Semaphore(20)

    async def create(number: int) -> None:
        async with slots:
            await cluster.create(TRAINING_JOBS, training_job_manifest(f"n{number}"))

    await asyncio.gather(*(create(number) for number in range(count)))
    seen = Seen(TRAINING_JOBS, cluster.namespace)
    listed = 0

    def count_lists() -> None:
        nonlocal listed
        listed += 1

    relister = Relister(cluster.client, seen.store, seconds=0.5, on_listed=count_lists)
    task = asyncio.create_task(relister.run())
    try:
        await seen.becomes(*(f"n{number}" for number in range(count)))
        changes = seen.changes
        await cluster.delete(TRAINING_JOBS, "n7")
        await seen.becomes(*(f"n{number}" for number in range(count) if number != 7))
        assert seen.changes == changes + 1, "what did not change is no news"
        assert listed >= 2
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
