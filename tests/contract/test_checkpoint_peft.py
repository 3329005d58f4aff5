"""Adapter checkpoints of the trainer, loaded by peft as the README says, in a fresh process under another seed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from classifier_artifacts.classifier_json import Task
from support.checkpoint_writer import writer
from support.tiny_models import TOPICS, Kind, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

LOADER = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
torch.manual_seed(12345)
for base, checkpoint in json.load(sys.stdin):
    model = PeftModel.from_pretrained(
        AutoModelForSequenceClassification.from_pretrained(
            base, config=AutoConfig.from_pretrained(checkpoint), ignore_mismatched_sizes=True
        ),
        checkpoint,
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    rows = [json.loads(line) for line in open(checkpoint + "/test/results.jsonl")]
    batch = tokenizer([row["prompt"] for row in rows], truncation=True, padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    with torch.no_grad():
        logits = model(**batch).logits
    several = model.config.problem_type == "multi_label_classification"
    probabilities = torch.sigmoid(logits) if several else torch.softmax(logits, dim=1)
    names = [model.config.id2label[index] for index in range(logits.shape[1])]
    print(json.dumps([dict(zip(names, row)) for row in probabilities.tolist()]))
"""


@dataclass(frozen=True)
class Case:
    kind: Kind
    task: Task
    continued: bool = False
    """On model/ of an earlier run with one label less."""


CASES = [
    Case("qwen3", "Multiclass"),
    Case("llama", "Multilabel"),
    Case("smollm2", "Binary"),
    Case("mistral", "Multiclass"),
    Case("gemma", "Multiclass"),
    Case("gemma3", "Multilabel"),
    Case("bert", "Multiclass"),
    Case("minilm", "Binary"),
    Case("modernbert", "Multilabel"),
    Case("roberta", "Multilabel"),
    Case("qwen3", "Multiclass", continued=True),
    Case("modernbert", "Multiclass", continued=True),
]


def checkpoint(folder: Path, case: Case) -> tuple[Path, Path]:
    """The folders of a base model and of a checkpoint."""
    base = tiny_folder(folder / "base", case.kind)
    if case.continued:
        first = writer(base, folder / "first", topics=list(TOPICS)[:2])
        first.write(1, sharpness=5.0)
        first.writer.finish()
        base = folder / "first" / "model"
    made = writer(base, folder / "out", task=case.task)
    made.write(1, sharpness=5.0)
    return base, folder / "out" / "checkpoints" / "epoch-1"


Found = dict[Case, tuple[Path, list[dict[str, float]]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """Of each case the checkpoint, and what peft makes of it; one process for all, for its imports take longest."""
    root = tmp_path_factory.mktemp("peft")
    pairs = [checkpoint(root / str(number), case) for number, case in enumerate(CASES)]
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER],
        input=json.dumps([[str(path) for path in pair] for pair in pairs]),
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(root), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return {case: (pair[1], answer) for case, pair, answer in zip(CASES, pairs, answers, strict=True)}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.kind}-{case.task}{'-continued' * case.continued}")
def test_peft_gives_our_probabilities(found: Found, case: Case) -> None:
    folder, answers = found[case]
    assert (folder / "adapter_model.safetensors").exists()
    rows: list[dict[str, Any]] = [
        json.loads(line) for line in (folder / "test" / "results.jsonl").read_text().splitlines()
    ]
    assert len(answers) == len(rows) == 30
    for row, theirs in zip(rows, answers, strict=True):
        for label, probability in row["probabilities"].items():
            assert theirs[label] == pytest.approx(probability, abs=2e-5)
    # It is no constant that they agree on.
    label = next(iter(rows[0]["probabilities"]))
    assert max(row["probabilities"][label] for row in rows) - min(row["probabilities"][label] for row in rows) > 0.01
