"""The images that the cluster's node has."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence

from ..bare import cluster
from ..bare.runtime import ctr
from ..errors import ClusterError
from ..shell import run, tail

LABEL = "localcluster/image-id"
"""containerd's own ids differ from the builder's after an import, so the builder's is kept as a label."""


def image_id(reference: str) -> str | None:
    """The id under which the builder had this image when it was taken in; None where the node has none."""
    listing = run([*_ctr(), "images", "list", f"name=={reference}"])
    match = re.search(rf"{re.escape(LABEL)}=([^,\s]+)", listing)
    return match[1] if match else None


def take_in(save: Sequence[str], reference: str, identity: str) -> None:
    """Pipe an image from the builder's store into the node."""
    with subprocess.Popen(save, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=False) as source:
        sink = subprocess.run(
            [*_ctr(), "images", "import", "-"], stdin=source.stdout, capture_output=True, text=True, check=False
        )
        assert source.stderr is not None  # noqa: S101 - for the type checker
        complaint = source.stderr.read().decode(errors="replace")
    if source.returncode != 0 or sink.returncode != 0:
        raise ClusterError(f"{reference} could not be loaded:\n{tail(complaint + sink.stderr)}")
    run([*_ctr(), "images", "label", reference, f"{LABEL}={identity}"])


def forget(repository: str, keep: Sequence[str]) -> None:
    """Remove the node's images of a repository but for those to keep and those that pods use."""
    at = cluster.layout()
    pods = cluster.client(at).request("GET", "/api/v1/pods")["items"]
    used = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    there = [name for name in run([*_ctr(), "images", "list", "-q"]).split() if name.rpartition(":")[0] == repository]
    stale = [
        name for name in there if name not in keep and name.removeprefix("docker.io/") not in used and name not in used
    ]
    if stale:
        run([*_ctr(), "images", "remove", *stale])


def _ctr() -> list[str]:
    return ctr(cluster.layout())
