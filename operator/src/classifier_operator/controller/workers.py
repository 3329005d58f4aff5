"""A pool of workers over the queue: bounded, measured, and never ended by one object."""

import asyncio
import logging
import time

from classifier_operator.controller.keys import Key
from classifier_operator.controller.queue import KeyQueue
from classifier_operator.controller.reconcile import Reconciler
from classifier_operator.errors import KubeError, LeaseLostError
from classifier_operator.metrics import RECONCILE_ERRORS, RECONCILE_SECONDS, RECONCILES

logger = logging.getLogger(__name__)


class WorkerPool:
    """`count` keys are reconciled at a time, one key never twice at a time."""

    def __init__(self, queue: KeyQueue[Key], reconciler: Reconciler, *, count: int) -> None:
        self._queue = queue
        self._reconciler = reconciler
        self._count = count

    async def run(self) -> None:
        """Works until cancelled."""
        async with asyncio.TaskGroup() as group:
            for number in range(self._count):
                group.create_task(self._work(), name=f"worker {number}")

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            try:
                await self._once(key)
            finally:
                self._queue.done(key)

    async def _once(self, key: Key) -> None:
        begin = time.perf_counter()
        try:
            await self._reconciler.reconcile(key)
        except LeaseLostError:
            raise
        except KubeError as error:
            result = "conflict" if error.conflict else "terminating" if error.namespace_terminating else "error"
            seconds = self._queue.retry(key)
            level = logging.WARNING if result == "error" else logging.DEBUG
            logger.log(level, "%s is tried again in %.1f s: %s", key, seconds, error)
        except Exception:
            result = "error"
            seconds = self._queue.retry(key)
            logger.exception("%s failed and is tried again in %.1f s", key, seconds)
        else:
            result = "success"
            self._queue.forget_failures(key)
        RECONCILES.labels(key.kind, result).inc()
        RECONCILE_SECONDS.labels(key.kind).observe(time.perf_counter() - begin)
        if result == "error":
            RECONCILE_ERRORS.labels(key.kind).inc()
