"""From a URI of the spec to files on this machine.

`pvc://` and `configmap://` are mounted by the operator, `file://` is there, and `hf://`, `s3://` and `https://` are
downloaded with credentials from the environment: HF_TOKEN, and AWS_* with AWS_ENDPOINT_URL.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path

from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch.base import Fetched, Progress, scheme_of, shown
from classifier_artifacts.fetch.claims import local_path

__all__ = ["Fetched", "Progress", "fetch_data", "fetch_model", "resolve", "shown"]

_MODEL_FORMS = (
    "hf://org/name[@revision], pvc://claim/path, s3://bucket/prefix, https://host/archive.tar.gz or file:///path"
)
_DATA_FORMS = (
    "hf://datasets/org/name[@revision][/glob], pvc://claim/path, s3://bucket/key, https://host/path or file:///path"
)


def resolve(uri: str, mounts: Mapping[str, str], *, what: str) -> Path:
    """The path of `fetch_model`."""
    return fetch_model(uri, mounts, what=what).path


def fetch_model(
    uri: str,
    mounts: Mapping[str, str],
    *,
    what: str,
    folder: Path | None = None,
    progress: Progress | None = None,
    pickled: bool = False,
) -> Fetched:
    """The existing path (file or folder) that `uri` stands for, downloaded if need be.

    `mounts` maps a URI, exactly as written in the spec, to an absolute path of this pod; `pvc://` and `configmap://`
    are found only there. `what` is the field's name for messages, for example `baseModel.uri`. Downloads go to `folder`
    (the hub's to its own cache); `progress` is told how many bytes are there, and of how many if that is known.
    `pickled` also downloads weights in pickled files, where a model of the hub or S3 has no others.

    Raises:
        UserError: the URI has no such form, is not mounted, does not exist, leaves its claim, or may not be read.
        TransientError: what may pass, such as a network fault.
    """
    # Imported late: the clients are slow to import, and most pods read a claim.
    match scheme_of(uri):
        case "hf":
            from classifier_artifacts.fetch.hub import fetch_model as from_hub

            return from_hub(uri, what, progress, pickled=pickled)
        case "s3":
            from classifier_artifacts.fetch.objects import fetch_folder

            return fetch_folder(uri, what, _folder_for(uri, folder), progress, pickled=pickled)
        case "https":
            from classifier_artifacts.fetch.https import fetch_archive

            return fetch_archive(uri, what, _folder_for(uri, folder), progress)
    return Fetched(uri, (_local(uri, mounts, what, _MODEL_FORMS),))


def fetch_data(
    uri: str,
    mounts: Mapping[str, str],
    *,
    what: str,
    config: str | None = None,
    split: str = "train",
    folder: Path | None = None,
    progress: Progress | None = None,
) -> Fetched:
    """As `fetch_model`, for files of rows; `config` and `split` choose among those of a data set of the hub."""
    match scheme_of(uri):
        case "hf":
            from classifier_artifacts.fetch.hub_data import fetch_dataset

            return fetch_dataset(uri, what, config, split, progress)
        case "s3":
            from classifier_artifacts.fetch.objects import fetch_object

            return fetch_object(uri, what, _folder_for(uri, folder), progress)
        case "https":
            from classifier_artifacts.fetch.https import fetch_file

            return fetch_file(uri, what, _folder_for(uri, folder), progress)
    return Fetched(uri, (_local(uri, mounts, what, _DATA_FORMS),))


def _local(uri: str, mounts: Mapping[str, str], what: str, forms: str) -> Path:
    path = local_path(uri, mounts, what)
    if path is None:
        raise UserError(f"{what}: '{shown(uri)}' is not a URI that can be read here: write {forms}.")
    return path


def _folder_for(uri: str, folder: Path | None) -> Path:
    """A folder of the URI's own, so that two of them never meet."""
    root = folder if folder is not None else Path(tempfile.gettempdir()) / "classifier-downloads"
    found = root / hashlib.sha256(uri.encode("utf-8", errors="replace")).hexdigest()[:16]
    found.mkdir(parents=True, exist_ok=True)
    return found
