"""This project's server, as its image starts it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from bench.peers.setting import HOST, Precision, Setting

NAME = "ours"
_PRECISIONS = {"float32": "Float32", "bfloat16": "BFloat16", "auto": "Auto"}


def setting(model: Path, port: int, precision: Precision) -> Setting:
    """Our server for a folder."""
    config = {
        "version": "v1alpha1",
        "name": "m",
        "model": {"uri": f"file://{model}"},
        "server": {"precision": _PRECISIONS[precision]},
    }
    command = [
        *(sys.executable, "-m", "classifier_server", "--host", HOST, "--port", str(port)),
        *("--internal-port", "0", "--drain-seconds", "0"),
    ]
    environment = {
        "CLASSIFIER_SERVE_CONFIG": json.dumps(config),
        "PYTHONPATH": ":".join(entry for entry in sys.path if entry),
    }
    return Setting(NAME, precision, command, port, "/v1/classification", _body, _probabilities, environment)


def _body(text: str) -> object:
    return {"input": text}


def _probabilities(answer: bytes) -> dict[str, float]:
    found: dict[str, float] = json.loads(answer)["data"][0]["probs"]
    return found
