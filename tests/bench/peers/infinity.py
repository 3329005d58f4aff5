"""Infinity with its torch engine, and with ONNX Runtime by optimum."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bench.peers.install import TORCH, ensure_environment, site_packages
from bench.peers.setting import HOST, Precision, Setting

NAME, OPTIMUM = "infinity", "infinity-optimum"
_PACKAGE = "infinity-emb[torch,server]==0.0.78"
_OPTIMUM_PACKAGE = "infinity-emb[torch,server,optimum]==0.0.78"


def install() -> Path:
    """Its environment."""
    return ensure_environment(NAME, [TORCH, _PACKAGE])


def install_optimum() -> Path:
    """The environment of its other engine."""
    return ensure_environment(OPTIMUM, [TORCH, _OPTIMUM_PACKAGE], _mend)


def _mend(environment: Path) -> None:
    # The optimum that pip brings wants the file's name, where Infinity gives its path.
    code = site_packages(environment) / "infinity_emb" / "transformer" / "classifier" / "optimum.py"
    code.write_text(code.read_text().replace("onnx_file.as_posix()", "onnx_file.name"))


def setting(model: Path, port: int, precision: Precision) -> Setting:
    """Infinity for a folder. BetterTransformer is gone from the transformers that it installs."""
    options = ["--engine", "torch", "--dtype", precision, "--no-bettertransformer"]
    return _setting(NAME, install(), model, port, precision, options)


def optimum_setting(model: Path, port: int, precision: Precision) -> Setting:
    """The same with ONNX Runtime, which needs the model as ONNX."""
    environment = install_optimum()
    # Its warm-up asks with a text that is longer than the model takes, which this engine does not cut.
    options = ["--engine", "optimum", "--no-model-warmup"]
    return _setting(OPTIMUM, environment, _as_onnx(model, environment), port, precision, options)


def _setting(
    name: str, environment: Path, model: Path, port: int, precision: Precision, options: Sequence[str]
) -> Setting:
    command = [
        *(str(environment / "bin" / "infinity_emb"), "v2", "--model-id", str(model), "--served-model-name", "m"),
        *("--device", "cpu", *options, "--host", HOST, "--port", str(port), "--log-level", "warning"),
    ]
    variables = {"INFINITY_ANONYMOUS_USAGE_STATS": "0", "DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONPATH": ""}
    return Setting(name, precision, command, port, "/classify", _body, _probabilities, variables)


def _as_onnx(model: Path, environment: Path) -> Path:
    """A folder beside `model` with the same classifier, written by optimum's own export."""
    folder = model.with_name(f"{model.name}-onnx")
    if not (folder / "model.onnx").is_file():
        shutil.rmtree(folder, ignore_errors=True)
        command = [
            *(str(environment / "bin" / "optimum-cli"), "export", "onnx"),
            *("--task", "text-classification", "--model", str(model), str(folder)),
        ]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": "", "HF_HUB_OFFLINE": "1"})
    return folder


def _body(text: str) -> object:
    return {"model": "m", "input": [text]}


def _probabilities(answer: bytes) -> dict[str, float]:
    return {entry["label"]: entry["score"] for entry in json.loads(answer)["data"][0]}
