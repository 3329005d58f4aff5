"""The local cluster up, the images built and loaded, the chart installed: where demo and end-to-end tests begin.

`python -m support.install` (with `tests` on the path; `make install` does it).
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

from support.kube import helm
from support.steps import Steps

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "helm" / "classifier-operator"
NAMESPACE = "classifier-system"
RELEASE = "classifier-operator"
# For example CLASSIFIER_CLUSTER="--use-current" with KUBECONFIG set.
CLUSTER_FLAGS = shlex.split(os.environ.get("CLASSIFIER_CLUSTER", ""))


def local_cluster(*arguments: str) -> None:
    """Run the local cluster's command, its output on ours; ends this process with its code if it fails."""
    command = [sys.executable, str(ROOT / "tests" / "localcluster"), *arguments]
    code = subprocess.run(command, check=False).returncode
    if code:
        sys.exit(code)


def image_references() -> dict[str, str]:
    """Return {base, operator, trainer, server: image reference} of the tree as it is now."""
    command = [sys.executable, str(ROOT / "tests" / "localcluster"), "images", "--print"]
    references: dict[str, str] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return references


def install_chart(references: dict[str, str]) -> None:
    """Install or upgrade the chart with these images and wait until the operator is up."""
    values: list[str] = []
    for part, prefix in (("operator", ""), ("trainer", "trainer."), ("server", "server.")):
        repository, tag = references[part].rsplit(":", 1)
        values += ["--set-string", f"{prefix}image.repository={repository},{prefix}image.tag={tag}"]
    helm(
        *("upgrade", "--install", RELEASE, str(CHART), "--namespace", NAMESPACE, "--create-namespace"),
        *(*values, "--wait", "--timeout", "5m"),
    )


def install(steps: Steps) -> dict[str, str]:
    """Do all of it, each part as a step; return the image references."""
    with steps.step("cluster", "Local Kubernetes cluster"):
        local_cluster("up", "--install", *CLUSTER_FLAGS)
    with steps.step("images", "Images of operator, trainer and server"):
        local_cluster("images")
        references = image_references()
    with steps.step("load", "Images into the cluster"):
        local_cluster("load", *(references[part] for part in ("operator", "trainer", "server")))
    with steps.step("chart", f"Helm chart (release {RELEASE}, namespace {NAMESPACE})"):
        install_chart(references)
    return references


if __name__ == "__main__":
    install(Steps())
