"""The way of a request: checked, held if no pod is there, forwarded."""

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from classifier_operator.gateway.asleep import answer_asleep
from classifier_operator.gateway.auth import check_key
from classifier_operator.gateway.body import check_json, read_body
from classifier_operator.gateway.budget import Budget, OverBudgetError
from classifier_operator.gateway.deployment import Deployment
from classifier_operator.gateway.forward import Forwarder, PodBrokeError, PodUnreachableError
from classifier_operator.gateway.head import Head, read_head
from classifier_operator.gateway.metrics import HELD_TOTAL, HOLD_SECONDS, REJECTED
from classifier_operator.gateway.patience import patience, refused_until
from classifier_operator.gateway.pods import Pod
from classifier_operator.gateway.readiness import Prober
from classifier_operator.gateway.refusal import RefusalError
from classifier_operator.gateway.routes import find_route
from classifier_operator.gateway.settings import GatewaySettings
from classifier_operator.gateway.wake import Waker
from classifier_operator.wire.wake import GatewayOrder

_ANSWER_SECONDS: Final = 60.0
"""For a pod's answer, beyond what is left of the time for which the request may be held."""
_MOST_BREAKS: Final = 5
"""A request under which so many connections broke may be the one that breaks them."""


@dataclass(slots=True)
class _Visit:
    """One request on its way.

    Attributes:
        until: it waits no longer, by the monotonic clock.
        held_seconds: it has waited so long.
        checked: it is known to be JSON if it says so.
        held: it was let into the waiting room before.
        failed_at: of the order under which it was let in.
        breaks: connections that broke under it.
    """

    head: Head
    body: bytes = b""
    until: float = math.inf
    held_seconds: float = 0.0
    checked: bool = False
    held: bool = False
    failed_at: datetime | None = None
    breaks: int = 0


