"""The gateway pods: which are ready, and for whom they listen."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from classifier_operator.api import names
from classifier_operator.controller.keys import Key
from classifier_operator.controller.views import pod_view
from classifier_operator.kube import trim
from classifier_operator.kube.cache import Store
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import PODS, Resource
from classifier_operator.metrics import POLLS
from classifier_operator.plan.types import GatewayView
from classifier_operator.pods.http import PodHttp, host
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.gateway import GatewayReport

logger = logging.getLogger(__name__)

ROUND_PAUSE_SECONDS: Final = 0.2
"""Between the beginnings of two rounds of questions."""
_ROUND_SECONDS: Final = 0.5
"""A gateway pod that answers later is not waited for; what it said before still counts."""

_AGAIN_SECONDS: Final = 5.0
_SILENT_SECONDS: Final = 1.0
"""Until the next question to all, and until the one to a pod that has not answered yet."""
_PATIENCE_SECONDS: Final = 5.0
"""How long the first answers are waited for: until then it seems that no gateway pod listens for anybody."""
_EXPECTED_SECONDS: Final = 10.0
"""How long news is expected; a gateway pod hears of an order within a fraction of a second."""

_Life = tuple[str, int]
"""UID and restarts of a pod: a container that was started again knows nothing of what it said before."""


@dataclass(frozen=True, slots=True)
class _Gateway:
    life: _Life
    ip: str
    node: str
    pod: str


class GatewayFleet:
    """Asks the gateway pods for their reports: now and then, and when somebody wants to know.

    Args:
        url: where a gateway pod is asked; contains {ip}.
        on_change: called with the `uid_hash` of each deployment for which a gateway pod listens now, or listens no
            more; with None where that may be true of all of them, since a gateway pod came or went.
    """

    def __init__(self, http: PodHttp, *, url: str, on_change: Callable[[frozenset[str] | None], None]) -> None:
        self._http = http
        self._url = url
        self._on_change = on_change
        self.store = Store(PODS, trim.gateway_pod, lambda _: (), self._seen)
        """The gateway pods; whoever makes the fleet keeps it true."""
        self._ready: dict[_Life, _Gateway] = {}
        self._reports: dict[_Life, GatewayReport] = {}
        self._expected: dict[tuple[int, str], float] = {}
        """Port and UID by the time until which news of them is awaited."""
        self._hurry = asyncio.Event()
        self._pending: asyncio.Task[None] | None = None
        self._asking: asyncio.Task[None] | None = None
        self._begun = float("-inf")

    async def follow(self) -> None:
        """Asks whoever becomes ready at once, and all of them every few seconds or, while news is expected, more often;
        never returns."""
        while True:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), self._pause())
            self._hurry.clear()
            await self.refresh()

    def expect(self, port: int, uid: str) -> None:
        """Somebody waits for the gateway pods to listen at `port` for this deployment: `on_change` will tell."""
        self._expected[port, uid] = asyncio.get_running_loop().time() + _EXPECTED_SECONDS
        self._hurry.set()

    async def wait_until_known(self) -> None:
        """Returns when the pods have been listed and each ready one has answered, or has been given time to."""
        await self.store.complete.wait()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_SECONDS):
                await self.refresh()
                while len(self._reports) < len(self._ready):
                    await self.refresh()

    def anyone_ready(self) -> bool:
        """Whether there is a gateway pod at all that could hold requests."""
        return bool(self._ready)

    def views(self, port: int, uid: str) -> tuple[GatewayView, ...]:
        """The ready gateway pods that said that they listen at `port` for the deployment with this UID, by name."""
        found = (
            GatewayView(ip=each.ip, node=each.node, pod=each.pod)
            for each in self._ready.values()
            if (report := self._reports.get(each.life)) is not None and report.listens(port, uid)
        )
        return tuple(sorted(found, key=lambda view: view.pod))

    async def refresh(self) -> None:
        """Asks all ready gateway pods, and returns when they have answered a question that was asked from now on.

        Whoever comes while a round is under way waits, together with all others, for the one after it.
        """
        if not self._ready:
            return
        if self._pending is None:
            self._pending = asyncio.create_task(self._ask_all(self._asking), name="reports of gateways")
        await asyncio.shield(self._pending)

    async def close(self) -> None:
        tasks = [task for task in (self._asking, self._pending) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _pause(self) -> float:
        now, ready = asyncio.get_running_loop().time(), len(self._ready)
        self._expected = {
            wanted: until
            for wanted, until in self._expected.items()
            if until > now and len(self.views(*wanted)) < ready
        }
        if self._expected:
            return ROUND_PAUSE_SECONDS
        return _SILENT_SECONDS if len(self._reports) < ready else _AGAIN_SECONDS

    async def _ask_all(self, before: asyncio.Task[None] | None) -> None:
        if before is not None:
            await asyncio.wait([before])
        loop = asyncio.get_running_loop()
        if (pause := self._begun + ROUND_PAUSE_SECONDS - loop.time()) > 0:
            await asyncio.sleep(pause)
        # From here on an answer may be older than the question of the next who comes.
        self._asking, self._pending, self._begun = self._pending, None, loop.time()
        questions = [asyncio.create_task(self._ask(each)) for each in list(self._ready.values())]
        if not questions:
            return
        answered, late = await asyncio.wait(questions, timeout=_ROUND_SECONDS)
        for each in late:
            each.cancel()
        for each in answered:
            each.result()

    async def _ask(self, gateway: _Gateway) -> None:
        answer = await self._http.get(self._url.format(ip=host(gateway.ip)))
        if answer is None or answer.status != 200:
            POLLS.labels("report", "silent").inc()
            return
        try:
            report = GatewayReport.decode(answer.body)
        except WireError as error:
            POLLS.labels("report", "malformed").inc()
            logger.warning("The report of gateway pod %s cannot be read: %s", gateway.pod, error)
            return
        POLLS.labels("report", "answered").inc()
        if gateway.life not in self._ready:
            return
        before = self._reports.get(gateway.life)
        self._reports[gateway.life] = report
        if before is None:
            self._on_change(None)
        elif changed := set(before.ports.items()) ^ set(report.ports.items()):
            self._on_change(frozenset(uid_hash for _, uid_hash in changed))

    def _seen(self, _: Resource, old: Json | None, new: Json | None) -> None:
        before = _gateway(old) if old is not None else None
        after = _gateway(new) if new is not None else None
        if before == after:
            return
        if before is not None:
            self._ready.pop(before.life, None)
            self._reports.pop(before.life, None)
            self._on_change(None)
        if after is not None:
            self._ready[after.life] = after
            self._hurry.set()


def concerned(deployments: Iterable[Json], uid_hashes: frozenset[str] | None) -> list[Key]:
    """The deployments with these hashes of their UIDs, or all of them; those first that were used last."""
    found = [
        each for each in deployments if uid_hashes is None or names.uid_hash(each["metadata"]["uid"]) in uid_hashes
    ]
    found.sort(key=lambda each: (each.get("status") or {}).get("lastRequestTime") or "", reverse=True)
    return [Key(names.DEPLOYMENT_KIND, each["metadata"]["namespace"], each["metadata"]["name"]) for each in found]


def _gateway(value: Json) -> _Gateway | None:
    """The pod, if requests may be led to it."""
    view = pod_view(value)
    if not view.ready or view.deleting or view.ip is None:
        return None
    return _Gateway((view.uid, view.restarts), view.ip, value["node"], view.name)
