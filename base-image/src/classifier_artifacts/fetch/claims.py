"""What is on this machine already: paths, claims and ConfigMaps that the operator mounted."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch.base import scheme_of


def local_path(uri: str, mounts: Mapping[str, str], what: str) -> Path | None:
    """The existing path of a `file://`, `pvc://` or `configmap://` URI; None for any other URI.

    Raises:
        UserError: it is not mounted, does not exist or leaves its claim.
    """
    match scheme_of(uri):
        case "file":
            return _file(uri, what)
        case "pvc" | "configmap":
            return _mounted(uri, mounts, what)
    return None


def _file(uri: str, what: str) -> Path:
    try:
        parts = urlsplit(uri)
    except ValueError:
        parts = urlsplit("file://?")
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise UserError(f"{what}: '{uri}' must name an absolute path: write file:///path, with three slashes.")
    return _existing(Path(unquote(parts.path)), uri, what)


def _mounted(uri: str, mounts: Mapping[str, str], what: str) -> Path:
    inside = PurePosixPath(uri.partition("://")[2].partition("/")[2])
    if ".." in inside.parts:
        raise UserError(f"{what}: '{uri}' must not contain '..': name a path inside the claim.")
    mount = mounts.get(uri)
    if mount is None:
        raise UserError(
            f"{what}: '{uri}' is mounted only in a pod that the operator makes: write file:///path to run it here."
        )
    path = _existing(Path(mount), uri, what)
    # The operator mounts the claim and appends the path, so the mount is what is left without the path: a link in the
    # claim must not lead out of it, into files of the pod.
    root = Path(mount)
    if PurePosixPath(mount).parts[-len(inside.parts) :] == inside.parts:
        for _ in inside.parts:
            root = root.parent
    # A ConfigMap's files are links to ..data beside them, which stays inside as well.
    if not path.resolve().is_relative_to(root.resolve()):
        raise UserError(f"{what}: '{uri}' is a link that leads out of its claim: put the files themselves there.")
    return path


def _existing(path: Path, uri: str, what: str) -> Path:
    try:
        if not path.exists():
            raise UserError(f"{what}: '{uri}' does not exist: check the name and the path.")
    except OSError as error:
        raise UserError(f"{what}: '{uri}' cannot be read: {error.strerror}.") from error
    return path
