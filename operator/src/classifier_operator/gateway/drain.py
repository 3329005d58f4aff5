"""How a gateway stops: not before nothing leads to it any more, and not before all are answered."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from classifier_operator.api.names import MANAGED_BY
from classifier_operator.errors import KubeError
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.kube.client import KubeClient
from classifier_operator.kube.resources import ENDPOINT_SLICES
from classifier_operator.kube.trim import SLICE_MANAGER_LABEL
from classifier_operator.kube.watch import PAGE_SIZE

logger = logging.getLogger(__name__)

_LOOK_SECONDS: Final = 0.1

LeadsHere = Callable[[], Awaitable[bool]]
"""Whether an EndpointSlice names this pod. Raises KubeError where that is not to be learned."""


async def until_nothing_leads_here(settings: GatewaySettings, leads_here: LeadsHere) -> None:
    """Returns when no EndpointSlice names this pod, or when it has taken too long."""
    if not settings.addresses:
        logger.warning("POD_IP is not set: whether a Service leads here is not known and not awaited")
        return
    begun = time.monotonic()
    while True:
        try:
            async with asyncio.timeout(max(0.1, begun + settings.drain_seconds - time.monotonic())):
                if not await leads_here():
                    break
        except (KubeError, TimeoutError) as error:
            logger.warning("Whether a Service leads here could not be learned: %s", error or type(error).__name__)
        if time.monotonic() - begun + settings.slices_seconds > settings.drain_seconds:
            logger.warning("A Service still leads here after %.0f s", time.monotonic() - begun)
            return
        await asyncio.sleep(settings.slices_seconds)
    logger.info("No Service leads here any more, after %.1f s", time.monotonic() - begun)
    await asyncio.sleep(settings.settle_seconds)


async def until_nobody_is_held(anyone_held: Callable[[], bool], deadline: float) -> None:
    """Returns when all who were held have found a pod or left, or at `deadline` (of time.monotonic).

    A wake may take longer than all nodes need to lead elsewhere.
    """
    while True:
        if not anyone_held() or time.monotonic() >= deadline:
            return
        await asyncio.sleep(_LOOK_SECONDS)


async def slices_name(client: KubeClient, addresses: frozenset[str]) -> bool:
    """Whether one of our EndpointSlices holds one of these addresses. Raises KubeError."""
    query = {"labelSelector": f"{SLICE_MANAGER_LABEL}={MANAGED_BY}", "limit": str(PAGE_SIZE)}
    while True:
        page = await client.request("GET", ENDPOINT_SLICES.path(), query=query)
        for item in page.get("items") or ():
            for endpoint in item.get("endpoints") or ():
                if not addresses.isdisjoint(endpoint.get("addresses") or ()):
                    return True
        following = page["metadata"].get("continue")
        if not following:
            return False
        query["continue"] = following
