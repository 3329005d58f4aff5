"""The wake Lease: one for each deployment, in the operator's namespace.

The operator writes the annotation: what the gateway shall do with a request. The gateway writes `spec.renewTime`, again
and again while a request is held, and that alone wakes the deployment.
"""

from datetime import datetime
from typing import Annotated, Final, Literal

from pydantic import Field

from classifier_operator.api.names import COMPONENT_LABEL, GROUP, MANAGED_BY, MANAGED_BY_LABEL
from classifier_operator.wire.model import WIRE_VERSION, Message

ORDER_ANNOTATION: Final = f"{GROUP}/gateway"
WAKE_LABELS: Final = {MANAGED_BY_LABEL: MANAGED_BY, COMPONENT_LABEL: "wake"}
WAKE_SELECTOR: Final = ",".join(f"{name}={value}" for name, value in WAKE_LABELS.items())
"""By which wake Leases are found among the Leases of the operator's namespace."""
GATEWAY_FIELD_MANAGER: Final = "classifier-gateway"
RENEW_SECONDS: Final = 2.0
"""The gateway renews the Lease so often while it holds a request of the deployment."""
FIRST_PORT: Final = 10_000
LAST_PORT: Final = 29_999
"""The gateway's ports, below those that Linux gives to outgoing connections."""


class GatewayOrder(Message):
    """What the gateway does for one deployment while no pod of it is ready."""

    version: str = WIRE_VERSION
    namespace: str
    name: str
    uid: str
    port: int = Field(ge=FIRST_PORT, le=LAST_PORT)
    """The gateway listens here for this deployment, and for no other."""
    answer: Literal["Hold", "Refuse"]
    """Hold: a request wakes the deployment and waits. Refuse: 503."""
    reason: str
    """Why there are no pods, in a word, e.g. Idle, OutsideSchedule, Suspended."""
    message: str
    """The same in a sentence, for the caller."""
    retry_at: datetime | None = None
    """Refuse: when trying again may help; Retry-After is counted from it."""
    retry_after_seconds: int | None = None
    """Refuse: Retry-After where no time is known; absent both: there is no use in trying again."""
    failed_at: datetime | None = None
    """When the last wake failed: who was held until then gets 503 with the message; who comes later is held anew."""
    key_digests: tuple[Annotated[str, Field(pattern="^[0-9a-f]{64}$")], ...] | None = None
    """SHA-256 of each key; absent: open to all; empty: closed to all."""
    max_held: int
    """Requests that one gateway pod holds for this deployment."""
    hold_seconds: float
    """How long a request is held at most."""
    wake_seconds: float | None = None
    """How long the last wake took."""

    @property
    def lease_name(self) -> str:
        """Name of the Lease that carries the order."""
        return lease_name(self.uid)


def lease_name(uid: str) -> str:
    """Name of the wake Lease of the deployment with this UID."""
    return f"wake-{uid}"
