"""What is measured beside the sleepers: the operator's memory, refusals of the API server, a roll of the gateway."""

from __future__ import annotations

import asyncio
import contextlib
import time
from types import TracebackType

import aiohttp

from bench.sleep_scene import Scene
from classifier_operator.api import names
from classifier_operator.kube.resources import ENDPOINT_SLICES, PODS
from classifier_operator.kube.trim import SLICE_MANAGER_LABEL
from support import install, kube
from support.control_plane import Cluster, eventually
from support.faults import Faults, metric, series_sum

_GATEWAY_PODS = "app.kubernetes.io/name=classifier-operator,app.kubernetes.io/component=gateway"


class Meters:
    """Asks the operator for its memory every second for as long as the block lasts."""

    def __init__(self, at: Scene) -> None:
        self._faults = Faults(at.client)
        self._largest = 0.0
        self._refused = 0.0

    async def __aenter__(self) -> Meters:
        self._pod = await self._faults.operator()
        self._refused = await self._refusals()
        self._task = asyncio.create_task(self._measure())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    async def figures(self) -> dict[str, float]:
        """Largest memory in MiB, and how many requests the API server refused with 429 or queued too long."""
        assert not self._task.done(), "the operator does not tell its memory any more"
        now = (await self._faults.operator())["metadata"]["uid"]
        assert now == self._pod["metadata"]["uid"], "the operator was started anew"
        refused = await self._refusals() - self._refused
        return {"operator_rss_mib": round(self._largest, 1), "refused": refused}

    async def _refusals(self) -> float:
        text = await asyncio.to_thread(kube.kubectl, "get", "--raw", "/metrics")
        at_server = series_sum(text, "apiserver_flowcontrol_rejected_requests_total", {})
        return at_server + await metric(self._pod, "classifier_operator_api_requests_total", {"code": "429"})

    async def _measure(self) -> None:
        while True:
            # A scrape may come late while everything happens at once.
            with contextlib.suppress(TimeoutError, aiohttp.ClientError):
                now = await metric(self._pod, "process_resident_memory_bytes")
                self._largest = max(self._largest, now / 2**20)
            await asyncio.sleep(1)


async def follow_roll(at: Scene, faults: Faults, count: int) -> float:
    """Rolls the gateway, and waits until the old pods are gone.

    Returns:
        Seconds from its beginning until `count` Services lead to the new pods alone.
    """
    old = {pod["status"]["podIP"] for pod in await faults.gateways()}
    begun = time.monotonic()
    await faults.roll_gateway()
    new = {pod["status"]["podIP"] for pod in await faults.gateways()}
    assert not new & old

    async def all_lead_to_the_new() -> bool:
        query = {"labelSelector": f"{SLICE_MANAGER_LABEL}={names.MANAGED_BY}"}
        path = ENDPOINT_SLICES.path(at.cluster.namespace)
        slices = (await at.client.request("GET", path, query=query))["items"]
        leads = [{ip for each in item["endpoints"] for ip in each["addresses"]} for item in slices]
        return len(slices) == count and all(ips == new for ips in leads)

    await eventually(f"{count} Services lead to the new gateway", all_lead_to_the_new, seconds=180, pause=0.25)
    seconds = time.monotonic() - begun

    async def are_gone() -> bool:
        system = Cluster(at.client, install.NAMESPACE)
        listed = await system.client.request("GET", PODS.path(system.namespace), query={"labelSelector": _GATEWAY_PODS})
        return not any(pod["status"].get("podIP") in old for pod in listed["items"])

    await eventually("the old gateway pods are gone", are_gone, seconds=180, pause=0.5)
    return seconds
