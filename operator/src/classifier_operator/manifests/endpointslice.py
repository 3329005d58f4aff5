"""Our own EndpointSlices of a Service: they lead it to the gateway while no server pod is ready."""

import ipaddress
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.manifests.metadata import object_metadata
from classifier_operator.manifests.service import PORT_NAME

Json = dict[str, Any]

_LABEL_OF_SERVICE: Final = "kubernetes.io/service-name"
_LABEL_OF_MANAGER: Final = "endpointslice.kubernetes.io/managed-by"
_SUFFIXES: Final = {4: "", 6: "-ipv6"}


class GatewayEndpoint(NamedTuple):
    """Where a gateway pod is reached."""

    ip: str
    node: str


def gateway_slices(deployment: ClassifierDeployment, *, port: int, endpoints: Iterable[GatewayEndpoint]) -> list[Json]:
    """The EndpointSlices, to be applied: one for each IP family that occurs, since a slice holds but one.

    Args:
        port: port of the gateway that belongs to this deployment.
        endpoints: gateway pods that listen there.
    """
    families: dict[int, list[GatewayEndpoint]] = {}
    for endpoint in sorted(endpoints):
        families.setdefault(ipaddress.ip_address(endpoint.ip).version, []).append(endpoint)
    return [_slice(deployment, version, port, found) for version, found in sorted(families.items())]


def _slice(deployment: ClassifierDeployment, version: int, port: int, endpoints: list[GatewayEndpoint]) -> Json:
    name = deployment.metadata.name
    service = names.service_name(name)
    labels = {
        **names.server_labels(name),
        _LABEL_OF_SERVICE: service,
        # Not the name that Kubernetes' own controller goes by: it deletes what it has not made.
        _LABEL_OF_MANAGER: names.MANAGED_BY,
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": object_metadata(f"{service}-gateway{_SUFFIXES[version]}", deployment, labels),
        "addressType": f"IPv{version}",
        # Endpoints of one Service are put together by the *name* of their port: the numbers may differ.
        "ports": [{"name": PORT_NAME, "port": port, "protocol": "TCP"}],
        "endpoints": [_endpoint(each) for each in endpoints],
    }


def _endpoint(endpoint: GatewayEndpoint) -> Json:
    body: Json = {
        "addresses": [endpoint.ip],
        "conditions": {"ready": True, "serving": True, "terminating": False},
    }
    if endpoint.node:
        body["nodeName"] = endpoint.node
    return body
