"""Folders and configurations for runs on tiny models."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from classifier_trainer.config import RunConfig, parse
from support.tiny_models import Kind, tiny_folder

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the command does it

MakeConfig = Callable[..., RunConfig]


@pytest.fixture(scope="session")
def base_models(tmp_path_factory: pytest.TempPathFactory) -> dict[Kind, Path]:
    """A folder of each kind of backbone."""
    root = tmp_path_factory.mktemp("base")
    kinds: tuple[Kind, ...] = ("qwen3", "llama", "bert", "roberta")
    return {kind: tiny_folder(root / kind, kind) for kind in kinds}


@pytest.fixture
def make_config(tmp_path: Path, base_models: dict[Kind, Path]) -> MakeConfig:
    """A configuration over `tmp_path`: `make(train=path, test=path or share, kind=..., **hyperparameters)`."""

    def make(
        train: Path,
        *,
        test: Path | float | None = None,
        kind: Kind = "qwen3",
        output: str = "out",
        more: dict[str, Any] | None = None,
        **hyperparameters: Any,
    ) -> RunConfig:
        content: dict[str, Any] = {
            "baseModel": {"uri": f"file://{base_models[kind]}"},
            "trainDataset": {"uri": f"file://{train}"},
            "hyperparameters": {"precision": "Float32", **hyperparameters},
            "output": {"uri": f"file://{tmp_path / output}"},
        }
        if test is not None:
            content["testDataset"] = {"split": test} if isinstance(test, float) else {"uri": f"file://{test}"}
        return parse({**content, **(more or {})})

    return make
