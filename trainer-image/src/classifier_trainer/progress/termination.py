"""The last word of a pod: the progress document, shrunk to what the kubelet keeps. Light: `__main__` imports it."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

LIMIT_BYTES = 4096
_PATH = "/dev/termination-log"
_ENVIRONMENT = "CLASSIFIER_TERMINATION_LOG"


def write(document: dict[str, Any]) -> None:
    """Writes the message where the kubelet looks for it; on a machine without such a file, nothing happens."""
    chosen = os.environ.get(_ENVIRONMENT)
    path = Path(chosen or _PATH)
    if chosen is None and not path.exists():
        return
    try:
        path.write_bytes(shrink(document))
    except OSError as error:
        print(f"warning: the termination message could not be written: {error}", flush=True)


def shrink(document: dict[str, Any], limit: int = LIMIT_BYTES) -> bytes:
    """The document as JSON of at most `limit` bytes.

    Dropped in this order until it fits: the labels, the warnings, every checkpoint but the best and the last, the
    dataset, the end of the message.
    """
    small = copy.deepcopy(document)
    for cut in (_nothing, _labels, _warnings, _checkpoints, _dataset):
        cut(small)
        content = _encode(small)
        if len(content) <= limit:
            return content
    message = str(small.get("message", ""))
    while len(content) > limit and message:
        message = message[: max(0, len(message) - max(16, (len(content) - limit) // 4))]
        small["message"] = message + "…"
        content = _encode(small)
    return content


def _encode(document: dict[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode("utf-8", errors="replace")


def _nothing(document: dict[str, Any]) -> None:
    del document


def _labels(document: dict[str, Any]) -> None:
    document.get("dataset", {}).pop("labels", None)


def _warnings(document: dict[str, Any]) -> None:
    document.get("dataset", {}).pop("warnings", None)


def _checkpoints(document: dict[str, Any]) -> None:
    found = document.get("checkpoints", [])
    document["checkpoints"] = [
        item for index, item in enumerate(found) if index == len(found) - 1 or item["name"] == document.get("best")
    ]


def _dataset(document: dict[str, Any]) -> None:
    document.pop("dataset", None)
