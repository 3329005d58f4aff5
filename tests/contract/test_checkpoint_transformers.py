"""The model/ of a run, opened by a plain pipeline of transformers, names the labels that the run's tests name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import pipeline

from classifier_trainer.config import parse
from classifier_trainer.run import run
from support.tiny_models import Kind, binary, multiclass, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.mark.parametrize("method", ["LoRA", "HeadOnly"])
@pytest.mark.parametrize(("kind", "one"), [("qwen3", True), ("llama", False), ("bert", True)])
def test_pipeline(tmp_path: Path, kind: Kind, one: bool, method: str) -> None:
    base = tiny_folder(tmp_path / "base", kind)
    train = binary(tmp_path / "train", 60) if one else multiclass(tmp_path / "train", 60)
    config: dict[str, Any] = {
        "baseModel": {"uri": f"file://{base}"},
        "trainDataset": {"uri": f"file://{train}"},
        "testDataset": {"split": 0.2},
        "hyperparameters": {"method": method, "precision": "Float32"},
        "output": {"uri": str(tmp_path / "out")},
    }
    assert run(parse(config), port=0) == 0
    text = (tmp_path / "out" / "checkpoints").glob("*/test/results.jsonl")
    rows = [json.loads(line) for line in sorted(text)[-1].read_text().splitlines()]
    make: Any = pipeline
    classify = make("text-classification", model=str(tmp_path / "out" / "model"), top_k=None, batch_size=4)
    for row, answer in zip(rows, classify([row["prompt"] for row in rows]), strict=True):
        theirs = {item["label"]: item["score"] for item in answer}
        for label, probability in row["probabilities"].items():
            assert theirs[label] == pytest.approx(probability, abs=1e-4)
        if one:
            assert theirs["not is_sport"] == pytest.approx(1 - theirs["is_sport"], abs=1e-4)
