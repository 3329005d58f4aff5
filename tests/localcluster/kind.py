"""kind: a node in a container, for machines with a Docker engine."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from .bare.layout import GPUS
from .errors import ClusterError
from .paths import cache_dir
from .progress import step
from .shell import run

NAME = "classifier-operator"


def exists() -> bool:
    """Whether our kind cluster is there."""
    if shutil.which("kind") is None or shutil.which("docker") is None:
        return False
    try:
        return NAME in run(["kind", "get", "clusters"], timeout=30).split()
    except ClusterError:
        return False


def kubeconfig() -> Path:
    """The file for users; it is there as long as kind is what runs the cluster."""
    return cache_dir() / "kind.kubeconfig"


def up() -> None:
    """Create the cluster, or find it there, and make its node believe in GPUs."""
    missing = [program for program in ("kind", "kubectl") if shutil.which(program) is None]
    if missing:
        raise ClusterError(
            f"A Docker engine answers, but {' and '.join(missing)} is not installed: install it (kind.sigs.k8s.io,"
            " kubernetes.io/docs/tasks/tools), or use a node without Docker with --provider bare"
        )
    kubeconfig().parent.mkdir(parents=True, exist_ok=True)
    with step("kind cluster") as shown:
        if exists():
            shown.result = "kept"
        else:
            shown.detail = "kind create cluster"
            run(["kind", "create", "cluster", "--name", NAME, "--wait", "180s", "--kubeconfig", kubeconfig()])
            shown.result = "created"
        kubeconfig().write_text(run(["kind", "get", "kubeconfig", "--name", NAME]))
        kubeconfig().chmod(0o600)
    with step("GPUs") as shown:
        gpus = {"nvidia.com/gpu": str(GPUS)}
        patch = json.dumps({"status": {"capacity": gpus, "allocatable": gpus}})
        names = run([*_kubectl(), "get", "nodes", "--output=name"]).split()
        for name in names:
            run([*_kubectl(), "patch", name, "--subresource=status", "--type=merge", f"--patch={patch}"])
        shown.result = f"{GPUS} on {', '.join(names)}"


def down() -> None:
    """Delete the cluster with everything in it."""
    if exists():
        with step("kind cluster") as shown:
            run(["kind", "delete", "cluster", "--name", NAME, "--kubeconfig", kubeconfig()])
            shown.result = "deleted"
    kubeconfig().unlink(missing_ok=True)


def load(reference: str) -> None:
    """Take an image out of Docker into the node."""
    run(["kind", "load", "docker-image", "--name", NAME, reference])


def _kubectl() -> list[str]:
    return ["kubectl", f"--kubeconfig={kubeconfig()}"]
