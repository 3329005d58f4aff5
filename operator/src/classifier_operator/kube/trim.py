"""Cuts objects down to the fields that are used: what is watched is kept in memory."""

import json
from typing import Any, Final

from classifier_operator.api import names
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import (
    APP_DEPLOYMENTS,
    BATCH_JOBS,
    CLAIMS,
    DEPLOYMENTS,
    DISRUPTION_BUDGETS,
    ENDPOINT_SLICES,
    LEASES,
    PODS,
    SERVICES,
    TRAINING_JOBS,
    Resource,
)
from classifier_operator.wire.wake import ORDER_ANNOTATION

_METADATA: Final = (
    "name",
    "namespace",
    "uid",
    "generation",
    "resourceVersion",
    "creationTimestamp",
    "deletionTimestamp",
)
SERVICE_NAME_LABEL: Final = "kubernetes.io/service-name"
SLICE_MANAGER_LABEL: Final = "endpointslice.kubernetes.io/managed-by"
INDEX_LABEL: Final = "batch.kubernetes.io/job-completion-index"
_OWN_LABELS: Final = (
    names.MANAGED_BY_LABEL,
    names.COMPONENT_LABEL,
    names.TRAINING_JOB_LABEL,
    names.DEPLOYMENT_LABEL,
    SERVICE_NAME_LABEL,
    SLICE_MANAGER_LABEL,
    "pod-template-hash",
    INDEX_LABEL,
)
_TYPES_OF_ORDER: Final = {"namespace": str, "name": str, "uid": str, "port": int}
_LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"


def trim(resource: Resource, value: Json) -> Json:
    """The object with only the fields that the operator reads."""
    return _TRIMS[resource](value)


def owner_index(value: Json) -> tuple[str, ...]:
    """Index of children: the object of ours that their labels name."""
    labels = value["metadata"].get("labels") or {}
    namespace = value["metadata"]["namespace"]
    found = []
    if job := labels.get(names.TRAINING_JOB_LABEL):
        found.append(owner_value(names.TRAINING_JOB_KIND, namespace, job))
    if deployment := labels.get(names.DEPLOYMENT_LABEL):
        found.append(owner_value(names.DEPLOYMENT_KIND, namespace, deployment))
    return tuple(found)


def lease_index(value: Json) -> tuple[str, ...]:
    """Index of wake Leases: the deployment that their order is for."""
    deployment = value.get("deployment")
    if deployment is None:
        return ()
    return (owner_value(names.DEPLOYMENT_KIND, deployment["namespace"], deployment["name"]),)


def owner_value(kind: str, namespace: str, name: str) -> str:
    """The value under which `owner_index` finds the children of an object."""
    return f"{kind}/{namespace}/{name}"


def reference_index(value: Json) -> tuple[str, ...]:
    """Index of the two kinds: the training job whose checkpoint they name."""
    name = named_training_job(value)
    return (owner_value(names.TRAINING_JOB_KIND, value["metadata"]["namespace"], name),) if name else ()


def named_training_job(value: Json) -> str | None:
    """Name of the training job whose checkpoint an object of the two kinds serves or starts from."""
    spec = value.get("spec") or {}
    source = spec.get("model") or spec.get("baseModel") or {}
    name: str | None = (source.get("checkpoint") or {}).get("trainingJobName")
    return name


def _pick(value: Any, *fields: str) -> Json:
    return {field: value[field] for field in fields if field in value} if isinstance(value, dict) else {}


def _metadata(value: Json) -> Json:
    metadata = _pick(value["metadata"], *_METADATA)
    if labels := _pick(value["metadata"].get("labels"), *_OWN_LABELS):
        metadata["labels"] = labels
    if owners := value["metadata"].get("ownerReferences"):
        metadata["ownerReferences"] = [_pick(owner, "kind", "name", "uid", "controller") for owner in owners]
    return metadata


def _own_kind(value: Json) -> Json:
    metadata = {**value["metadata"]}
    metadata.pop("managedFields", None)
    if annotations := metadata.get("annotations"):
        metadata["annotations"] = {name: text for name, text in annotations.items() if name != _LAST_APPLIED}
    return {"metadata": metadata, "spec": value.get("spec") or {}, "status": value.get("status") or {}}


