"""The files of the model to serve: fetched, with its progress told, and looked at before anything reads them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from classifier_artifacts.adapter import CONFIG_NAME
from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch import Fetched, fetch_model, shown

if TYPE_CHECKING:
    from classifier_server.config import ServeConfig

_TELL_SECONDS = 2.0
_PICKLED = ("*.bin", "*.pt", "*.pth", "*.ckpt")


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """Where the model lies on this machine."""

    path: Path
    base: Path | None = None
    """The base model's folder, where `path` holds an adapter."""
    version: str | None = None
    """What exactly was fetched: a commit of the hub, `etags-sha256:…`, `sha256:…`; None for a folder."""


def fetch_files(config: ServeConfig, report: Callable[[str], None]) -> ModelFiles:
    """Fetches the model, and the base model where the model is an adapter; `report` is told what is being done.

    Raises:
        UserError: what the user must mend; also pickled weights that are not allowed.
        TransientError: what may pass, such as a network fault.
    """
    model = _fetch(config.model.uri, "model.uri", config, report)
    base = None
    if config.base_model is not None and (model.path / CONFIG_NAME).is_file():
        base = _fetch(config.base_model.uri, "baseModel.uri", config, report)
    return ModelFiles(model.path, None if base is None else base.path, model.version)


def read_ahead(files: ModelFiles) -> None:
    """Lets the kernel read the weights while torch is imported. Of a slow volume that is most of the start."""

    def read() -> None:
        for folder in (files.path, files.base):
            for file in sorted(folder.glob("*.safetensors")) if folder is not None else ():
                try:
                    descriptor = os.open(file, os.O_RDONLY)
                except OSError:
                    continue  # whoever needs the file says so
                try:
                    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_WILLNEED)
                finally:
                    os.close(descriptor)

    threading.Thread(target=read, name="read-ahead", daemon=True).start()


def _fetch(uri: str, what: str, config: ServeConfig, report: Callable[[str], None]) -> Fetched:
    report(f"fetching {shown(uri)}")
    pickled = config.server.allow_pickle
    found = fetch_model(uri, config.mounts, what=what, progress=_progress(uri, report), pickled=pickled)
    if not pickled:
        _refuse_pickled(found.path, uri, what)
    if found.version is not None:
        report(f"fetched {shown(uri)} at {found.version}")
    return found


def _refuse_pickled(folder: Path, uri: str, what: str) -> None:
    """Pickled weights can run code of whoever wrote them."""
    if not folder.is_dir() or any(folder.glob("*.safetensors")):
        return
    if any(file for pattern in _PICKLED for file in folder.glob(pattern)):
        reason = "holds its weights in pickled files alone, which can run code when they are read"
    elif uri.startswith(("hf://", "s3://")):
        reason = "holds no *.safetensors, and pickled weights, which can run code when they are read, are not taken"
    else:
        return
    raise UserError(
        f"{what}: '{shown(uri)}' {reason}: save it with safetensors or, if you trust it, set server.allowPickle: true."
    )


def _progress(uri: str, report: Callable[[str], None]) -> Callable[[int, int | None], None]:
    last = time.monotonic()

    def told(done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last < _TELL_SECONDS:
            return
        last = time.monotonic()
        whole = f" of {_size(total)} ({100 * done // total} %)" if total else ""
        report(f"downloading {shown(uri)}: {_size(done)}{whole}")

    return told


def _size(count: int) -> str:
    """Bytes for people: `1.5 GiB`."""
    size, unit = float(count), "bytes"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
