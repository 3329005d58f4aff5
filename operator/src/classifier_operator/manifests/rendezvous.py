"""How the nodes of one training job find each other: an Indexed Job, a headless Service, and torchrun's variables."""

from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.manifests.metadata import object_metadata

Json = dict[str, Any]

PORT: Final = 29500
"""torchrun's own default."""
JOB_NAME_LABEL: Final = "batch.kubernetes.io/job-name"
INDEX_FIELD: Final = "metadata.annotations['batch.kubernetes.io/job-completion-index']"


def headless_service(job: ClassifierTrainingJob, *, name: str) -> Json:
    """The Service, to be created by POST, that gives each pod of the Job `name` a name in DNS."""
    labels = names.trainer_labels(job.metadata.name)
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": object_metadata(name, job, labels),
        "spec": {
            "clusterIP": "None",
            "selector": {**labels, JOB_NAME_LABEL: name},
            "ports": [{"name": "rendezvous", "port": PORT, "protocol": "TCP"}],
            # The nodes look for the first one while it starts.
            "publishNotReadyAddresses": True,
        },
    }


def rendezvous_environment(job_name: str, namespace: str, nodes: int) -> list[Json]:
    """The variables by which torch.distributed finds the others; one process a pod."""
    return [
        {"name": "MASTER_ADDR", "value": f"{job_name}-0.{job_name}.{namespace}.svc"},
        {"name": "MASTER_PORT", "value": str(PORT)},
        {"name": "RANK", "valueFrom": {"fieldRef": {"fieldPath": INDEX_FIELD}}},
        {"name": "WORLD_SIZE", "value": str(nodes)},
    ]


def indexed(body: Json, *, service: str, environment: list[Json]) -> Json:
    """The specification of the Job with a number and a name for each pod, and the variables over all others."""
    template = body["template"]
    pod: Json = template["spec"]
    ours = {each["name"] for each in environment}
    containers = [
        {**each, "env": [*environment, *(variable for variable in each["env"] if variable["name"] not in ours)]}
        for each in pod["containers"]
    ]
    return {
        **body,
        "completionMode": "Indexed",
        "template": {**template, "spec": {**pod, "subdomain": service, "containers": containers}},
    }
