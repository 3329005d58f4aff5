"""What a killed run goes on from: a folder `update-N` in the output's `state`, whole or not there.

Apart from the checkpoints, whose head is scaled to its temperature. The tensors are written once in `stateEvery`; the
record beside them (what was tested, where metrics.jsonl ends) is small, and is replaced whenever it changes.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from classifier_trainer.train.interrupt import deferred

FOLDER = "state"
_TENSORS, _RECORD, _BUDGET = "state.pt", "record.json", "token-budget.json"
_PREFIX, _TEMPORARY = "update-", ".tmp-"


@dataclass(frozen=True)
class Saved:
    """A state that can be gone on from."""

    path: Path
    update: int
    """Updates that were done."""
    record: dict[str, Any]
    """What the caller wrote with it."""

    def tensors(self) -> dict[str, Any]:
        """What the loop's `restore` takes; large tensors stay on the disk until they are used."""
        found: dict[str, Any] = torch.load(self.path / _TENSORS, map_location="cpu", mmap=True, weights_only=True)
        return found


def save(folder: Path, state: Mapping[str, Any], record: Mapping[str, Any]) -> None:
    """Writes the loop's `state()` with a record (JSON), and then removes the one before; SIGTERM waits for the end."""
    with deferred():
        path = folder / f"{_PREFIX}{state['done']:09d}"
        temporary = folder / f"{_TEMPORARY}{path.name}"
        shutil.rmtree(temporary, ignore_errors=True)
        temporary.mkdir(parents=True)
        with (temporary / _TENSORS).open("wb") as stream:
            torch.save(dict(state), stream)
            stream.flush()
            _to_disk(stream.fileno())
        _write(temporary / _RECORD, record)
        if path.exists():  # the same tensors: only the record is new
            _write(path / _RECORD, record)
            shutil.rmtree(temporary)
        else:
            temporary.rename(path)
        for old in folder.iterdir():
            if old != path and old.is_dir():
                shutil.rmtree(old, ignore_errors=True)


def save_record(folder: Path, record: Mapping[str, Any]) -> None:
    """Replaces the record of the newest state."""
    saved = find(folder)
    if saved is not None:
        with deferred():
            _write(saved.path / _RECORD, record)


def find(folder: Path) -> Saved | None:
    """The newest whole state in the folder; None if there is none."""
    for path in sorted(folder.glob(f"{_PREFIX}*"), reverse=True):
        try:
            record = json.loads((path / _RECORD).read_bytes())
        except (OSError, ValueError):
            continue
        number = path.name.removeprefix(_PREFIX)
        if isinstance(record, dict) and number.isdigit() and (path / _TENSORS).is_file():
            return Saved(path, int(number), record)
    return None


def save_token_budget(folder: Path, tokens: int) -> None:
    """Notes what the next attempt may compute at a time, when this one cannot go on."""
    folder.mkdir(parents=True, exist_ok=True)
    _write(folder / _BUDGET, {"tokens": tokens})


def token_budget(folder: Path) -> int | None:
    """What the last attempt noted."""
    try:
        return int(json.loads((folder / _BUDGET).read_bytes())["tokens"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def remove(folder: Path) -> None:
    """Removes all states: the run is over, or begins anew."""
    shutil.rmtree(folder, ignore_errors=True)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    temporary = path.with_name(f"{_TEMPORARY}{os.getpid()}-{path.name}")
    with temporary.open("w", encoding="utf-8") as stream:
        json.dump(content, stream, ensure_ascii=False, indent=2)
        stream.flush()
        _to_disk(stream.fileno())
    temporary.replace(path)


def _to_disk(descriptor: int) -> None:
    # Without it a node that loses power may have the new name, and not the content.
    os.fsync(descriptor)
