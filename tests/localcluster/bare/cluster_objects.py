"""The objects that a cluster of ours starts with: rights of its host processes, a storage class, GPUs."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ..errors import ClusterError
from ..kubeapi import KubeApi, Object
from .layout import GPUS, NODE, STORAGE_PROVISIONER

RBAC = "/apis/rbac.authorization.k8s.io/v1"


@dataclass(frozen=True)
class ClusterObjects:
    """Applied at every start; they go with etcd's data."""

    api: KubeApi
    name: str = "rights and storage"

    def ensure(self) -> str:
        for collection, item in objects():
            self.api.apply(collection, item)
        return "applied"

    def remove(self) -> None:
        """They go with etcd's folder."""


@dataclass(frozen=True)
class NodeReady:
    """Waits until the node takes pods, and makes the scheduler believe in its GPUs."""

    api: KubeApi
    patience: float = 60.0
    name: str = "node"

    def ensure(self) -> str:
        end = time.monotonic() + self.patience
        while True:
            node = self.api.get(f"/api/v1/nodes/{NODE}")
            if node is not None:
                advertise_gpus(self.api, node)
            trouble = obstacles(node)
            if not trouble:
                return f"Ready, {GPUS} GPUs"
            if time.monotonic() > end:
                raise ClusterError(f"The node is not ready after {self.patience:.0f} s: {trouble}")
            time.sleep(0.1)

    def remove(self) -> None:
        """It goes with etcd's folder."""


def advertise_gpus(api: KubeApi, node: Object) -> None:
    """Give a node GPUs that do not exist. Allocatable as well: kubelet would copy it only at its next report."""
    status = node["status"]
    wanted = {"nvidia.com/gpu": str(GPUS)}
    if all(status.get(part, {}).get("nvidia.com/gpu") == str(GPUS) for part in ("capacity", "allocatable")):
        return
    path = f"/api/v1/nodes/{node['metadata']['name']}/status"
    api.request("PATCH", path, {"status": {"capacity": wanted, "allocatable": wanted}}, "application/merge-patch+json")


def obstacles(node: Object | None) -> str:
    """What still keeps pods from a node; empty when nothing does."""
    if node is None:
        return "kubelet has not registered it"
    for condition in node["status"].get("conditions", []):
        if condition["type"] == "Ready" and condition["status"] != "True":
            return str(condition["message"])
    if not any(condition["type"] == "Ready" for condition in node["status"].get("conditions", [])):
        return "kubelet has not reported on it"
    taints = [taint["key"] for taint in node["spec"].get("taints", [])]
    if taints:
        return f"it is tainted {', '.join(taints)}"
    if node["status"]["allocatable"].get("nvidia.com/gpu") != str(GPUS):
        return "its GPUs are not allocatable"
    return ""


def objects() -> list[tuple[str, Object]]:
    """The objects with the collections they belong to."""
    return [
        (
            f"{RBAC}/clusterroles",
            {
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "ClusterRole",
                "metadata": {"name": "localcluster:coredns"},
                "rules": [
                    _reads("", ["endpoints", "services", "pods", "namespaces"]),
                    _reads("discovery.k8s.io", ["endpointslices"]),
                ],
            },
        ),
        _binding("coredns", "localcluster:coredns", "system:coredns"),
        _binding("storage-provisioner", "system:persistent-volume-provisioner", "system:storage-provisioner"),
        (
            "/apis/storage.k8s.io/v1/storageclasses",
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {
                    "name": "standard",
                    "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
                },
                "provisioner": STORAGE_PROVISIONER,
                "reclaimPolicy": "Delete",
                "volumeBindingMode": "WaitForFirstConsumer",
            },
        ),
    ]


def _reads(group: str, resources: list[str]) -> Object:
    return {"apiGroups": [group], "resources": resources, "verbs": ["get", "list", "watch"]}


def _binding(name: str, role: str, user: str) -> tuple[str, Object]:
    item = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"localcluster:{name}"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }
    return f"{RBAC}/clusterrolebindings", item
