"""An adapter checkpoint of the trainer, loaded by peft in a fresh process under another seed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from classifier_trainer.config import parse
from classifier_trainer.run import run
from support.tiny_models import Kind, multiclass, multilabel, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

LOADER = """
import json, sys, torch
from peft import PeftModel
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer
torch.manual_seed(12345)
base, checkpoint = sys.argv[1:]
model = PeftModel.from_pretrained(
    AutoModelForSequenceClassification.from_pretrained(base, config=AutoConfig.from_pretrained(checkpoint)), checkpoint
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


@pytest.mark.parametrize(("kind", "several"), [("qwen3", False), ("bert", False), ("roberta", True)])
def test_peft_gives_our_probabilities(tmp_path: Path, kind: Kind, several: bool) -> None:
    base = tiny_folder(tmp_path / "base", kind)
    make = multilabel if several else multiclass
    config: dict[str, Any] = {
        "baseModel": {"uri": f"file://{base}"},
        "trainDataset": {"uri": f"file://{make(tmp_path / 'train', 60)}"},
        "testDataset": {"split": 0.2},
        "hyperparameters": {"epochs": 2, "precision": "Float32", "maxLength": 24},
        "output": {"uri": str(tmp_path / "out")},
    }
    assert run(parse(config), port=0) == 0
    checkpoint = tmp_path / "out" / "checkpoints" / "epoch-2"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOADER, str(base), str(checkpoint)],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"},
    )
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in (checkpoint / "test" / "results.jsonl").read_text().splitlines()]
    found = json.loads(done.stdout)
    assert len(found) == len(rows) > 5
    for row, theirs in zip(rows, found, strict=True):
        assert theirs == pytest.approx(row["probabilities"], abs=1e-4)
