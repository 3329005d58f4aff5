"""Builders of the objects that the end-to-end tests apply, and of their data."""

from __future__ import annotations

import json
import random
from typing import Any

from support import kube

Manifest = dict[str, Any]
API_VERSION = "classifiers.dev/v1alpha1"
WORDS = {
    "grain": ["wheat", "corn", "harvest", "tonnes", "crop"],
    "ship": ["vessel", "port", "cargo", "tanker", "strike"],
    "trade": ["tariff", "deficit", "exports", "quota", "surplus"],
}


def rows(count: int, *, seed: int = 0) -> str:
    """Return `count` rows of an easy three-label set, as JSON lines."""
    draw = random.Random(seed)
    lines = []
    for index in range(count):
        label = list(WORDS)[index % len(WORDS)]
        text = " ".join(draw.choices(WORDS[label], k=6))
        lines.append(json.dumps({"prompt": text, "completion": {name: int(name == label) for name in WORDS}}))
    return "\n".join(lines) + "\n"


def config_map(name: str, data: dict[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def training_job(name: str, **spec: Any) -> Manifest:
    """Return a training job on the claim `models` and the ConfigMap `data`, with `spec` over the defaults."""
    default: Manifest = {
        "baseModel": {"uri": "pvc://models/tiny"},
        "trainDataset": {"configMap": {"name": "data", "key": "train.jsonl"}},
        "hyperparameters": {"epochs": 2, "maxLength": 32},
        "resources": {"requests": {"cpu": "100m"}},
    }
    return {
        "apiVersion": API_VERSION,
        "kind": "ClassifierTrainingJob",
        "metadata": {"name": name},
        "spec": default | spec,
    }


def deployment(name: str, **spec: Any) -> Manifest:
    default: Manifest = {"resources": {"requests": {"cpu": "100m"}}}
    return {
        "apiVersion": API_VERSION,
        "kind": "ClassifierDeployment",
        "metadata": {"name": name},
        "spec": default | spec,
    }


def status(kind: str, name: str, namespace: str) -> Manifest:
    found: Manifest = kube.get(kind, name, namespace).get("status", {})
    return found


def wait_for_phase(kind: str, name: str, namespace: str, *phases: str, timeout: float = 300) -> Manifest:
    """Wait until the object's phase is one of `phases`; return its status."""
    kube.wait_for(
        f"{kind} {name} is {' or '.join(phases)}",
        lambda: status(kind, name, namespace).get("phase") in phases,
        timeout=timeout,
        show=lambda: status(kind, name, namespace),
    )
    return status(kind, name, namespace)


def condition(object_status: Manifest, kind: str) -> str:
    """Return `Status/Reason` of a condition, or an empty string."""
    return next((f"{c['status']}/{c['reason']}" for c in object_status.get("conditions", []) if c["type"] == kind), "")
