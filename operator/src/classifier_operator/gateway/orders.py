"""Orders out of the wake Leases: which deployments there are, and what is to be done for each."""

import logging
from collections.abc import Callable

from classifier_operator.gateway.deployment import Deployment
from classifier_operator.gateway.pods import PodDirectory
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import Resource
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.wake import GatewayOrder

logger = logging.getLogger(__name__)


class Orders:
    """The deployments by Lease; `seen` is the listener of the store of Leases.

    Args:
        on_change: called with a deployment whose order is new, changed or gone.
    """

    def __init__(self, directory: PodDirectory, on_change: Callable[[Deployment], None]) -> None:
        self._directory = directory
        self._on_change = on_change
        self._deployments: dict[str, Deployment] = {}

    def __len__(self) -> int:
        return len(self._deployments)

    def deployments(self) -> list[Deployment]:
        """Every deployment that there is an order for."""
        return list(self._deployments.values())

    def seen(self, _: Resource, old: Json | None, new: Json | None) -> None:
        """A Lease came, changed or went."""
        value = new or old
        if value is None:
            return
        name: str = value["metadata"]["name"]
        text = new.get("order") if new is not None else None
        if text is None:
            self._taken_back(name)
        elif old is None or old.get("order") != text:  # else only the time of a renewal has changed
            self._given(name, text)

    def _given(self, name: str, text: str) -> None:
        try:
            order = GatewayOrder.decode(text)
        except WireError as error:
            logger.warning("The order in Lease %s cannot be read, the one before it is kept: %s", name, error)
            return
        if order.lease_name != name:
            logger.warning("The order in Lease %s is for another deployment and is passed over", name)
            return
        deployment = self._deployments.get(name)
        if deployment is None:
            deployment = self._deployments[name] = Deployment(order, self._directory)
        else:
            deployment.obey(order)
        self._on_change(deployment)

    def _taken_back(self, name: str) -> None:
        deployment = self._deployments.pop(name, None)
        if deployment is not None:
            deployment.obey(None)
            self._on_change(deployment)
