"""Metadata of children: labels, and the owner reference by which the garbage collector finds them."""

from collections.abc import Mapping
from typing import Any

from classifier_operator.api import names
from classifier_operator.api.kinds import ClassifierDeployment, ClassifierTrainingJob
from classifier_operator.api.pod_template import PodTemplate

Json = dict[str, Any]


def owner_reference(owner: ClassifierTrainingJob | ClassifierDeployment) -> Json:
    """The controller reference to one of our objects."""
    kind = names.TRAINING_JOB_KIND if isinstance(owner, ClassifierTrainingJob) else names.DEPLOYMENT_KIND
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "name": owner.metadata.name,
        "uid": owner.metadata.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def object_metadata(
    name: str, owner: ClassifierTrainingJob | ClassifierDeployment, labels: Mapping[str, str], *, owned: bool = True
) -> Json:
    """Metadata of a child; without an owner reference where the child outlives its owner."""
    metadata: Json = {"name": name, "namespace": owner.metadata.namespace, "labels": dict(labels)}
    if owned:
        metadata["ownerReferences"] = [owner_reference(owner)]
    return metadata


def pod_metadata(template: PodTemplate | None, labels: Mapping[str, str]) -> Json:
    """Labels and annotations of pods: the user's, and ours over them."""
    chosen = template.metadata if template else None
    metadata: Json = {"labels": {**((chosen and chosen.labels) or {}), **labels}}
    if chosen and chosen.annotations:
        metadata["annotations"] = dict(chosen.annotations)
    return metadata
