"""Where a run is written: a folder of this machine, or an object store behind a folder that stands in for it.

Whoever writes, writes into `Store.folder` and then says `publish`. In a folder that is all there is to it, for files
and folders take their names there when they are whole. An object store has no rename: there the files are uploaded, the
one that says that a folder is whole last, and deleted with that one first.
"""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

from classifier_trainer.output.atomic import TEMPORARY, remove_unfinished
from classifier_trainer.output.lock import FolderLock, LockPlace

WHOLE = ("classifier.json", "record.json")
"""Files without which a checkpoint, or a saved state, is none."""
WEIGHTS = (".safetensors", ".bin", ".pt", ".distcp")
"""Endings of what is large."""


class Store(ABC):
    """The output of one run. Names are relative to it, with slashes; each may be a file or a folder."""

    folder: Path
    """Where the files of the run are on this machine."""

    def __init__(self, uri: str, folder: Path) -> None:
        self.uri = uri
        self.folder = folder

    @property
    @abstractmethod
    def lock_place(self) -> LockPlace:
        """Where the lock of the one writer lies."""

    @abstractmethod
    def publish(self, *names: str) -> None:
        """Shows each of `names`, as it is in `folder` now, to all readers; a folder only whole."""

    @abstractmethod
    def mirror(self, name: str) -> None:
        """Shows the folder `name` with what is in it in `folder` now, each part as `publish` does, and nothing else.

        Large files of parts that are there already are taken for unchanged.
        """

    @abstractmethod
    def delete(self, *names: str) -> None:
        """Removes what is there of `names`, for readers and in `folder`."""

    @abstractmethod
    def bring(self, name: str, *, weights: bool = True) -> bool:
        """Sees that `name` is in `folder`, large files too if `weights`; False if the output has none."""

    @abstractmethod
    def free(self, name: str) -> None:
        """Large files of `name` are not needed on this machine any more."""

    @abstractmethod
    def names(self, name: str = "") -> list[str]:
        """What the folder `name` of the output holds, sorted; of several files and folders only what is whole."""

    @abstractmethod
    def remove_unfinished(self) -> None:
        """Removes what a run that was cut off left half written."""

    def close(self) -> None:  # noqa: B027  # a folder has nothing to close
        """The run is over."""


class FolderStore(Store):
    """A folder that everybody reads where it is."""

    @property
    def lock_place(self) -> LockPlace:
        return FolderLock(self.folder)

    def publish(self, *names: str) -> None:
        pass

    def mirror(self, name: str) -> None:
        pass

    def delete(self, *names: str) -> None:
        for name in names:
            remove_at_once(self.folder / name)

    def bring(self, name: str, *, weights: bool = True) -> bool:  # noqa: ARG002
        return (self.folder / name).exists()

    def free(self, name: str) -> None:
        pass

    def names(self, name: str = "") -> list[str]:
        place = self.folder / name
        return sorted(path.name for path in place.iterdir() if path.name[:1] != ".") if place.is_dir() else []

    def remove_unfinished(self) -> None:
        for folder in (self.folder, *(path for path in self.folder.iterdir() if path.is_dir())):
            remove_unfinished(folder)


def remove_at_once(path: Path) -> None:
    """Removes a file or folder; a reader sees it whole or not at all."""
    if path.is_dir() and not path.is_symlink():
        gone = path.with_name(f"{TEMPORARY}{path.name}")
        shutil.rmtree(gone, ignore_errors=True)
        path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def is_weights(name: str) -> bool:
    """Whether a file is large and only needed to load a model or to go on training."""
    return name.endswith(WEIGHTS)


def uploaded_last(names: Sequence[str]) -> list[str]:
    """The order in which the files of a folder are uploaded, and the reverse of that in which they are deleted."""
    return sorted(names, key=lambda name: (name in WHOLE, name))
