"""From a URI of the spec to a path on this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from classifier_artifacts.errors import TransientError, UserError

_FORMS = "hf://org/name[@revision], pvc://claim/path or file:///path"
_HF = re.compile(r"hf://(?P<repo>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?/?")
# What a model folder is read from; other formats of the same weights (ONNX, TensorFlow, GGUF) would only cost time.
_HF_FILES = ["*.json", "*.safetensors", "*.txt", "*.model", "*.jinja", "tokenizer*"]


def resolve(uri: str, mounts: Mapping[str, str], *, what: str) -> Path:
    """Returns the existing path (file or folder) that `uri` stands for.

    `mounts` maps a URI, exactly as written in the spec, to an absolute path of this pod; `pvc://` and `configmap://`
    are found only there. `what` is the field's name for messages, for example `baseModel.uri`.

    Raises:
        UserError: the URI has no such form, is not mounted, does not exist or leaves its claim.
        TransientError: the hub could not be reached.
    """
    scheme = uri.partition("://")[0] if "://" in uri else ""
    if scheme == "file":
        return _file(uri, what)
    if scheme in ("pvc", "configmap"):
        return _mounted(uri, mounts, what)
    if scheme == "hf":
        return _hub(uri, what)
    raise UserError(f"{what}: '{uri}' is not a URI that can be read here: write {_FORMS}.")


def _file(uri: str, what: str) -> Path:
    parts = urlsplit(uri)
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


def _hub(uri: str, what: str) -> Path:
    match = _HF.fullmatch(uri)
    if match is None:
        raise UserError(
            f"{what}: '{uri}' does not name a repository of the hub: write hf://org/name or hf://org/name@revision."
        )
    # Imported late: the hub's client is slow to import and most pods read a claim.
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    repo, revision = match["repo"], match["revision"]
    token = os.environ.get("HF_TOKEN") or None
    try:
        return Path(snapshot_download(repo, revision=revision, token=token, allow_patterns=_HF_FILES))
    except GatedRepoError as error:
        raise UserError(
            f"{what}: '{uri}' is gated: accept its terms on the hub and give a token in a Secret with HF_TOKEN."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"{what}: '{uri}' has no revision '{revision}': check the name after the '@'.") from error
    except RepositoryNotFoundError as error:
        hint = "check the name and the token" if token else "check the name, or give a token in a Secret with HF_TOKEN"
        raise UserError(f"{what}: '{uri}' does not exist on the hub, or is private: {hint}.") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise TransientError(f"{what}: '{uri}' could not be downloaded from the hub: {_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
