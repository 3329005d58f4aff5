"""A real API server for tests and benchmarks: the kinds installed, a namespace of one's own, waits and watches."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from classifier_operator.api import crdgen, names
from classifier_operator.errors import KubeError
from classifier_operator.kube.client import APPLY_PATCH, MERGE_PATCH, Json, KubeClient, wait_for_kinds
from classifier_operator.kube.resources import (
    APP_DEPLOYMENTS,
    BATCH_JOBS,
    CLAIMS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    LEASES,
    PODS,
    SERVICES,
    TRAINING_JOBS,
    Resource,
)

_CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
_ALL = (
    *(TRAINING_JOBS, DEPLOYMENTS, BATCH_JOBS, APP_DEPLOYMENTS, SERVICES, ENDPOINT_SLICES, PODS, CLAIMS),
    *(DISRUPTION_BUDGETS, LEASES),
)


async def ensure_kinds(client: KubeClient) -> None:
    """Installs the CRDs as they are in the tree."""
    for kind in crdgen.KINDS:
        definition = crdgen.custom_resource_definition(kind)
        path = f"{_CRDS}/{definition['metadata']['name']}"
        query = {"fieldManager": "tests", "force": "true"}
        await client.request("PATCH", path, query=query, body=definition, content_type=APPLY_PATCH)
    plurals = frozenset({names.TRAINING_JOB_PLURAL, names.DEPLOYMENT_PLURAL})
    await wait_for_kinds(client, f"/apis/{names.API_VERSION}", plurals, seconds=30)


class Cluster:
    """One namespace of an API server."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self.client = client
        self.namespace = namespace

    async def create(self, resource: Resource, manifest: Json) -> Json:
        body = {"apiVersion": resource.api_version, "kind": resource.kind, **manifest}
        return await self.client.request("POST", resource.path(self.namespace), body=body)

    async def get(self, resource: Resource, name: str) -> Json:
        return await self.client.request("GET", resource.path(self.namespace, name))

    async def find(self, resource: Resource, name: str) -> Json | None:
        try:
            return await self.get(resource, name)
        except KubeError as error:
            if error.not_found:
                return None
            raise

    async def list(self, resource: Resource) -> list[Json]:
        listed = await self.client.request("GET", resource.path(self.namespace))
        items: list[Json] = listed["items"]
        return items

    async def patch(self, resource: Resource, name: str, patch: Json, subresource: str | None = None) -> Json:
        path = resource.path(self.namespace, name, subresource)
        return await self.client.request("PATCH", path, body=patch, content_type=MERGE_PATCH)

    async def set_status(self, resource: Resource, name: str, status: Json) -> Json:
        return await self.patch(resource, name, {"status": status}, "status")

    async def delete(self, resource: Resource, name: str, **options: Any) -> None:
        body = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background", **options}
        await self.client.request("DELETE", resource.path(self.namespace, name), body=body)

    async def clear(self) -> None:
        """Deletes all that the namespace holds; without a controller-manager nobody else does."""
        for resource in _ALL:
            body = {
                "apiVersion": "v1",
                "kind": "DeleteOptions",
                "propagationPolicy": "Background",
                "gracePeriodSeconds": 0,
            }
            if resource is SERVICES:
                for item in await self.list(SERVICES):
                    await self.client.request("DELETE", resource.path(self.namespace, item["metadata"]["name"]))
                continue
            await self.client.request("DELETE", resource.path(self.namespace), body=body)
            for item in await self.list(resource):
                if item["metadata"].get("finalizers"):
                    await self.patch(resource, item["metadata"]["name"], {"metadata": {"finalizers": None}})


@asynccontextmanager
async def own_namespace(client: KubeClient, prefix: str) -> AsyncIterator[Cluster]:
    """A new namespace; its objects go at the end."""
    name = f"{prefix}-{uuid.uuid4().hex[:8]}"
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    await client.request("POST", "/api/v1/namespaces", body=body)
    cluster = Cluster(client, name)
    try:
        yield cluster
    finally:
        await cluster.clear()
        await client.request("DELETE", f"/api/v1/namespaces/{name}")


async def eventually(
    what: str, check: Callable[[], Awaitable[Any]], *, seconds: float = 20.0, pause: float = 0.05
) -> Any:
    """Returns the first true value of `check`. Raises AssertionError with the last value when it takes too long."""
    deadline = time.monotonic() + seconds
    last: Any = None
    while time.monotonic() < deadline:
        last = await check()
        if last:
            return last
        await asyncio.sleep(pause)
    raise AssertionError(f"not in {seconds} s: {what} (last: {last!r})")


async def endless_watch(client: KubeClient, path: str, at: str) -> AsyncIterator[Json]:
    """Every event since version `at`; a stream that ends is resumed, and fails where something would be missed."""
    while True:
        query = {"watch": "true", "resourceVersion": at, "timeoutSeconds": "3600"}
        async with client.stream(path, query, idle_seconds=3600) as events:
            async for event in events:
                assert event["type"] != "ERROR", event
                at = event["object"]["metadata"]["resourceVersion"]
                yield event


class CreationCounter:
    """Counts the objects ever created in a namespace, by UID, through a watch that misses nothing."""

    def __init__(self, cluster: Cluster, resource: Resource) -> None:
        self._cluster = cluster
        self._resource = resource
        self._task: asyncio.Task[None] | None = None
        self.created: dict[str, list[str]] = {}
        """UIDs by the name of the owner, or of the object where it has none."""
        self.total = 0

    async def __aenter__(self) -> CreationCounter:
        at = (await self._cluster.client.request("GET", self._resource.path(self._cluster.namespace)))["metadata"]
        self._task = asyncio.create_task(self._count(at["resourceVersion"]))
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    def check(self) -> None:
        """Fails if the watch broke, and so may have missed something."""
        assert self._task is not None
        assert not self._task.done(), "the watch broke"

    @property
    def second(self) -> int:
        """Objects beyond the first of each owner."""
        return sum(len(uids) - 1 for uids in self.created.values())

    async def _count(self, at: str) -> None:
        path = self._resource.path(self._cluster.namespace)
        async for event in endless_watch(self._cluster.client, path, at):
            if event["type"] != "ADDED":
                continue
            metadata = event["object"]["metadata"]
            owner = next(iter(metadata.get("ownerReferences") or ()), metadata)
            self.created.setdefault(f"{owner['name']} {owner['uid']}", []).append(metadata["uid"])
            self.total += 1
