"""The PodDisruptionBudget of a deployment with several pods."""

from typing import Any

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.manifests.metadata import object_metadata

Json = dict[str, Any]


def disruption_budget(deployment: ClassifierDeployment) -> Json:
    """The budget, to be applied: a drain of nodes takes one pod at a time, and those at once that do not serve."""
    name = deployment.metadata.name
    labels = names.server_labels(name)
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": object_metadata(names.deployment_name(name), deployment, labels),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": labels},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
