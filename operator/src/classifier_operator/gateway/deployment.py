"""One deployment, as this gateway knows it: its order, its pods, who waits for it, and since when it wakes."""

import time
from collections.abc import Callable
from typing import Final

from classifier_operator.gateway.hold import WaitingRoom
from classifier_operator.gateway.metrics import HELD, HELD_TOTAL
from classifier_operator.gateway.patience import rest_of_wake
from classifier_operator.gateway.pods import PodDirectory
from classifier_operator.wire.wake import GatewayOrder

_FORGOTTEN_SECONDS: Final = 60.0
"""A wake that nobody asked for again in this time is over, whatever came of it."""


class Deployment:
    """Outlives its order by the time for which its port stays open.

    Attributes:
        order: what is to be done; None: the operator has taken it back.
        hold_seconds: of the last order there was.
    """

    def __init__(self, order: GatewayOrder, directory: PodDirectory) -> None:
        self.uid: Final = order.uid
        self.namespace: Final = order.namespace
        self.name: Final = order.name
        self.lease_name: Final = order.lease_name
        self.order: GatewayOrder | None = order
        self.hold_seconds = order.hold_seconds
        self._directory = directory
        self._on_pods: Callable[[], None] = lambda: None
        self.pods: Final = directory.follow(self.namespace, self.name, self._pods_changed)
        self.room: Final = WaitingRoom(self.pods, on_count=self._count)
        self._waking_since: float | None = None
        self._asked_at = 0.0

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def close(self) -> None:
        """Nothing listens for it any more."""
        self._directory.unfollow(self.namespace, self.name, self._pods_changed)
        HELD_TOTAL.remove(self.namespace, self.name)

    def on_pods(self, changed: Callable[[], None]) -> None:
        """Calls `changed` from now on when something about the pods changes."""
        self._on_pods = changed

    def obey(self, order: GatewayOrder | None) -> None:
        """Takes a new order, and lets those who wait be decided about anew where it says something else."""
        old, self.order = self.order, order
        if order is not None:
            self.hold_seconds = order.hold_seconds
        if _decides(old) != _decides(order):
            if old is not None and order is not None and old.failed_at != order.failed_at:
                self._waking_since = None
            if not self.pods.usable():
                self.room.reconsider()

    def asked(self) -> None:
        """Somebody asked for pods, just now."""
        now = time.monotonic()
        if self._waking_since is None or now - self._asked_at > _FORGOTTEN_SECONDS:
            self._waking_since = now
        self._asked_at = now

    @property
    def waking(self) -> bool:
        """Whether somebody asked for pods, a short while ago, and none has come yet."""
        return self._waking_since is not None and time.monotonic() - self._asked_at <= _FORGOTTEN_SECONDS

    def rest_of_wake(self) -> float:
        """Seconds until it is expected to be awake, if it is woken now."""
        elapsed = time.monotonic() - self._waking_since if self._waking_since is not None and self.waking else 0.0
        return rest_of_wake(self.order.wake_seconds if self.order is not None else None, elapsed)

    def _count(self, held: int) -> None:
        if held:
            HELD.labels(self.namespace, self.name).set(held)
        else:
            HELD.remove(self.namespace, self.name)

    def _pods_changed(self) -> None:
        self.room.dispatch()
        if self._waking_since is not None and self.pods.usable():
            self._waking_since = None
        self._on_pods()


def _decides(order: GatewayOrder | None) -> tuple[object, ...] | None:
    """What of an order decides about those who wait."""
    return None if order is None else (order.answer, order.failed_at, order.key_digests)
