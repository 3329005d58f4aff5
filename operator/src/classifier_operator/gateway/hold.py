"""Where requests wait for a pod of one deployment, first come, first served."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from classifier_operator.gateway.pods import Pod, PodGroup


class _Ticket:
    __slots__ = ("pod", "wakes")

    def __init__(self, future: asyncio.Future[Pod | None], *, wakes: bool) -> None:
        self.pod: Final = future
        self.wakes: Final = wakes


class WaitingRoom:
    """The requests that wait. `dispatch` is to be called whenever a pod may have become usable or has room again.

    Args:
        on_count: called with how many wait, whenever that changes.
    """

    def __init__(self, pods: PodGroup, *, on_count: Callable[[int], None] = lambda _: None) -> None:
        self._pods = pods
        self._on_count = on_count
        self._tickets: OrderedDict[_Ticket, None] = OrderedDict()
        self._waking = 0
        self._had_pods = False

    def __len__(self) -> int:
        return len(self._tickets)

    @property
    def waking(self) -> int:
        """How many of those who wait wake the deployment."""
        return self._waking

    def take(self) -> Pod | None:
        """A pod at once, unless there is none with room or others wait."""
        return None if self._tickets else self._pods.take()

    async def wait(self, *, wakes: bool, seconds: float) -> Pod | None:
        """Waits for a pod, which counts the request as its own from then on.

        Args:
            wakes: it waits for the deployment to wake, and not just for a pod to have room.

        Returns:
            The pod; None: what was decided about the request no longer holds, decide anew.

        Raises:
            TimeoutError: none came in time.
        """
        ticket = _Ticket(asyncio.get_running_loop().create_future(), wakes=wakes)
        self._tickets[ticket] = None
        self._waking += wakes
        self._on_count(len(self._tickets))
        self.dispatch()
        try:
            async with asyncio.timeout(seconds):
                return await ticket.pod
        except BaseException:
            # The caller may have left, or the time run out, at the very moment in which a pod was found.
            if ticket.pod.done() and not ticket.pod.cancelled() and (pod := ticket.pod.result()) is not None:
                self._pods.give(pod)
            raise
        finally:
            self._drop(ticket)

    def dispatch(self) -> None:
        """Gives those who wait the pods that have room."""
        if self._tickets:
            while self._tickets and (pod := self._pods.take()) is not None:
                ticket = next(iter(self._tickets))
                self._drop(ticket)
                if ticket.pod.done():
                    self._pods.give(pod)  # its caller has just left
                else:
                    ticket.pod.set_result(pod)
            has_pods = self._pods.usable()
            if self._had_pods and not has_pods:
                self.reconsider()
            self._had_pods = has_pods
        else:
            self._had_pods = False

    def reconsider(self) -> None:
        """Lets all who wait be decided about anew."""
        tickets = list(self._tickets)
        for ticket in tickets:
            self._drop(ticket)
            if not ticket.pod.done():
                ticket.pod.set_result(None)

    def _drop(self, ticket: _Ticket) -> None:
        if ticket in self._tickets:
            del self._tickets[ticket]
            self._waking -= ticket.wakes
            self._on_count(len(self._tickets))
