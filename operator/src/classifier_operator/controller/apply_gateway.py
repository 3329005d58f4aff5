"""Carries out decisions about the gateway: what it is told, and whether the Service of a deployment leads to it."""

from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.controller.keys import Key
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.controller.state import State
from classifier_operator.controller.views import controlled_by
from classifier_operator.errors import KubeError, SpecError
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import ENDPOINT_SLICES, LEASES
from classifier_operator.kube.write import Writer
from classifier_operator.manifests.endpointslice import GatewayEndpoint, gateway_slices
from classifier_operator.manifests.lease import wake_lease
from classifier_operator.plan.types import ApplySlice
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.wake import GatewayOrder, lease_name


class WakeLeases:
    """Writes the operator's half of the wake Leases."""

    def __init__(self, writer: Writer, state: State, ports: PortAllocator, *, namespace: str) -> None:
        self._writer = writer
        self._state = state
        self._ports = ports
        self._namespace = namespace

    def get(self, uid: str) -> Json | None:
        """The Lease of the deployment with this UID, as it was last seen."""
        return self._state[LEASES].get(self._namespace, lease_name(uid))

    async def apply(self, order: GatewayOrder) -> None:
        """Makes the Lease say this, if it does not already. Raises SpecError and KubeError."""
        current = self.get(order.uid)
        try:
            manifest = wake_lease(self._namespace, order)
        except WireError as error:
            raise SpecError("InvalidSpec", str(error)) from error
        (text,) = manifest["metadata"]["annotations"].values()
        if current is not None and current["order"] == text:
            return
        await self._writer.apply(LEASES, manifest, uid=current["metadata"]["uid"] if current is not None else None)
        self._ports.named(order.uid, order.port)

    async def delete(self, lease: Json) -> None:
        """Deletes the Lease; that it is gone is heard from the watch."""
        metadata = lease["metadata"]
        try:
            await self._writer.delete(LEASES, self._namespace, metadata["name"], uid=metadata["uid"])
        except KubeError as error:
            if not error.not_found:
                raise


def slices_of(deployment: ClassifierDeployment, action: ApplySlice) -> list[Json]:
    """The manifests of our own EndpointSlices."""
    endpoints = (GatewayEndpoint(each.ip, each.node) for each in action.gateways)
    return gateway_slices(deployment, port=action.port, endpoints=endpoints)


async def delete_slices(
    writer: Writer, state: State, key: Key, owner_uid: str, *, but: frozenset[str] = frozenset()
) -> None:
    """Deletes our own EndpointSlices of a deployment, but for those named."""
    for each in state.children(ENDPOINT_SLICES, key):
        metadata = each["metadata"]
        if not controlled_by(each, owner_uid) or metadata["name"] in but or "deletionTimestamp" in metadata:
            continue
        try:
            await writer.delete(ENDPOINT_SLICES, key.namespace, metadata["name"], uid=metadata["uid"])
        except KubeError as error:
            if not error.not_found:
                raise
