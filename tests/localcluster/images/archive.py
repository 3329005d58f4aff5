"""An image as an archive in the OCI layout, of which only what the receiver lacks is sent."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Container
from pathlib import Path
from typing import IO


def pack(folder: Path, reference: str, present: Container[str], sink: IO[bytes]) -> None:
    """Write the image that a `dir:` push left in a folder as a tar archive, under a name.

    Layers whose hex SHA-256 is `present` at the receiver stay behind: the base image's are a gigabyte, and travel once
    and not with every image on top of them. That needs layers without compression, whose digests never change.
    """
    manifest = (folder / "manifest.json").read_bytes()
    content = json.loads(manifest)
    digest = hashlib.sha256(manifest).hexdigest()
    index = {
        "schemaVersion": 2,
        "manifests": [
            {
                "mediaType": content["mediaType"],
                "digest": f"sha256:{digest}",
                "size": len(manifest),
                # containerd takes the image's whole name from here.
                "annotations": {"io.containerd.image.name": reference},
            }
        ],
    }
    with tarfile.open(fileobj=sink, mode="w|") as archive:
        _add(archive, "oci-layout", json.dumps({"imageLayoutVersion": "1.0.0"}).encode())
        _add(archive, "index.json", json.dumps(index).encode())
        _add(archive, f"blobs/sha256/{digest}", manifest)
        for part in (content["config"], *content["layers"]):
            name = part["digest"].removeprefix("sha256:")
            if name not in present:
                archive.add(folder / name, f"blobs/sha256/{name}")


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))
