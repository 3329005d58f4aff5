"""model/ of a run of each method, opened by plain transformers in a fresh process: the probabilities of its tests."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any, Literal

import pytest

from classifier_artifacts.classifier_json import Task
from support.checkpoint_writer import writer
from support.tiny_models import Kind, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

LOADER = """
import json, sys, torch
for module in ("peft", "classifier_artifacts", "classifier_trainer"):
    sys.modules[module] = None
from transformers import pipeline
torch.manual_seed(12345)
for folder, texts in json.load(sys.stdin):
    classify = pipeline("text-classification", model=folder, top_k=None, batch_size=7)
    print(json.dumps([{item["label"]: item["score"] for item in answer} for answer in classify(texts)]))
"""


@dataclass(frozen=True)
class Case:
    kind: Kind
    method: Literal["LoRA", "Full", "HeadOnly"]
    task: Task


CASES = [
    Case("qwen3", "LoRA", "Binary"),
    Case("qwen3", "HeadOnly", "Multiclass"),
    Case("llama", "Full", "Multiclass"),
    Case("smollm2", "LoRA", "Multilabel"),
    Case("mistral", "Full", "Multilabel"),
    Case("gemma", "HeadOnly", "Binary"),
    Case("gemma3", "LoRA", "Multiclass"),
    Case("gemma3", "Full", "Multiclass"),
    Case("bert", "LoRA", "Multiclass"),
    Case("bert", "HeadOnly", "Multiclass"),
    Case("minilm", "Full", "Binary"),
    Case("modernbert", "LoRA", "Binary"),
    Case("modernbert", "Full", "Multilabel"),
    Case("modernbert", "HeadOnly", "Multiclass"),
    Case("roberta", "LoRA", "Multilabel"),
]
Found = dict[Case, tuple[list[dict[str, Any]], list[dict[str, float]]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Of each case the rows of its tests, and what a pipeline makes of them."""
    root = tmp_path_factory.mktemp("transformers")
    orders, results = [], []
    for number, case in enumerate(CASES):
        folder = root / str(number)
        made = writer(tiny_folder(folder / "base", case.kind), folder / "out", task=case.task, method=case.method)
        made.write(1, sharpness=5.0)
        made.writer.finish()
        text = (folder / "out/checkpoints/epoch-1/test/results.jsonl").read_text()
        rows = [json.loads(line) for line in text.splitlines()]
        results.append(rows)
        orders.append([str(folder / "out" / "model"), [row["prompt"] for row in rows]])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER],
        input=json.dumps(orders),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {case: (rows, answer) for case, rows, answer in zip(CASES, results, answers, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.method}-{case.task}")
def test_pipeline_gives_our_probabilities(found: Found, case: Case) -> None:
    rows, answers = found[case]
    assert len(rows) == len(answers) == 30
    for row, theirs in zip(rows, answers, strict=True):
        for label, probability in row["probabilities"].items():
            assert theirs[label] == pytest.approx(probability, abs=2e-5)
        if case.task == "Binary":
            assert theirs["not sport"] == pytest.approx(1 - theirs["sport"], abs=2e-5)
    label = next(iter(rows[0]["probabilities"]))
    assert max(row["probabilities"][label] for row in rows) - min(row["probabilities"][label] for row in rows) > 0.01
