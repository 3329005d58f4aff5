"""Files of this machine onto a claim of the cluster, through a short-lived pod, on any kind of storage."""

from __future__ import annotations

import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from support.kube import CommandError, apply, get, kubectl
from support.pod import idle_pod

CONTENT = "classifiers.dev/demo-content"


def digest(files: Mapping[str, Path]) -> str:
    """Return a digest over names, sizes and contents of `files`."""
    total = hashlib.sha256()
    for name, path in sorted(files.items()):
        total.update(f"{name}\0{path.stat().st_size}\0".encode())
        with path.open("rb") as stream:
            total.update(hashlib.file_digest(stream, "sha256").digest())
    return total.hexdigest()[:32]


def folder_files(folder: Path, prefix: str) -> dict[str, Path]:
    """Return {path on the claim: local path} for every file below `folder`."""
    return {f"{prefix}/{p.relative_to(folder)}": p for p in sorted(folder.rglob("*")) if p.is_file()}


def fill_claim(
    name: str,
    files: Mapping[str, Path],
    *,
    image: str,
    namespace: str,
    size: str = "2Gi",
    access_mode: str = "ReadWriteOnce",
) -> bool:
    """Make the claim `name` hold `files` (path on the claim → local path); return whether anything was copied.

    The digest of what was copied is kept as an annotation of the claim, so that a second call costs nothing.
    """
    wanted = digest(files)
    try:
        if get("pvc", name, namespace)["metadata"].get("annotations", {}).get(CONTENT) == wanted:
            return False
    except CommandError:
        apply(_claim(name, size, access_mode), namespace=namespace)
    pod = f"fill-{name}"
    kubectl("delete", "pod", pod, "-n", namespace, "--ignore-not-found", "--now")
    apply(idle_pod(pod, image, claim=name), namespace=namespace)
    try:
        kubectl("wait", "--for=condition=Ready", f"pod/{pod}", "-n", namespace, "--timeout=120s")
        kubectl("exec", "-i", pod, "-n", namespace, "--", "tar", "-x", "-C", "/claim", stdin=_archive(files))
    finally:
        kubectl("delete", "pod", pod, "-n", namespace, "--now", "--wait=false")
    kubectl("annotate", "pvc", name, "-n", namespace, "--overwrite", f"{CONTENT}={wanted}")
    return True


def _archive(files: Mapping[str, Path]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, path in files.items():
            info = archive.gettarinfo(path, name)
            info.mode, info.uid, info.gid, info.uname, info.gname = 0o644, 65532, 65532, "", ""
            with path.open("rb") as stream:
                archive.addfile(info, stream)
    return buffer.getvalue()


def _claim(name: str, size: str, access_mode: str) -> dict[str, Any]:
    spec = {"accessModes": [access_mode], "resources": {"requests": {"storage": size}}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}
