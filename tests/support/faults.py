"""What can happen to the operator, the gateway and server pods: they are killed, stopped, or rolled.

A kill is a SIGKILL of the pod's processes, where this machine is the node and may do that, and then the pod is deleted
by force, so that its successor does not wait for a container that is started again later each time. Elsewhere it is
the forced deletion alone, which lets a process end by itself within two seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import aiohttp

from classifier_operator.errors import KubeError
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.kube.resources import APP_DEPLOYMENTS, LEASES, PODS
from support import install, kube
from support.control_plane import Cluster, eventually

GATEWAY = f"{install.RELEASE}-gateway"
_LABELS = "app.kubernetes.io/name=classifier-operator,app.kubernetes.io/component="
_PROC = Path("/proc")
_METRICS_PORT = 9090


def processes(uid: str, proc: Path = _PROC) -> list[int]:
    """The processes of the pod with this UID that this machine shows, without the one that holds its network."""
    marks = (f"pod{uid}", f"pod{uid.replace('-', '_')}")
    found = []
    for folder in proc.iterdir():
        if not folder.name.isdecimal():
            continue
        with contextlib.suppress(OSError):
            groups = (folder / "cgroup").read_text()
            if any(mark in groups for mark in marks) and (folder / "comm").read_text().strip() != "pause":
                found.append(int(folder.name))
    return sorted(found)


def is_ready(pod: Json) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


class Faults:
    """Does harm, and waits until it is mended.

    Attributes:
        kills: how many pods were killed in which way.
    """

    def __init__(self, client: KubeClient) -> None:
        self._system = Cluster(client, install.NAMESPACE)
        self.kills: Counter[str] = Counter()

    async def pods(self, cluster: Cluster, selector: str) -> list[Json]:
        """The pods with these labels that are ready, oldest first."""
        listed = await cluster.client.request("GET", PODS.path(cluster.namespace), query={"labelSelector": selector})
        ready = [pod for pod in listed["items"] if is_ready(pod)]
        return sorted(ready, key=lambda pod: (pod["metadata"]["creationTimestamp"], pod["metadata"]["name"]))

    async def kill(self, cluster: Cluster, pod: Json) -> None:
        """Ends a pod as a node does that loses power."""
        way = "forced deletion"
        for number in processes(pod["metadata"]["uid"]):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(number, signal.SIGKILL)
                way = "SIGKILL"
        self.kills[way] += 1
        with contextlib.suppress(KubeError):
            await cluster.delete(PODS, pod["metadata"]["name"], gracePeriodSeconds=0)

    async def stop(self, cluster: Cluster, pod: Json) -> None:
        """Ends a pod as `kubectl delete pod` does: it has its time to finish."""
        await cluster.delete(PODS, pod["metadata"]["name"])

    # -- the operator -----------------------------------------------------------------------------------------------

    async def operator(self) -> Json:
        """The operator's pod that works, which holds the Lease."""

        async def working() -> Json | None:
            holder = await self._holder()
            pods = await self.pods(self._system, f"{_LABELS}operator")
            return next((pod for pod in pods if holder.startswith(f"{pod['metadata']['name']}_")), None)

        found: Json = await eventually("an operator works", working, seconds=180, pause=0.25)
        return found

    async def kill_operator(self, pod: Json) -> None:
        await self.kill(self._system, pod)

    async def _holder(self) -> str:
        lease = await self._system.find(LEASES, install.RELEASE)
        return str(((lease or {}).get("spec") or {}).get("holderIdentity") or "")

    # -- the gateway ------------------------------------------------------------------------------------------------

    async def gateways(self) -> list[Json]:
        """The gateway's pods, once all of them are there and ready."""

        async def whole() -> list[Json] | None:
            deployment = await self._system.get(APP_DEPLOYMENTS, GATEWAY)
            pods = await self.pods(self._system, f"{_LABELS}gateway")
            return pods if len(pods) >= deployment["spec"]["replicas"] and is_rolled_out(deployment) else None

        found: list[Json] = await eventually("all gateway pods are ready", whole, seconds=300, pause=0.25)
        return found

    async def kill_gateway(self, pod: Json) -> None:
        await self.kill(self._system, pod)

    async def stop_gateway(self, pod: Json) -> None:
        await self.stop(self._system, pod)

    async def roll_gateway(self) -> None:
        """Replaces all gateway pods, and returns when the new ones are there."""
        await asyncio.to_thread(kube.kubectl, "rollout", "restart", f"deployment/{GATEWAY}", "-n", install.NAMESPACE)
        await asyncio.to_thread(
            kube.kubectl,
            *("rollout", "status", f"deployment/{GATEWAY}", "-n", install.NAMESPACE, "--timeout=300s"),
            timeout=330,
        )


def is_rolled_out(deployment: Json) -> bool:
    """Whether a Deployment has all of its pods, new and ready."""
    status, wanted = deployment.get("status") or {}, deployment["spec"]["replicas"]
    counts = [status.get(key, 0) for key in ("replicas", "updatedReplicas", "readyReplicas")]
    return status.get("observedGeneration", 0) >= deployment["metadata"]["generation"] and counts == [wanted] * 3


async def metric(pod: Json, name: str, labels: Mapping[str, str] | None = None) -> float:
    """The sum of the series of a metric that a pod of operator or gateway tells, by these labels; 0 where none is."""
    url = f"http://{pod['status']['podIP']}:{_METRICS_PORT}/metrics"
    async with (
        aiohttp.ClientSession(trust_env=False, timeout=aiohttp.ClientTimeout(total=5)) as session,
        session.get(url) as response,
    ):
        return series_sum(await response.text(), name, labels or {})


def series_sum(text: str, name: str, labels: Mapping[str, str]) -> float:
    """The same of a text in Prometheus' format."""
    total = 0.0
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if series.partition("{")[0] == name and all(f'{key}="{wanted}"' in series for key, wanted in labels.items()):
            total += float(value)
    return total
