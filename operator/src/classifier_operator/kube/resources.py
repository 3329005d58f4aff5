"""The resources of the API server that the operator touches, and their addresses."""

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from classifier_operator.api import names


@dataclass(frozen=True, slots=True)
class Resource:
    """A kind of namespaced object, as the API server names it."""

    api_version: str
    kind: str
    plural: str

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The path of one object, of a namespace's objects, or (without namespace) of all objects."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        parts = [root]
        if namespace is not None:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)


TRAINING_JOBS: Final = Resource(names.API_VERSION, names.TRAINING_JOB_KIND, names.TRAINING_JOB_PLURAL)
DEPLOYMENTS: Final = Resource(names.API_VERSION, names.DEPLOYMENT_KIND, names.DEPLOYMENT_PLURAL)

BATCH_JOBS: Final = Resource("batch/v1", "Job", "jobs")
PODS: Final = Resource("v1", "Pod", "pods")
APP_DEPLOYMENTS: Final = Resource("apps/v1", "Deployment", "deployments")
SERVICES: Final = Resource("v1", "Service", "services")
CLAIMS: Final = Resource("v1", "PersistentVolumeClaim", "persistentvolumeclaims")
ENDPOINT_SLICES: Final = Resource("discovery.k8s.io/v1", "EndpointSlice", "endpointslices")
CONFIG_MAPS: Final = Resource("v1", "ConfigMap", "configmaps")
SECRETS: Final = Resource("v1", "Secret", "secrets")
DISRUPTION_BUDGETS: Final = Resource("policy/v1", "PodDisruptionBudget", "poddisruptionbudgets")
LEASES: Final = Resource("coordination.k8s.io/v1", "Lease", "leases")

OWN_KINDS: Final = (TRAINING_JOBS, DEPLOYMENTS)
CHILDREN: Final = (BATCH_JOBS, PODS, APP_DEPLOYMENTS, SERVICES, ENDPOINT_SLICES, CLAIMS, DISRUPTION_BUDGETS)
