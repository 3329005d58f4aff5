"""Where a run is written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from classifier_trainer.errors import UserError
from classifier_trainer.output.store import FolderStore, Store

OBJECT_STORES = ("s3://",)


def open_store(uri: str, mounts: Mapping[str, str]) -> Store:
    """The output that `output.uri` stands for; a folder is made if it is not there.

    Raises:
        UserError: no such form, not mounted, or not writable.
        TransientError: an object store does not answer.
    """
    if uri.startswith(OBJECT_STORES):
        from classifier_trainer.output.object_store import open_s3

        return open_s3(uri)
    return FolderStore(uri, output_folder(uri, mounts))


def output_folder(uri: str, mounts: Mapping[str, str]) -> Path:
    """The folder that `output.uri` stands for, made if it is not there.

    Raises:
        UserError: no such form, not mounted, or not writable.
    """
    if uri.startswith("pvc://"):
        if uri not in mounts:
            raise UserError(
                f"output.uri: '{uri}' is mounted only in a pod that the operator makes: write file:///path here."
            )
        folder = Path(mounts[uri])
    elif uri.startswith("file://"):
        folder = Path(unquote(urlsplit(uri).path))
        if not folder.is_absolute() or urlsplit(uri).netloc not in ("", "localhost"):
            raise UserError(f"output.uri: '{uri}' must name an absolute path: write file:///path, with three slashes.")
    elif "://" in uri:
        raise UserError(
            f"output.uri: '{uri}' cannot be written to: write pvc://claim/path, file:///path or s3://bucket/prefix."
        )
    else:
        folder = Path(uri).absolute()
    with writing(uri):
        folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def writing(uri: str) -> Iterator[None]:
    """Says in the user's words why the output `uri` cannot be written."""
    try:
        yield
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        raise UserError(
            f"output: '{uri}' cannot be written ({error.strerror}): check its permissions and path."
        ) from error
    except OSError as error:
        if error.errno in _FULL:
            raise UserError(
                f"output: '{uri}' cannot be written ({error.strerror}): give the claim more space."
            ) from error
        raise


# ENOSPC, EDQUOT, EROFS
_FULL = (28, 122, 30)
