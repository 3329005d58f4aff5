"""Every write to the API server but the Lease: guarded by leadership, its answer put into the cache."""

from collections.abc import Callable
from typing import Final, Protocol

from classifier_operator.api.names import FIELD_MANAGER
from classifier_operator.kube.cache import Store
from classifier_operator.kube.client import APPLY_PATCH, MERGE_PATCH, Json, KubeClient
from classifier_operator.kube.resources import Resource

_WRITE_SECONDS: Final = 30.0


class Guard(Protocol):
    """Leadership, as far as a write needs it."""

    def remaining(self) -> float:
        """Seconds for which writing is surely allowed; raises where it is not allowed at all."""


class Writer:
    """Creates, applies, patches and deletes children. Raises KubeError where the API server refuses.

    Answers go into the cache without a word: a reconciliation observes anew after its own writes.
    """

    def __init__(self, client: KubeClient, guard: Guard, stores: Callable[[Resource], Store | None]) -> None:
        self._client = client
        self._guard = guard
        self._stores = stores

    async def create(self, resource: Resource, manifest: Json) -> Json:
        """POST: fails with AlreadyExists where the name is taken."""
        path = resource.path(manifest["metadata"]["namespace"])
        return self._keep(resource, await self._send("POST", path, manifest, "application/json"))

    async def apply(self, resource: Resource, manifest: Json, *, uid: str | None) -> Json:
        """Server-side apply.

        Args:
            uid: UID of the object that is known to be ours: its fields are taken back from other managers. None where
                nothing of that name was seen: if there is something after all, a conflict is raised instead.
        """
        metadata = manifest["metadata"]
        path = resource.path(metadata["namespace"], metadata["name"])
        query = {"fieldManager": FIELD_MANAGER}
        if uid is not None:
            query["force"] = "true"
            manifest = {**manifest, "metadata": {**metadata, "uid": uid}}  # a precondition: the same object still
        return self._keep(resource, await self._send("PATCH", path, manifest, APPLY_PATCH, query))

    async def patch(self, resource: Resource, namespace: str, name: str, patch: Json, *, uid: str) -> Json:
        """A merge patch of the object with this UID."""
        path = resource.path(namespace, name)
        body = {**patch, "metadata": {"uid": uid}}
        return self._keep(resource, await self._send("PATCH", path, body, MERGE_PATCH, {"fieldManager": FIELD_MANAGER}))

    async def patch_status(self, resource: Resource, namespace: str, name: str, status: Json, *, version: str) -> Json:
        """A merge patch of the status, only over the version of the object that it was computed from.

        So nothing that somebody wrote since is lost, be it a user's change of the specification or, after a change of
        leadership, the other operator's status. The answer is not put into the cache: that is left to the caller.
        """
        path = resource.path(namespace, name, "status")
        body = {"metadata": {"resourceVersion": version}, "status": status}
        return await self._send("PATCH", path, body, MERGE_PATCH, {"fieldManager": FIELD_MANAGER})

    async def delete(
        self, resource: Resource, namespace: str, name: str, *, uid: str, version: str | None = None
    ) -> None:
        """Deletes the object with this UID, and what it owns in the background."""
        preconditions = {"uid": uid}
        if version is not None:
            preconditions["resourceVersion"] = version
        body: Json = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": "Background",
            "preconditions": preconditions,
        }
        await self._send("DELETE", resource.path(namespace, name), body, "application/json")

    async def _send(
        self, method: str, path: str, body: Json, content_type: str, query: dict[str, str] | None = None
    ) -> Json:
        # A write that waits in line until the Lease may have run out is not sent at all.
        seconds = min(_WRITE_SECONDS, self._guard.remaining())
        if method == "POST":
            query = {"fieldManager": FIELD_MANAGER}
        return await self._client.request(
            method, path, query=query, body=body, content_type=content_type, seconds=seconds
        )

    def _keep(self, resource: Resource, answer: Json) -> Json:
        store = self._stores(resource)
        if store is not None:
            store.put(answer, quiet=True)
        return answer
