"""Wakes: renews the Lease of a deployment at once, and again while somebody is held for it."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from classifier_operator.errors import KubeError
from classifier_operator.gateway.deployment import Deployment
from classifier_operator.gateway.metrics import WAKES
from classifier_operator.wire.wake import RENEW_SECONDS

logger = logging.getLogger(__name__)

Renew = Callable[[str], Awaitable[None]]
"""Renews the Lease of this name, or raises KubeError."""

_PAUSE_SECONDS: Final = 1.0
"""Between two renewals of one Lease at least."""
_FIRST_RETRY_SECONDS: Final = 0.1
_LONGEST_RETRY_SECONDS: Final = 2.0
_ATTEMPTS: Final = 5
"""For a Lease that nobody is held for."""


class Waker:
    """At most one renewal of a Lease at a time, and `at_a_time` over all."""

    def __init__(self, renew: Renew, *, at_a_time: int) -> None:
        self._renew = renew
        self._slots = asyncio.Semaphore(at_a_time)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._again: dict[str, asyncio.Event] = {}

    def ask(self, deployment: Deployment) -> None:
        """Somebody wants the deployment awake: its Lease is renewed at once, unless that has just been done.

        To be called before the request waits, so that the first who waits is known from those who join it.
        """
        deployment.asked()
        uid = deployment.uid
        if uid not in self._tasks:
            logger.info("Asking for pods of %s", deployment)
            self._again[uid] = asyncio.Event()
            self._tasks[uid] = asyncio.create_task(self._keep(deployment), name=f"wake of {deployment}")
        elif not deployment.room.waking:
            self._again[uid].set()

    async def close(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, deployment: Deployment) -> None:
        """Renews until nobody is held any more, and has asked since."""
        uid, again = deployment.uid, self._again[deployment.uid]
        try:
            while True:
                again.clear()
                begun = await self._until_renewed(deployment)
                await _pause_until(begun + _PAUSE_SECONDS)
                try:
                    async with asyncio.timeout(max(0.0, begun + RENEW_SECONDS - time.monotonic())):
                        await again.wait()
                except TimeoutError:
                    if not deployment.room.waking:
                        return
        finally:
            del self._tasks[uid], self._again[uid]

    async def _until_renewed(self, deployment: Deployment) -> float:
        """Renews, or gives it up; returns when the last attempt began."""
        attempt, begun = 0, time.monotonic()
        while deployment.order is not None:
            try:
                async with self._slots:
                    begun = time.monotonic()
                    await self._renew(deployment.lease_name)
            except KubeError as error:
                WAKES.labels("failed").inc()
                attempt += 1
                if error.not_found or (attempt >= _ATTEMPTS and not deployment.room.waking):
                    logger.warning("The Lease of %s cannot be renewed: %s", deployment, error)
                    break
                if attempt == 1:
                    logger.warning("The Lease of %s cannot be renewed yet: %s", deployment, error)
                await asyncio.sleep(min(_LONGEST_RETRY_SECONDS, _FIRST_RETRY_SECONDS * 2 ** (attempt - 1)))
            else:
                WAKES.labels("renewed").inc()
                break
        return begun


async def _pause_until(moment: float) -> None:
    if (seconds := moment - time.monotonic()) > 0:
        await asyncio.sleep(seconds)
