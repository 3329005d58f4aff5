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


def rendezvous_environment(job_name: str, namespace: str, *, nodes: int, gpus: int) -> list[Json]:
    """The variables by which the processes of a training find each other; none where there is only one process.

    With one GPU a pod, its only process is told at once who it is. With several, the trainer starts a process for each
    and is told what torchrun would be told.
    """
    index = {"valueFrom": {"fieldRef": {"fieldPath": INDEX_FIELD}}}
    address = {"value": f"{job_name}-0.{job_name}.{namespace}.svc"}
    port, count, processes = {"value": str(PORT)}, {"value": str(nodes)}, {"value": str(gpus)}
    variables: dict[str, Json] = {}
    if nodes > 1 and gpus == 1:
        variables = {"MASTER_ADDR": address, "MASTER_PORT": port, "RANK": index, "WORLD_SIZE": count}
    elif nodes > 1:
        variables = {
            "PET_MASTER_ADDR": address,
            "PET_MASTER_PORT": port,
            "PET_NODE_RANK": index,
            "PET_NNODES": count,
            "PET_NPROC_PER_NODE": processes,
        }
    elif gpus > 1:
        variables = {"PET_NPROC_PER_NODE": processes}
    return [{"name": name, **value} for name, value in variables.items()]


def with_variables(pod: Json, environment: list[Json]) -> Json:
    """The PodSpec with these variables over all others of the same names."""
    ours = {each["name"] for each in environment}
    containers = [
        {**each, "env": [*environment, *(variable for variable in each["env"] if variable["name"] not in ours)]}
        for each in pod["containers"]
    ]
    return {**pod, "containers": containers}


def indexed(nodes: int, pod: Json, *, service: str) -> tuple[Json, Json]:
    """What the Job and its PodSpec need so that each of several pods has a number and a name."""
    if nodes == 1:
        return {}, pod
    return {"completionMode": "Indexed"}, {**pod, "subdomain": service}
