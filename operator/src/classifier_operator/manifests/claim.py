"""The claim that holds the output of a training job."""

from typing import Any

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierTrainingJob
from classifier_operator.api.output import DEFAULT_CLAIM_SIZE, OutputClaim
from classifier_operator.manifests.metadata import object_metadata

Json = dict[str, Any]


def output_claim(job: ClassifierTrainingJob, *, name: str) -> Json:
    """The claim, to be created by POST; it outlives the job unless `whenDeleted` is Delete."""
    chosen = (job.spec.output and job.spec.output.claim) or OutputClaim()
    spec: Json = {
        "accessModes": list(chosen.access_modes or ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": chosen.size or DEFAULT_CLAIM_SIZE}},
    }
    if chosen.storage_class_name is not None:
        spec["storageClassName"] = chosen.storage_class_name
    labels = names.trainer_labels(job.metadata.name)
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": object_metadata(name, job, labels, owned=chosen.when_deleted == "Delete"),
        "spec": spec,
    }
