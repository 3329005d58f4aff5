"""The wake Lease of a deployment: what the gateway shall do, and where it asks for pods."""

from typing import Any

from classifier_operator.wire.wake import ORDER_ANNOTATION, WAKE_LABELS, GatewayOrder

Json = dict[str, Any]


def wake_lease(namespace: str, order: GatewayOrder) -> Json:
    """The Lease, to be applied; its spec is the gateway's alone.

    It stands in the operator's namespace, not the deployment's, so that no owner reference is possible.

    Raises:
        WireError: the order is larger than 64 KiB.
    """
    return {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {
            "name": order.lease_name,
            "namespace": namespace,
            "labels": dict(WAKE_LABELS),
            "annotations": {ORDER_ANNOTATION: order.encode()},
        },
    }
