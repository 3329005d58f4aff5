"""Writes that a reader sees whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

TEMPORARY = ".tmp-"
"""What the names of unfinished files and folders begin with."""


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Replaces the file at once."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    temporary.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path`, which takes that name when the block ends well, and goes when it does not."""
    temporary = path.with_name(f"{TEMPORARY}{path.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _open_for_readers(temporary)
        shutil.rmtree(path, ignore_errors=True)
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_unfinished(folder: Path) -> None:
    """Removes what a run that was cut off left in `folder` under temporary names."""
    for path in folder.glob(f"{TEMPORARY}*"):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def same_files(source: Path, target: Path, *, but: Sequence[str] = ()) -> None:
    """Fills the folder `target` with the files of `source`: links where the file system has them, else copies.

    `but` are patterns of names in `source`, of files or folders, that are left out.
    """
    for path in sorted(source.rglob("*")):
        place = target / path.relative_to(source)
        if any(fnmatch(path.relative_to(source).parts[0], pattern) for pattern in but):
            continue
        if path.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            continue
        try:
            os.link(path, place)
        except OSError:
            shutil.copy2(path, place)


def _open_for_readers(folder: Path) -> None:
    """safetensors writes files that only their owner may read; a server may run under another user."""
    mask = os.umask(0)
    os.umask(mask)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | (0o666 & ~mask))