def _job(value: Json) -> Json:
    return {
        "metadata": _metadata(value),
        "spec": _pick(value.get("spec"), "suspend"),
        "status": _pick(
            value.get("status"), "conditions", "active", "failed", "succeeded", "startTime", "completionTime"
        ),
    }


def _pod(value: Json) -> Json:
    status = value.get("status") or {}
    trimmed = _pick(status, "phase", "reason", "message", "podIP")
    if "conditions" in status:
        trimmed["conditions"] = [
            _pick(each, "type", "status", "reason", "message")
            for each in status["conditions"]
            if each.get("type") in ("PodScheduled", "Ready", "DisruptionTarget")
        ]
    if "containerStatuses" in status:
        trimmed["containerStatuses"] = [
            _pick(each, "name", "restartCount", "ready", "started", "state", "lastState")
            for each in status["containerStatuses"]
        ]
    return {"metadata": _metadata(value), "status": trimmed}


def _app_deployment(value: Json) -> Json:
    # Of the specification only the serve configuration is kept: it remembers a base model whose training job is gone.
    containers = value.get("spec", {}).get("template", {}).get("spec", {}).get("containers") or [{}]
    environment = {each.get("name"): each.get("value") for each in containers[0].get("env") or ()}
    return {
        "metadata": _metadata(value),
        "spec": _pick(value.get("spec"), "replicas"),
        "serveConfig": environment.get("CLASSIFIER_SERVE_CONFIG"),
        "status": _pick(
            value.get("status"),
            "observedGeneration",
            "replicas",
            "updatedReplicas",
            "readyReplicas",
            "availableReplicas",
            "conditions",
        ),
    }


def _service(value: Json) -> Json:
    return {"metadata": _metadata(value), "spec": _pick(value.get("spec"), "clusterIP", "ports")}


def _claim(value: Json) -> Json:
    return {"metadata": _metadata(value), "status": _pick(value.get("status"), "phase")}


def _endpoint_slice(value: Json) -> Json:
    endpoints = value.get("endpoints") or ()
    ready = sum((each.get("conditions") or {}).get("ready") is not False for each in endpoints)
    trimmed: Json = {"metadata": _metadata(value), "ready": ready}
    if trimmed["metadata"].get("labels", {}).get(SLICE_MANAGER_LABEL) == names.MANAGED_BY:
        # Ours, which leads to the gateway: it is compared with what it should say.
        trimmed["port"] = next((each.get("port") for each in value.get("ports") or ()), None)
        trimmed["addresses"] = sorted(address for each in endpoints for address in each.get("addresses") or ())
    return trimmed


def _lease(value: Json) -> Json:
    """A wake Lease: the order as it was written, whom it is for, and when a gateway last asked."""
    order = (value["metadata"].get("annotations") or {}).get(ORDER_ANNOTATION)
    trimmed: Json = {"metadata": _metadata(value), "order": order}
    if deployment := _ordered_for(order):
        trimmed["deployment"] = deployment
    if renewed := (value.get("spec") or {}).get("renewTime"):
        trimmed["renewTime"] = renewed
    return trimmed


def _ordered_for(order: str | None) -> Json | None:
    """Namespace, name, uid and port of the deployment that an order is for; None where it cannot be read."""
    try:
        parsed = json.loads(order or "null")
    except ValueError:
        return None
    found = _pick(parsed, *_TYPES_OF_ORDER)
    complete = all(isinstance(found.get(name), kind) for name, kind in _TYPES_OF_ORDER.items())
    return found if complete else None


def _disruption_budget(value: Json) -> Json:
    return {"metadata": _metadata(value)}


def gateway_pod(value: Json) -> Json:
    """A pod of the gateway, which also tells its node."""
    return {**_pod(value), "node": (value.get("spec") or {}).get("nodeName") or ""}


_TRIMS: Final = {
    TRAINING_JOBS: _own_kind,
    DEPLOYMENTS: _own_kind,
    BATCH_JOBS: _job,
    PODS: _pod,
    APP_DEPLOYMENTS: _app_deployment,
    SERVICES: _service,
    CLAIMS: _claim,
    ENDPOINT_SLICES: _endpoint_slice,
    LEASES: _lease,
    DISRUPTION_BUDGETS: _disruption_budget,
}
