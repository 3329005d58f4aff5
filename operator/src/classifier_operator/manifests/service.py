"""The Service of a ClassifierDeployment."""

from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.manifests.metadata import object_metadata

Json = dict[str, Any]

PORT_NAME: Final = "http"


def server_service(deployment: ClassifierDeployment) -> Json:
    """The Service, to be applied."""
    chosen = deployment.spec.service
    labels = names.server_labels(deployment.metadata.name)
    metadata = object_metadata(names.service_name(deployment.metadata.name), deployment, labels)
    if chosen.annotations:
        metadata["annotations"] = dict(chosen.annotations)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata,
        "spec": {
            "type": chosen.type,
            "selector": labels,
            "ports": [{"name": PORT_NAME, "port": chosen.port, "targetPort": "http", "protocol": "TCP"}],
        },
    }
