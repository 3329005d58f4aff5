"""run.json: what was run, by which versions, and how it ended; and whether a finished run can be taken over."""

from __future__ import annotations

import json
import shutil
import socket
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

from classifier_trainer import __version__
from classifier_trainer.errors import UserError
from classifier_trainer.output.atomic import remove_unfinished, write_json

FILE_NAME = "run.json"
CHECKPOINTS, MODEL, METRICS = "checkpoints", "model", "metrics.jsonl"
_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "scikit-learn", "numpy")


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_run(folder: Path) -> dict[str, Any] | None:
    """The run.json of an output; None if there is none."""
    try:
        content = json.loads((folder / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def write_run(folder: Path, content: dict[str, Any]) -> None:
    """Replaces run.json."""
    write_json(folder / FILE_NAME, content)


def new_run(digest: str, config: dict[str, Any]) -> dict[str, Any]:
    """The run.json of a run that begins."""
    return {
        "version": "v1alpha1",
        "digest": digest,
        "config": config,
        "outcome": "Running",
        "host": socket.gethostname(),
        "startTime": now(),
        "versions": {"classifier-trainer": __version__, **_versions()},
    }


def finished_run(folder: Path, digest: str, name: str, if_exists: Literal["Reuse", "Fail"]) -> dict[str, Any] | None:
    """The finished run in the output `name` that can be taken over; None if the output is free for a new one.

    Raises:
        UserError: the output holds another run, or a finished one that must not be taken over.
    """
    found = read_run(folder)
    if found is None:
        for part in (CHECKPOINTS, MODEL):
            if (folder / part).exists():
                raise UserError(
                    f"output: '{name}' holds a folder '{part}' that no run of this kind wrote: write another path."
                )
        return None
    whose = f"a run of {found.get('host', 'another host')}"
    if found.get("outcome") == "Succeeded":
        when = found.get("completionTime", "some time ago")
        if found.get("digest") != digest:
            raise UserError(
                f"output: '{name}' holds {whose} with another configuration, finished {when}: write another path."
            )
        if if_exists == "Fail":
            raise UserError(
                f"output: '{name}' holds {whose}, finished {when}: write another path, "
                "or ifExists Reuse to take it over."
            )
        if (folder / MODEL).is_dir():
            return found
        return None  # somebody removed its model: it is made again
    # Without a checkpoint nothing of value is lost, and a mended configuration must not stumble over the faulty one.
    if found.get("digest") != digest and any((folder / CHECKPOINTS).glob("epoch-*")):
        raise UserError(
            f"output: '{name}' holds {whose} with another configuration, not finished: "
            "write another path, or delete it."
        )
    return None


def clear(folder: Path) -> None:
    """Removes what an unfinished run of the same configuration left, so that the new one starts cleanly."""
    remove_unfinished(folder)
    for part in (CHECKPOINTS, MODEL):
        shutil.rmtree(folder / part, ignore_errors=True)
    (folder / METRICS).unlink(missing_ok=True)
    (folder / FILE_NAME).unlink(missing_ok=True)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
