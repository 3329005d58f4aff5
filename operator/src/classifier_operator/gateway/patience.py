"""How long a caller waits, and what one is told who shall come again. Pure."""

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from multidict import CIMultiDictProxy

from classifier_operator.wire.wake import GatewayOrder

UNKNOWN_WAKE_SECONDS: Final = 10.0
"""Expected of a deployment that has never been woken."""


@dataclass(frozen=True, slots=True)
class Patience:
    """What a request says of waiting.

    Attributes:
        holds: it may be held at all.
        seconds: it waits no longer than this; None: as long as the deployment holds.
    """

    holds: bool = True
    seconds: float | None = None

    def suffices(self, expected: float) -> bool:
        """Whether it waits for a wake that takes `expected` seconds more."""
        return self.holds and (self.seconds is None or self.seconds >= expected)


def patience(headers: CIMultiDictProxy[str]) -> Patience:
    """Reads `Prefer`, `X-Wait-For-Model` and `X-Scale-Up-Timeout`; what makes no sense is passed over."""
    preferences = (part.partition(";")[0] for value in headers.getall("Prefer", ()) for part in value.split(","))
    if any(each.strip().lower() == "respond-async" for each in preferences):
        return Patience(holds=False)
    if headers.get("X-Wait-For-Model", "").strip().lower() in ("false", "0"):
        return Patience(holds=False)
    try:
        seconds = float(headers.get("X-Scale-Up-Timeout", "").strip().removesuffix("s"))
    except ValueError:
        return Patience()
    return Patience(seconds=seconds) if math.isfinite(seconds) and seconds >= 0 else Patience()


def rest_of_wake(wake_seconds: float | None, elapsed: float) -> float:
    """Seconds until a wake that began `elapsed` seconds ago is expected to be over: at least 1."""
    return max(1.0, (UNKNOWN_WAKE_SECONDS if wake_seconds is None else wake_seconds - elapsed))


def refused_until(order: GatewayOrder, now: datetime) -> int | None:
    """`Retry-After` of an order that refuses; None: there is no use in trying again."""
    if order.retry_at is not None:
        return max(1, math.ceil((order.retry_at - now).total_seconds()))
    return None if order.retry_after_seconds is None else max(1, order.retry_after_seconds)
