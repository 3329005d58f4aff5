"""List and watch: fills a store from the API server and keeps it true through every kind of broken stream."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

from classifier_operator.errors import KubeError
from classifier_operator.kube.cache import ObjectKey, Store, key_of, version
from classifier_operator.kube.client import Json, KubeClient
from classifier_operator.metrics import WATCH_EVENTS, WATCH_RESTARTS

logger = logging.getLogger(__name__)

PAGE_SIZE: Final = 500
_FIRST_BACKOFF_SECONDS: Final = 0.5
_LONGEST_BACKOFF_SECONDS: Final = 30.0
_WATCH_SECONDS: Final = (300, 600)
_IDLE_SLACK_SECONDS: Final = 30.0
"""The server ends a watch after `timeoutSeconds`; a stream that is silent for longer than this beyond it is dead."""


class Backoff:
    """Growing, jittered pauses after failures in a row."""

    def __init__(self, first: float = _FIRST_BACKOFF_SECONDS, longest: float = _LONGEST_BACKOFF_SECONDS) -> None:
        self._first = first
        self._longest = longest
        self._failures = 0

    def reset(self) -> None:
        self._failures = 0

    async def pause(self) -> None:
        seconds = min(self._longest, self._first * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, no secret


async def list_into(client: KubeClient, store: Store, selector: str | None, *, namespace: str | None = None) -> str:
    """Lists a resource page by page into the store, takes out what is gone, and returns the list's version.

    Args:
        namespace: list only what is there; None: list every namespace.

    Raises:
        KubeError: the list failed; the store keeps what it had.
    """
    query = {"limit": str(PAGE_SIZE)}
    if selector:
        query["labelSelector"] = selector
    listed: set[ObjectKey] = set()
    while True:
        page = await client.request("GET", store.resource.path(namespace), query=query)
        for item in page.get("items") or ():
            listed.add(key_of(item))
            store.put(item)
        following = page["metadata"].get("continue")
        if not following:
            store.finish_list(listed, version(page))
            return str(page["metadata"]["resourceVersion"])
        query["continue"] = following


class Reflector:
    """Keeps a store of children true: a list, then watches from its version, for ever.

    Args:
        namespace: look only there; None: look in every namespace.
    """

    def __init__(self, client: KubeClient, store: Store, *, selector: str | None, namespace: str | None = None) -> None:
        self._client = client
        self._store = store
        self._selector = selector
        self._namespace = namespace
        self._backoff = Backoff()

    async def run(self) -> None:
        """Never returns."""
        name = self._store.resource.plural
        while True:
            try:
                if self._store.complete.is_set():
                    WATCH_RESTARTS.labels(name).inc()
                at = await list_into(self._client, self._store, self._selector, namespace=self._namespace)
                while True:
                    at = await self._watch(at)
            except KubeError as error:
                if not error.expired:
                    logger.warning("The list or watch of %s failed and is repeated: %s", name, error)
            await self._backoff.pause()

    async def _watch(self, at: str) -> str:
        """One stream; returns the version to go on from. Raises KubeError where only a new list helps."""
        seconds = random.randint(*_WATCH_SECONDS)  # noqa: S311  # spreads the reconnections
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": at,
            "timeoutSeconds": str(seconds),
        }
        if self._selector:
            query["labelSelector"] = self._selector
        try:
            path = self._store.resource.path(self._namespace)
            stream = self._client.stream(path, query, idle_seconds=seconds + _IDLE_SLACK_SECONDS)
            async with stream as events:
                async for event in events:
                    at = self._take(event, at)
                    self._backoff.reset()
        except KubeError as error:
            if error.expired:
                raise
            logger.info("The watch of %s is resumed: %s", self._store.resource.plural, error)
        await self._backoff.pause()
        return at

    def _take(self, event: Json, at: str) -> str:
        kind, value = str(event.get("type")), event.get("object") or {}
        if kind == "ERROR":
            raise KubeError(int(value.get("code") or 500), str(value.get("reason")), str(value.get("message")))
        if kind != "BOOKMARK":
            WATCH_EVENTS.labels(self._store.resource.plural, kind).inc()
            if kind == "DELETED":
                self._store.remove(value)
            else:
                self._store.put(value)
        return str(value["metadata"].get("resourceVersion") or at)


class Relister:
    """Lists a resource that Kopf watches, at the start and then every while: Kopf forgets what vanished in a gap."""

    def __init__(
        self, client: KubeClient, store: Store, *, seconds: float, on_listed: Callable[[], None] = lambda: None
    ) -> None:
        self._client = client
        self._store = store
        self._seconds = seconds
        self._on_listed = on_listed
        self._backoff = Backoff()

    async def run(self) -> None:
        """Never returns."""
        while True:
            try:
                await list_into(self._client, self._store, None)
                self._backoff.reset()
                self._on_listed()
            except KubeError as error:
                logger.warning("The list of %s failed and is repeated: %s", self._store.resource.plural, error)
                await self._backoff.pause()
                continue
            await asyncio.sleep(self._seconds * random.uniform(0.9, 1.1))  # noqa: S311  # jitter, no secret