class Gate:
    """Answers every request, for all deployments.

    Attributes:
        stopping: nobody is held any more.
    """

    def __init__(
        self, settings: GatewaySettings, *, waker: Waker, prober: Prober, forwarder: Forwarder, budget: Budget
    ) -> None:
        self._settings = settings
        self._waker = waker
        self._prober = prober
        self._forwarder = forwarder
        self._budget = budget
        self.stopping = False

    async def answer(self, deployment: Deployment, request: web.BaseRequest) -> web.StreamResponse:
        """The answer to a request at the deployment's port."""
        try:
            return await self._answer(deployment, request)
        except RefusalError as refusal:
            REJECTED.labels(refusal.reason).inc()
            return refusal.response()

    async def _answer(self, deployment: Deployment, request: web.BaseRequest) -> web.StreamResponse:
        visit = _Visit(read_head(request))
        # Before the body is read: who may not ask, or asks for a page, costs no memory.
        if not deployment.pods.usable() and (page := self._page(deployment, visit)) is not None:
            return page
        with self._budget.account(deployment.namespace) as account:
            try:
                seconds = self._settings.receive_seconds
                visit.body = await read_body(request, visit.head, account, seconds=seconds)
            except OverBudgetError:
                raise self._no_memory(deployment, visit) from None
            visit.until = time.monotonic() + deployment.hold_seconds
            answer_by = visit.until + _ANSWER_SECONDS
            while True:
                found = await self._pod(deployment, visit)
                if isinstance(found, web.Response):
                    return found
                if found is None:
                    continue
                try:
                    made = await self._forwarder.send(
                        request,
                        visit.head,
                        visit.body,
                        found,
                        seconds=answer_by - time.monotonic(),
                        held_seconds=visit.held_seconds,
                    )
                except PodUnreachableError:
                    deployment.pods.broke(found)
                except PodBrokeError:
                    deployment.pods.broke(found)
                    visit.breaks += 1
                    if visit.breaks >= _MOST_BREAKS:
                        raise RefusalError(
                            502, f"{visit.breaks} connections to servers broke under this request.", reason="PodBroke"
                        ) from None
                else:
                    if made.status < 500:
                        deployment.pods.answered(found)
                    return made
                finally:
                    deployment.pods.give(found)

    async def _pod(self, deployment: Deployment, visit: _Visit) -> Pod | web.Response | None:
        """A pod that has taken the request on, or the answer without one; None: look again."""
        if (pod := deployment.room.take()) is not None:
            if not visit.held and self._wakes(deployment, visit.head):
                # It came on the way that leads here, so the pods may be about to go: tell that they are in use.
                self._waker.ask(deployment)
            return pod
        if deployment.pods.usable():
            return await self._wait(deployment, visit, wakes=False)
        if (page := self._page(deployment, visit)) is not None:
            return page
        self._check_hold(deployment, visit)
        return await self._wait(deployment, visit, wakes=True)

    def _page(self, deployment: Deployment, visit: _Visit) -> web.Response | None:
        return answer_asleep(_order(deployment), visit.head, waking=deployment.waking)

    def _check_hold(self, deployment: Deployment, visit: _Visit) -> None:
        """Lets an inference request be held, and wakes the deployment.

        Raises:
            RefusalError: it may not be held.
        """
        order = _order(deployment)
        if not visit.checked:
            check_json(visit.head, visit.body)
            visit.checked = True
        if order.answer == "Refuse":
            raise RefusalError(
                503, order.message, reason="Refused", retry_after=refused_until(order, datetime.now(UTC))
            )
        if self.stopping:
            raise RefusalError(503, "This gateway is about to stop: ask again.", reason="Stopping", retry_after=1)
        if visit.held and order.failed_at not in (None, visit.failed_at):
            raise RefusalError(503, order.message, reason="WakeFailed", retry_after=_rest(deployment))
        self._waker.ask(deployment)
        if visit.held:
            return
        patient = patience(visit.head.headers)
        if not patient.suffices(deployment.rest_of_wake()):
            raise RefusalError(
                503, f"The server is waking. {order.message}", reason="WillNotWait", retry_after=_rest(deployment)
            )
        if patient.seconds is not None:
            visit.until = min(visit.until, time.monotonic() + patient.seconds)

    async def _wait(self, deployment: Deployment, visit: _Visit, *, wakes: bool) -> Pod | None:
        """A pod; None: what was decided holds no longer. Raises RefusalError."""
        order, room = deployment.order, deployment.room
        if not visit.held:
            if order is not None and len(room) >= order.max_held:
                sentence = f"{order.max_held} requests wait already (wake.maxHeld)."
                raise RefusalError(503, sentence, reason="MaxHeld", retry_after=_rest(deployment))
            visit.held = True
            visit.failed_at = order.failed_at if order is not None else None
            HELD_TOTAL.labels(deployment.namespace, deployment.name).inc()
        begun = time.monotonic()
        self._prober.watch(deployment)
        try:
            return await room.wait(wakes=wakes, seconds=max(0.0, visit.until - begun))
        except TimeoutError:
            raise RefusalError(
                503,
                f"No server became ready within {visit.held_seconds + time.monotonic() - begun:.0f} s.",
                reason="HoldTimeout",
                retry_after=_rest(deployment),
            ) from None
        finally:
            seconds = time.monotonic() - begun
            visit.held_seconds += seconds
            HOLD_SECONDS.observe(seconds)

    def _wakes(self, deployment: Deployment, head: Head) -> bool:
        """Whether this is an inference request by somebody who may ask, and asking wakes."""
        order = deployment.order
        route = find_route(head.path)
        if order is None or order.answer != "Hold" or route is None or not route.inference or head.method != "POST":
            return False
        try:
            check_key(order.key_digests, head.raw_headers)
        except RefusalError:
            return False
        return True

    def _no_memory(self, deployment: Deployment, visit: _Visit) -> RefusalError:
        """The refusal of a request that memory is lacking for; the next attempt shall find the deployment awake."""
        if not deployment.pods.usable() and not self.stopping and self._wakes(deployment, visit.head):
            self._waker.ask(deployment)
        return RefusalError(
            503,
            "The gateway holds as many requests of this namespace as it has memory for.",
            reason="Memory",
            retry_after=1 if deployment.pods.usable() else _rest(deployment),
        )


def _order(deployment: Deployment) -> GatewayOrder:
    """The order of a deployment. Raises RefusalError if there is none any more."""
    if deployment.order is None:
        raise RefusalError(503, "The deployment is not served here any more.", reason="Gone")
    return deployment.order


def _rest(deployment: Deployment) -> int:
    return math.ceil(deployment.rest_of_wake())
