"""Names of the API group, of labels, and of the children of each object: all of them can be foretold."""

import hashlib
from typing import Final

GROUP: Final = "classifiers.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"
CATEGORY: Final = "classifiers"

TRAINING_JOB_KIND: Final = "ClassifierTrainingJob"
TRAINING_JOB_PLURAL: Final = "classifiertrainingjobs"
TRAINING_JOB_SINGULAR: Final = "classifiertrainingjob"
TRAINING_JOB_SHORT: Final = "ctj"

DEPLOYMENT_KIND: Final = "ClassifierDeployment"
DEPLOYMENT_PLURAL: Final = "classifierdeployments"
DEPLOYMENT_SINGULAR: Final = "classifierdeployment"
DEPLOYMENT_SHORT: Final = "cdep"

FIELD_MANAGER: Final = "classifier-operator"

MANAGED_BY_LABEL: Final = "app.kubernetes.io/managed-by"
MANAGED_BY: Final = "classifier-operator"
MANAGED_BY_SELECTOR: Final = f"{MANAGED_BY_LABEL}={MANAGED_BY}"
COMPONENT_LABEL: Final = "app.kubernetes.io/component"
TRAINER_COMPONENT: Final = "trainer"
SERVER_COMPONENT: Final = "server"
TRAINING_JOB_LABEL: Final = f"{GROUP}/training-job"
DEPLOYMENT_LABEL: Final = f"{GROUP}/deployment"

WAKE_ANNOTATION: Final = f"{GROUP}/wake-requested-at"
SLEEP_ANNOTATION: Final = f"{GROUP}/sleep-requested-at"
"""Annotations by which a person asks a ClassifierDeployment to wake or to sleep: RFC 3339 times. The later one counts,
as if a request had been answered then, or none since."""

MAX_NAME_LENGTH: Final = 48
"""Longest `metadata.name`: leaves room in a label value (63) for the hash, and for the suffix that Kubernetes adds to
the names of pods."""

_HASH_LENGTH: Final = 8


def uid_hash(uid: str) -> str:
    """Eight hexadecimal digits of the object's UID, so that a later object of the same name gets another Job."""
    return hashlib.sha256(uid.encode()).hexdigest()[:_HASH_LENGTH]


def job_name(name: str, uid: str) -> str:
    """Name of the batch Job of a ClassifierTrainingJob."""
    return f"{name}-{uid_hash(uid)}"


def claim_name(name: str) -> str:
    """Name of the PersistentVolumeClaim that the operator makes when `output.claim.name` is absent."""
    return f"{name}-output"


def deployment_name(name: str) -> str:
    """Name of the Deployment of a ClassifierDeployment."""
    return name


def service_name(name: str) -> str:
    """Name of the Service of a ClassifierDeployment."""
    return name


def trainer_labels(name: str) -> dict[str, str]:
    """Labels of every child of a ClassifierTrainingJob; also its selector."""
    return {MANAGED_BY_LABEL: MANAGED_BY, COMPONENT_LABEL: TRAINER_COMPONENT, TRAINING_JOB_LABEL: name}


def server_labels(name: str) -> dict[str, str]:
    """Labels of every child of a ClassifierDeployment; also the selector of its pods."""
    return {MANAGED_BY_LABEL: MANAGED_BY, COMPONENT_LABEL: SERVER_COMPONENT, DEPLOYMENT_LABEL: name}
