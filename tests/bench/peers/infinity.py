"""Infinity with its torch engine."""

from __future__ import annotations

import json
from pathlib import Path

from bench.peers.install import TORCH, ensure_environment
from bench.peers.setting import HOST, Precision, Setting

NAME = "infinity"
_PACKAGE = "infinity-emb[torch,server]==0.0.78"


def install() -> Path:
    """Its environment."""
    return ensure_environment(NAME, [TORCH, _PACKAGE])


def setting(model: Path, port: int, precision: Precision) -> Setting:
    """Infinity for a folder. BetterTransformer is gone from the transformers that it installs."""
    command = [
        *(str(install() / "bin" / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "m"),
        *("--engine", "torch", "--device", "cpu", "--dtype", precision, "--no-bettertransformer"),
        *("--host", HOST, "--port", str(port), "--log-level", "warning"),
    ]
    variables = {"INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    return Setting(NAME, precision, command, port, "/classify", _body, _probabilities, variables)


def _body(text: str) -> object:
    return {"model": "m", "input": [text]}


def _probabilities(answer: bytes) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in json.loads(answer)["data"][0]}
