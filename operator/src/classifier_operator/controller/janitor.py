"""What is left of deployments that are gone: their wake Leases, which keep their ports from being given away."""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from classifier_operator.controller.apply_gateway import WakeLeases
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.controller.state import State
from classifier_operator.errors import KubeError, SpecError
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import DEPLOYMENTS, LEASES
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.wake import GatewayOrder, lease_name

logger = logging.getLogger(__name__)

GONE: Final = "Gone"
_PAUSE_SECONDS: Final = 5.0
_PREFIX: Final = lease_name("")


class LeaseJanitor:
    """Tells the gateway of each deployment that is gone, and deletes its Lease when its port has rested.

    Args:
        rest_seconds: how long a port rests after its deployment was first seen to be gone.
    """

    def __init__(
        self,
        state: State,
        leases: WakeLeases,
        ports: PortAllocator,
        *,
        rest_seconds: float,
        monotonic: Callable[[], float],
    ) -> None:
        self._state = state
        self._leases = leases
        self._ports = ports
        self._rest_seconds = rest_seconds
        self._monotonic = monotonic
        self._gone_since: dict[str, float] = {}

    async def run(self) -> None:
        """Sweeps for ever. To be started when all lists are complete: else whatever is not listed yet seems gone."""
        while True:
            await self.sweep()
            await asyncio.sleep(min(_PAUSE_SECONDS, self._rest_seconds))

    async def sweep(self) -> None:
        """One look at all Leases and ports."""
        living = {each["metadata"]["uid"] for each in self._state[DEPLOYMENTS].values()}
        leases = {
            each["metadata"]["name"].removeprefix(_PREFIX): each
            for each in self._state[LEASES].values()
            if each["metadata"]["name"].startswith(_PREFIX)
        }
        gone = (self._ports.uids() | leases.keys()) - living
        for uid in self._gone_since.keys() - gone:
            del self._gone_since[uid]
        now = self._monotonic()
        for uid in sorted(gone):
            since = self._gone_since.setdefault(uid, now)
            try:
                if now - since >= self._rest_seconds:
                    await self._bury(uid, leases.get(uid))
                elif uid in leases:
                    await self._tell(leases[uid])
            except (KubeError, SpecError) as error:
                logger.warning("The wake Lease of the deployment with UID %s, which is gone, stays: %s", uid, error)

    async def _bury(self, uid: str, lease: Json | None) -> None:
        if lease is not None:
            await self._leases.delete(lease)
        # As long as the Lease is seen its port is taken all the same.
        self._ports.forget(uid)

    async def _tell(self, lease: Json) -> None:
        try:
            order = GatewayOrder.decode(lease["order"] or "")
        except WireError:
            return  # no gateway can read it either
        if order.reason == GONE:
            return
        told = {
            "answer": "Refuse",
            "reason": GONE,
            "message": f"ClassifierDeployment {order.name} in namespace {order.namespace} is gone.",
            "retry_at": None,
            "retry_after_seconds": None,
            "failed_at": None,
        }
        await self._leases.apply(order.model_copy(update=told))
