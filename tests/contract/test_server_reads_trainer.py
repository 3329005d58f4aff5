"""A run of the real trainer, and each checkpoint of it served with the probabilities of plain transformers and peft."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from peft import PeftModel
from transformers import AutoModel, AutoModelForSequenceClassification, AutoTokenizer

from classifier_server.config import parse
from classifier_trainer.config import RunConfig
from classifier_trainer.run import run
from support.answers import answers
from support.server_models import llama_folder

# peft 0.21 asks transformers 5.23 for an attribute under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

SUBJECTS = {
    "oil": ["crude", "barrel", "opec", "petrol"],
    "grain": ["wheat", "corn", "harvest", "maize"],
    "money": ["bank", "currency", "dollar", "rate"],
}
ROWS = 48
BASE, OUTPUT = "pvc://base/model", "pvc://out"
Completion = dict[str, int]


def text_of(generator: np.random.Generator, subjects: list[str]) -> str:
    words = [word for subject in subjects for word in SUBJECTS[subject]] or ["weather", "rain", "sun"]
    return " ".join(generator.choice(words, 6))


def rows_of(task: str) -> list[dict[str, Any]]:
    generator = np.random.default_rng(11)
    names = list(SUBJECTS)
    rows: list[dict[str, Any]] = []
    for number in range(ROWS):
        if task == "Multiclass":
            chosen = [names[number % 3]]
        elif task == "Binary":
            chosen = ["oil"] if number % 2 else []
        else:
            chosen = [name for name in names if generator.random() < 0.5]
        known = ["oil"] if task == "Binary" else names
        rows.append({"prompt": text_of(generator, chosen), "completion": {name: int(name in chosen) for name in known}})
    return rows


def train(folder: Path, task: str, method: str) -> tuple[Path, Path]:
    """The folders of the base model and of the run."""
    base, output, data = llama_folder(folder / "base", suffix=None), folder / "out", folder / "train.jsonl"
    AutoModelForSequenceClassification.from_pretrained(base).model.save_pretrained(base)
    output.mkdir()
    data.write_text("".join(json.dumps(row) + "\n" for row in rows_of(task)))
    hyperparameters: dict[str, Any] = {"method": method, "maxLength": 32, "template": "{prompt}\nTopic:"}
    if method == "LoRA":
        hyperparameters |= {"epochs": 2, "learningRate": 5e-3, "lora": {"rank": 4, "alpha": 8}}
    document = {
        "version": "v1alpha1",
        "baseModel": {"uri": BASE},
        "taskType": task,
        "trainDataset": {"uri": "pvc://data/train.jsonl"},
        "testDataset": {"split": 0.25},
        "hyperparameters": hyperparameters,
        "output": {"uri": OUTPUT},
        "mounts": {BASE: str(base), "pvc://data/train.jsonl": str(data), OUTPUT: str(output)},
    }
    assert run(RunConfig.model_validate(document), port=0) == 0
    return base, output


def served(folder: Path, base: Path, texts: list[str]) -> list[dict[str, Any]]:
    uri = f"{OUTPUT}/model"
    document = {
        "version": "v1alpha1",
        "name": "news",
        "checkpoint": "epoch-1",
        "model": {"uri": uri},
        "baseModel": {"uri": BASE},
        "server": {"precision": "Float32"},
        "mounts": {uri: str(folder), BASE: str(base)},
    }
    (rows,) = answers(parse(document, "test"), {"input": texts})
    return rows


def expected(folder: Path, base: Path, texts: list[str], task: str) -> npt.NDArray[np.float64]:
    """Probabilities by transformers, and by peft for an adapter, without any code of ours."""
    if (folder / "adapter_config.json").exists():
        config = AutoModel.from_pretrained(base).config
        config.update({key: value for key, value in json.loads((folder / "config.json").read_text()).items()
                       if key in ("id2label", "label2id", "pad_token_id", "problem_type")})  # fmt: skip
        blank = AutoModelForSequenceClassification.from_pretrained(base, config=config, dtype=torch.float32)
        model: Any = PeftModel.from_pretrained(blank, folder).eval()
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        batches = [tokenizer(text, truncation=True, max_length=32, return_tensors="pt") for text in texts]
        logits = torch.stack([model(**batch).logits[0].double() for batch in batches])
    probs = logits.sigmoid() if task == "Multilabel" else logits.softmax(-1)
    return np.asarray(probs[:, 1:] if task == "Binary" else probs)


@pytest.mark.parametrize(
    ("task", "method"), [("Multiclass", "LoRA"), ("Binary", "LoRA"), ("Multilabel", "LoRA"), ("Multiclass", "HeadOnly")]
)
def test_every_checkpoint_of_a_run(tmp_path: Path, task: str, method: str) -> None:
    base, output = train(tmp_path, task, method)
    rows = rows_of(task)
    texts = [row["prompt"] for row in rows[:12]] + ["crude " * 60]
    checkpoints = sorted((output / "checkpoints").iterdir())
    assert [folder.name for folder in checkpoints] == (["epoch-1", "epoch-2"] if method == "LoRA" else ["epoch-1"])
    for folder in (*checkpoints, output / "model"):
        labels = json.loads((folder / "classifier.json").read_text())["labels"]
        probs = expected(folder, base, texts, task)
        for answer, values in zip(served(folder, base, texts), probs, strict=True):
            assert answer["probs"] == pytest.approx(dict(zip(labels, values, strict=True)), abs=1e-4), folder.name
        assert np.ptp(probs, axis=0).max() > 0.05
    assert not (output / "model" / "adapter_config.json").exists()
    np.testing.assert_allclose(
        expected(output / "model", base, texts, task), expected(checkpoints[-1], base, texts, task), atol=1e-4
    )
