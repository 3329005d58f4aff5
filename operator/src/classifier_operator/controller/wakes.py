"""Remembers when deployments were asked for, and how long their pods take to come."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from classifier_operator.controller.clock import Clock
from classifier_operator.plan.types import WakeView

_RECENT_SECONDS: Final = 30.0
"""At the start a Lease that was renewed within this time counts as renewed now: the clocks of two machines differ."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What was seen just now.

    Attributes:
        began: pods were asked for where there were none.
        took: seconds from that until the first of them was ready.
    """

    began: bool = False
    took: float | None = None


@dataclass(slots=True)
class _Memory:
    renewed: str | None = None
    asked_at: float | None = None
    wanted: int | None = None
    began_at: float | None = None
    took: float | None = None


class Wakes:
    """One memory for each deployment, by UID; all of it may be lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._memories: dict[str, _Memory] = {}

    def see(self, uid: str, *, renewed: str | None, wanted: int | None, ready_endpoints: int) -> Turn:
        """Takes in what is observed.

        Args:
            renewed: spec.renewTime of the wake Lease, by which a gateway asks for pods.
            wanted: number of pods that the Deployment asks for; None: there is no Deployment.
            ready_endpoints: pods that Kubernetes leads the Service to.
        """
        now = self._clock.monotonic()
        memory = self._memories.get(uid)
        if memory is None:
            memory = self._memories[uid] = _Memory(renewed=renewed)
            if renewed is not None and self._is_recent(renewed):
                memory.asked_at = now
        elif renewed is not None and renewed != memory.renewed:
            memory.renewed, memory.asked_at = renewed, now
        # Where there is no Deployment yet its first start is none from sleep: it may pull an image and fetch a model.
        began = memory.wanted == 0 and bool(wanted) and ready_endpoints == 0
        memory.wanted = wanted
        if began:
            memory.began_at, memory.took = now, None
        elif not wanted:
            memory.began_at = None
        elif memory.began_at is not None and ready_endpoints > 0:
            memory.took, memory.began_at = now - memory.began_at, None
            return Turn(took=memory.took)
        return Turn(began=began)

    def view(self, uid: str, port: int) -> WakeView:
        """What is known of a deployment that has been seen."""
        memory = self._memories.get(uid) or _Memory()
        asked = memory.asked_at
        since = None if asked is None else self._clock.monotonic() - asked
        return WakeView(port=port, since_asked=since, took=memory.took)

    def forget(self, uid: str) -> None:
        self._memories.pop(uid, None)

    def _is_recent(self, renewed: str) -> bool:
        try:
            at = datetime.fromisoformat(renewed)
        except ValueError:
            return False
        return at.tzinfo is not None and abs((self._clock.now() - at).total_seconds()) <= _RECENT_SECONDS
