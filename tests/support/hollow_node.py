"""A node without a machine: its pods run as soon as they are bound to it, at the address of one real pod that stands in
for all of them. Scheduler, controllers and kube-proxy are the real ones, so that hundreds of deployments come and go on
a machine that has room for ten.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from types import TracebackType
from typing import Any

from classifier_operator.errors import KubeError
from classifier_operator.kube.client import MERGE_PATCH, Json
from classifier_operator.kube.resources import LEASES, PODS
from support.control_plane import Cluster, endless_watch

LABEL = "classifiers.dev/hollow-node"
_NODES = "/api/v1/nodes"
_LEASES = "kube-node-lease"
_HEARTBEAT_SECONDS = 10.0
_AT_A_TIME = 50


def placement(name: str) -> dict[str, Any]:
    """What a pod template needs to be put on that node, and nothing else is."""
    return {
        "nodeSelector": {LABEL: name},
        "tolerations": [{"key": LABEL, "operator": "Equal", "value": name, "effect": "NoSchedule"}],
    }


class HollowNode:
    """The node for as long as the block lasts, for the pods of one namespace.

    Args:
        address: IP of the pod that stands in.
    """

    def __init__(self, cluster: Cluster, name: str, address: str) -> None:
        self._cluster = cluster
        self._client = cluster.client
        self._name = name
        self._address = address
        self._slots = asyncio.Semaphore(_AT_A_TIME)
        self._begun: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> HollowNode:
        await self._client.request("POST", _NODES, body=_node(self._name))
        listed = await self._client.request("GET", PODS.path(self._cluster.namespace))
        for pod in listed["items"]:
            self._see(pod)
        at = listed["metadata"]["resourceVersion"]
        self._forever = [asyncio.create_task(self._watch(at)), asyncio.create_task(self._beat())]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            for task in (*self._forever, *self._tasks):
                task.cancel()
            await asyncio.gather(*self._forever, *self._tasks, return_exceptions=True)
            await self._empty()
            for path in (f"{_NODES}/{self._name}", LEASES.path(_LEASES, self._name)):
                with contextlib.suppress(KubeError):
                    await self._client.request("DELETE", path)

    def check(self) -> None:
        """Fails if the node does not do its work any more."""
        for task in self._forever:
            assert not task.done(), f"the hollow node broke: {task.exception()}"

    async def _empty(self) -> None:
        """Nobody else ends its pods."""
        for pod in await self._cluster.list(PODS):
            if pod["spec"].get("nodeName") == self._name:
                await self._end(pod)

    async def _watch(self, at: str) -> None:
        async for event in endless_watch(self._client, PODS.path(self._cluster.namespace), at):
            if event["type"] == "DELETED":
                self._begun.discard(event["object"]["metadata"]["uid"])
            else:
                self._see(event["object"])

    def _see(self, pod: Json) -> None:
        uid = pod["metadata"]["uid"]
        if pod["spec"].get("nodeName") != self._name:
            return
        if pod["metadata"].get("deletionTimestamp"):
            self._start(self._end(pod))
        elif uid not in self._begun:
            self._begun.add(uid)
            self._start(self._begin(pod))

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._forever[0].cancel(f"a pod could not be served: {error}")

    async def _begin(self, pod: Json) -> None:
        await self._write("PATCH", pod, "status", {"status": _running(pod, self._address)})

    async def _end(self, pod: Json) -> None:
        await self._write("DELETE", pod, None, {"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0})

    async def _write(self, method: str, pod: Json, subresource: str | None, body: Json) -> None:
        path = PODS.path(self._cluster.namespace, pod["metadata"]["name"], subresource)
        content_type = MERGE_PATCH if method == "PATCH" else "application/json"
        async with self._slots:
            try:
                await self._client.request(method, path, body=body, content_type=content_type)
            except KubeError as error:
                if error.status not in (404, 409):  # it went, or changed, meanwhile
                    raise

    async def _beat(self) -> None:
        """Renews the Lease by which the control plane knows that a node is alive."""
        while True:
            body = {
                "apiVersion": LEASES.api_version,
                "kind": LEASES.kind,
                "metadata": {"name": self._name, "namespace": _LEASES},
                "spec": {
                    "holderIdentity": self._name,
                    "leaseDurationSeconds": 40,
                    "renewTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                },
            }
            path = LEASES.path(_LEASES, self._name)
            try:
                await self._client.request("PATCH", path, body=body, content_type=MERGE_PATCH)
            except KubeError as error:
                if not error.not_found:
                    raise
                await self._client.request("POST", LEASES.path(_LEASES), body=body)
            await asyncio.sleep(_HEARTBEAT_SECONDS)


def _node(name: str) -> Json:
    room = {"cpu": "10000", "memory": "10Ti", "pods": "10000"}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {LABEL: name, "kubernetes.io/hostname": name}},
        "spec": {"taints": [{"key": LABEL, "value": name, "effect": "NoSchedule"}]},
        "status": {
            "capacity": room,
            "allocatable": room,
            "conditions": [_condition("Ready"), *(_condition(f"{each}Pressure", "False") for each in ("Disk", "PID"))],
            "nodeInfo": dict.fromkeys(_INFO, "") | {"operatingSystem": "linux", "architecture": "amd64"},
        },
    }


_INFO = (
    "architecture",
    "bootID",
    "containerRuntimeVersion",
    "kernelVersion",
    "kubeProxyVersion",
    "kubeletVersion",
    "machineID",
    "operatingSystem",
    "osImage",
    "systemUUID",
)


def _running(pod: Json, address: str) -> Json:
    containers = pod["spec"]["containers"]
    state = {"ready": True, "started": True, "restartCount": 0, "state": {"running": {"startedAt": _now()}}}
    kinds = ("PodScheduled", "Initialized", "ContainersReady", "Ready")
    return {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "startTime": _now(),
        "conditions": [_condition(kind) for kind in kinds],
        "containerStatuses": [
            {"name": each["name"], "image": each["image"], "imageID": each["image"], **state} for each in containers
        ],
    }


def _condition(kind: str, status: str = "True") -> Json:
    now = _now()
    return {"type": kind, "status": status, "reason": "Hollow", "message": "", "lastTransitionTime": now}


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
