"""The images that the cluster's node has."""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Container, Sequence
from contextlib import suppress

from ..bare import cluster
from ..bare.runtime import ctr
from ..errors import ClusterError
from ..shell import run, tail
from .builder import Builder

LABEL = "localcluster/image-id"
"""containerd's own ids differ from the builder's after an import, so the builder's is kept as a label."""


def image_id(reference: str) -> str | None:
    """The id under which the builder had this image when it was taken in; None where the node has none."""
    listing = run([*_ctr(), "images", "list", f"name=={reference}"])
    match = re.search(rf"{re.escape(LABEL)}=([^,\s]+)", listing)
    return match[1] if match else None


def take_in(builder: Builder, reference: str, identity: str) -> None:
    """Send an image from the builder's store into the node, without the layers that the node has."""
    try:
        _send(builder, reference, _blobs())
    except ClusterError:
        _send(builder, reference, ())  # containerd may have collected a layer meanwhile
    run([*_ctr(), "images", "label", reference, f"{LABEL}={identity}"])


def _send(builder: Builder, reference: str, present: Container[str]) -> None:
    words = [*_ctr(), "images", "import", "-"]
    with (
        tempfile.TemporaryFile() as output,
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as sink:
            builder.save(reference, present, sink)
        process.wait()
        output.seek(0)
        said = output.read().decode(errors="replace")
    if process.returncode != 0:
        raise ClusterError(f"{reference} could not be loaded:\n{tail(said)}")


def _blobs() -> set[str]:
    """The blobs of the node's containerd, by hex SHA-256."""
    folder = cluster.layout().state / "containerd" / "io.containerd.content.v1.content" / "blobs" / "sha256"
    return {blob.name for blob in folder.iterdir()} if folder.is_dir() else set()


def forget(repository: str, keep: Sequence[str]) -> None:
    """Remove the node's images of a repository but for those to keep and those that pods use."""
    at = cluster.layout()
    pods = (cluster.client(at).get("/api/v1/pods") or {"items": []})["items"]
    used = {container["image"] for pod in pods for container in pod["spec"]["containers"]}
    images = _images()
    stale = [name for name in images if name.rpartition(":")[0] == repository and name not in keep]
    stale = [name for name in stale if name not in used and name.removeprefix("docker.io/") not in used]
    digests = {images[name] for name in stale} - {images[name] for name in images if name in keep}
    # The kubelet's side of containerd names each image once more, by its id; as long as that is there its layers are.
    ids = [name for name, digest in images.items() if digest in digests and name.startswith("sha256:")]
    if stale:
        run([*_ctr(), "images", "remove", *stale, *ids])


def _images() -> dict[str, str]:
    """The node's images: name → digest of the manifest."""
    rows = [line.split() for line in run([*_ctr(), "images", "list"]).splitlines()[1:]]
    return {row[0]: row[2] for row in rows}


def _ctr() -> list[str]:
    return ctr(cluster.layout())
