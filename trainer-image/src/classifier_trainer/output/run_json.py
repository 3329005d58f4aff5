"""run.json: what was run, by which versions, and how it ended; and whether it can be taken over or gone on with."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Literal

from classifier_trainer import __version__
from classifier_trainer.errors import UserError
from classifier_trainer.output.atomic import write_json
from classifier_trainer.output.store import Store

FILE_NAME = "run.json"
CHECKPOINTS, MODEL, STATE, METRICS = "checkpoints", "model", "state", "metrics.jsonl"
PROFILE, REPORT = "profile.json", "report.html"
_PACKAGES = ("torch", "transformers", "peft", "tokenizers", "scikit-learn", "numpy", "accelerate")


class Record:
    """The run.json of the run that is going on; every change is shown to readers at once."""

    def __init__(self, store: Store, content: dict[str, Any]) -> None:
        self.content = content
        self._store = store

    def update(self, **values: Any) -> None:
        """Sets fields and writes the file."""
        self.content |= values
        write_json(self._store.folder / FILE_NAME, self.content)
        self._store.publish(FILE_NAME)


def now() -> str:
    """The time as Kubernetes writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read_run(store: Store) -> dict[str, Any] | None:
    """The run.json of an output; None if there is none, empty if it cannot be read."""
    if not store.bring(FILE_NAME):
        return None
    try:
        content = json.loads((store.folder / FILE_NAME).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


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
        "checkpoints": [],
        "best": None,
    }


def finished_run(store: Store, digest: str, if_exists: Literal["Reuse", "Fail"]) -> dict[str, Any] | None:
    """The finished run in the output that can be taken over; None if the output is free for a new one.

    Raises:
        UserError: the output holds another run, or a finished one that must not be taken over.
    """
    name, found = store.uri, read_run(store)
    if found is None:
        for part in (CHECKPOINTS, MODEL):
            if store.names(part):
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
        if store.names(MODEL):
            return found
        return None  # somebody removed its model: it is made again
    # Without a checkpoint nothing of value is lost, and a mended configuration must not stumble over the faulty one.
    if found.get("digest") != digest and store.names(CHECKPOINTS):
        raise UserError(
            f"output: '{name}' holds {whose} with another configuration, not finished: "
            "write another path, or delete it."
        )
    return None


def unfinished_run(store: Store, digest: str) -> dict[str, Any] | None:
    """The run.json of a run of the same configuration that was cut off after it had saved a state, to go on with.

    What is half written is removed, and everything else that going on needs is brought to this machine: metrics,
    profile, what the checkpoints' tests left, and the saved states.
    """
    found = read_run(store)
    if not found or found.get("digest") != digest or found.get("outcome") == "Succeeded" or not store.names(STATE):
        return None
    store.remove_unfinished()
    store.bring(STATE)
    if not any(path.is_dir() for path in (store.folder / STATE).iterdir()):
        return None
    for name in (METRICS, PROFILE, CHECKPOINTS):
        store.bring(name, weights=False)
    return found


def clear(store: Store) -> None:
    """Removes what a run that cannot be gone on with left, so that the new one starts cleanly."""
    store.remove_unfinished()
    # run.json last: without it, folders of ours would look like somebody else's.
    store.delete(CHECKPOINTS, MODEL, STATE, METRICS, PROFILE, REPORT, FILE_NAME)


def _versions() -> dict[str, str]:
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
