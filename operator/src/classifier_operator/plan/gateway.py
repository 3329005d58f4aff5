"""What the gateway is told, and when the Service leads to it."""

from datetime import datetime
from typing import Final

from classifier_operator.plan.awake import Verdict
from classifier_operator.plan.types import (
    ApplyOrder,
    ApplySlice,
    AskGateways,
    DeleteSlice,
    DeploymentAction,
    DeploymentObserved,
)
from classifier_operator.wire.wake import GatewayOrder

_SETTLED_SECONDS: Final = 3.0


def gateway_order(
    observed: DeploymentObserved, verdict: Verdict, message: str, *, off: bool, failed_at: datetime | None = None
) -> GatewayOrder | None:
    """What the gateway does with a request while no pod is ready; None without a port of the gateway.

    Args:
        message: why there are no pods, for who asks.
        off: there are none to wake, whatever the verdict says.
    """
    if observed.wake is None:
        return None
    deployment, keys = observed.deployment, observed.keys
    metadata, wake = deployment.metadata, deployment.spec.wake
    refused = off or verdict.answer == "Refuse"
    return GatewayOrder(
        namespace=metadata.namespace,
        name=metadata.name,
        uid=metadata.uid,
        port=observed.wake.port,
        answer="Refuse" if refused else "Hold",
        reason=verdict.reason,
        message=message[:1024],
        retry_at=verdict.retry_at if refused else None,
        retry_after_seconds=verdict.retry_after_seconds if refused else None,
        failed_at=failed_at,
        key_digests=None if keys is None else keys.digests,
        max_held=wake.max_held,
        hold_seconds=wake.hold_timeout.total_seconds(),
        wake_seconds=deployment.status.wake_seconds,
    )


def gateway_leads(observed: DeploymentObserved) -> bool:
    """Whether the Service leads to a gateway pod that listens: only then may the last pod go for idleness."""
    leading = observed.slice.ips if observed.slice is not None else frozenset()
    return any(gateway.ip in leading for gateway in observed.gateways)


def pods_have_taken_over(observed: DeploymentObserved) -> bool:
    """Whether Kubernetes' own endpoints surely lead to pods that stay.

    After a sleep that was given up at once they may still name pods that are about to go: so a pod must be ready and
    stay, and the deployment must have been awake for a moment. No pod starts faster than that.
    """
    if observed.ready_endpoints == 0 or not any(pod.ready and not pod.deleting for pod in observed.pods):
        return False
    awake = next((each for each in observed.deployment.status.conditions or () if each.type == "Awake"), None)
    if awake is None:
        return True
    settled = (observed.now - awake.last_transition_time).total_seconds() >= _SETTLED_SECONDS
    return awake.status == "True" and settled


def gateway_actions(
    observed: DeploymentObserved, order: GatewayOrder | None, *, sleeps: bool
) -> list[DeploymentAction]:
    """The slice of ours is there whenever Kubernetes' own have no ready endpoint, and before the pods go.

    It goes only when one of Kubernetes' own has one: every other sign of readiness is ahead of them.
    """
    if order is None:
        return []
    actions: list[DeploymentAction] = [ApplyOrder(order)]
    present, gateways = observed.slice, observed.gateways
    if not sleeps and observed.ready_endpoints > 0:
        leaves = present is not None and pods_have_taken_over(observed)
        return [*actions, DeleteSlice(present.uid)] if present is not None and leaves else actions
    if observed.service is None:
        return actions
    if not gateways:
        actions.append(AskGateways())
        return actions  # a slice of before stays: who is led nowhere gets no answer either
    ips = frozenset(gateway.ip for gateway in gateways)
    if present is None or (present.ips, present.port) != (ips, order.port):
        actions.append(ApplySlice(order.port, gateways))
    return actions
