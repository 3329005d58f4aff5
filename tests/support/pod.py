"""A pod that does nothing, under the restricted Pod Security Standard: to copy files or to look from inside."""

from __future__ import annotations

from typing import Any


def idle_pod(name: str, image: str, *, claim: str | None = None, seconds: int = 600) -> dict[str, Any]:
    """Return the manifest of a pod that sleeps for `seconds`, with `claim` mounted at /claim if one is given."""
    container: dict[str, Any] = {
        "name": "idle",
        "image": image,
        "command": ["python3", "-c", f"import time; time.sleep({seconds})"],
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "runAsGroup": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
    }
    if claim:
        container["volumeMounts"] = [{"name": "claim", "mountPath": "/claim"}]
        spec["volumes"] = [{"name": "claim", "persistentVolumeClaim": {"claimName": claim}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}
