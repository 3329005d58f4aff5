"""Plays Deployment controller, kubelet and endpoint slice controller for one deployment, when the test says so."""

from __future__ import annotations

from typing import Any

from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import APP_DEPLOYMENTS, ENDPOINT_SLICES, PODS, SERVICES, Resource
from support.control_plane import Cluster, eventually

SERVICE_ACCOUNTS = Resource("v1", "ServiceAccount", "serviceaccounts")
GATEWAY_LABELS = {"app.kubernetes.io/name": "classifier-operator", "app.kubernetes.io/component": "gateway"}


async def put_pod(cluster: Cluster, name: str, labels: dict[str, str], address: str, **metadata: Any) -> Json:
    """A pod that is ready at this address."""
    if await cluster.find(SERVICE_ACCOUNTS, "default") is None:
        await cluster.create(SERVICE_ACCOUNTS, {"metadata": {"name": "default"}})
    spec = {
        "containers": [{"name": "main", "image": "x"}],
        "nodeName": "node-1",
        "automountServiceAccountToken": False,
    }
    await cluster.create(PODS, {"metadata": {"name": name, "labels": labels, **metadata}, "spec": spec})
    return await set_ready(cluster, name, address)


async def set_ready(cluster: Cluster, name: str, address: str, *, ready: bool = True) -> Json:
    status = {
        "phase": "Running",
        "podIP": address,
        "podIPs": [{"ip": address}],
        "conditions": [{"type": "Ready", "status": str(ready)}],
    }
    return await cluster.set_status(PODS, name, status)


class FakeRollout:
    """The pods of one deployment, at most one of them."""

    def __init__(self, cluster: Cluster, name: str, address: str) -> None:
        self._cluster = cluster
        self._name = name
        self._address = address
        self._count = 0

    async def wanted(self) -> int:
        """Number of pods that the Deployment asks for; -1: there is none."""
        app = await self._cluster.find(APP_DEPLOYMENTS, self._name)
        return -1 if app is None else int(app["spec"]["replicas"])

    async def wait_for(self, wanted: int) -> None:
        async def so() -> bool:
            return await self.wanted() == wanted

        await eventually(f"{self._name} asks for {wanted} pods", so)

    async def up(self) -> None:
        """The pod is there and ready, and Kubernetes leads the Service to it."""
        app = await self._cluster.get(APP_DEPLOYMENTS, self._name)
        service: Json = await eventually("the Service", lambda: self._cluster.find(SERVICES, self._name))
        self._count += 1
        labels = app["spec"]["template"]["metadata"]["labels"]
        await put_pod(self._cluster, f"{self._name}-{self._count}", labels, self._address)
        await self._status(1)
        owner = {"apiVersion": "v1", "kind": "Service", "name": self._name, "uid": service["metadata"]["uid"]}
        await self._cluster.create(
            ENDPOINT_SLICES,
            {
                "metadata": {
                    "name": f"{self._name}-x{self._count}",
                    "labels": {**service["metadata"]["labels"], "kubernetes.io/service-name": self._name},
                    "ownerReferences": [{**owner, "controller": True}],
                },
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["198.18.0.9"], "conditions": {"ready": True}}],
                "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            },
        )

    async def down(self) -> None:
        """The pod is gone."""
        await self._cluster.delete(ENDPOINT_SLICES, f"{self._name}-x{self._count}")
        await self._cluster.delete(PODS, f"{self._name}-{self._count}", gracePeriodSeconds=0)
        await self._status(0)

    async def _status(self, pods: int) -> None:
        app = await self._cluster.get(APP_DEPLOYMENTS, self._name)
        numbers = dict.fromkeys(("replicas", "updatedReplicas", "readyReplicas", "availableReplicas"), pods)
        status = {"observedGeneration": app["metadata"]["generation"], **numbers}
        await self._cluster.set_status(APP_DEPLOYMENTS, self._name, status)
