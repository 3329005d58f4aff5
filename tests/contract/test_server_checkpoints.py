"""Checkpoints that others wrote, answered over HTTP with the probabilities of plain transformers and peft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier_artifacts.errors import UserError
from classifier_artifacts.folder import folder_digest
from classifier_server.config import ServeConfig, parse
from classifier_server.loading import load_classifier
from classifier_server.metrics import Metrics
from support.answers import answers
from support.server_models import TEXTS, bert_folder, llama_folder, write_classifier_json

# peft 0.21 asks transformers 5.23 for an attribute under its old name.
pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")

# Without the empty text, which the byte-level tokenizer of a foreign folder makes nothing of.
INPUT = [text for text in TEXTS if text]
LABELS = [f"label-{index}" for index in range(4)]
Probabilities = npt.NDArray[np.float64]


def config_of(model: Path, base: Path | None = None, **server: Any) -> ServeConfig:
    """As the operator writes it, with claims mounted at the folders of the test."""
    mounts = {"pvc://out/model": str(model)} | ({"pvc://base/model": str(base)} if base else {})
    document: dict[str, Any] = {
        "version": "v1alpha1",
        "name": "news",
        "model": {"uri": "pvc://out/model"},
        "server": {"precision": "Float32"} | server,
        "mounts": mounts,
    }
    return parse(document | ({"baseModel": {"uri": "pvc://base/model"}} if base else {}), "test")


def rows_of(config: ServeConfig, **request: Any) -> list[dict[str, Any]]:
    """What the server answers to INPUT, each text alone and all together, which must be the same."""
    alone = [{"input": text} | request for text in INPUT]
    *singles, rows = answers(config, *alone, {"input": INPUT} | request)
    for (single,), row in zip(singles, rows, strict=True):
        assert single["label"] == row["label"]
        key = "logits" if "logits" in row else "probs"
        assert single[key] == pytest.approx(row[key], abs=1e-4)
    return rows


def logits_of(model: Any, folder: Path) -> Probabilities:
    """Plain transformers, a text at a time."""
    tokenizer = AutoTokenizer.from_pretrained(folder)
    with torch.inference_mode():
        batches = [tokenizer(text, truncation=True, return_tensors="pt") for text in INPUT]
        return np.stack([model(**batch).logits[0].double().numpy() for batch in batches])


def plain(folder: Path) -> Probabilities:
    return logits_of(AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval(), folder)


def softmax(logits: Probabilities) -> Probabilities:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def sigmoid(logits: Probabilities) -> Probabilities:
    return np.asarray(1 / (1 + np.exp(-logits)))


def same(rows: list[dict[str, Any]], names: list[str], expected: Probabilities, key: str = "probs") -> None:
    assert np.ptp(expected, axis=0).max() > 0.05  # else the texts would all look alike
    for row, values in zip(rows, expected, strict=True):
        assert row[key] == pytest.approx(dict(zip(names, values, strict=True)), abs=1e-4)


@pytest.mark.parametrize("make", [bert_folder, llama_folder])
def test_multiclass(tmp_path: Path, make: Any) -> None:
    folder = make(tmp_path)
    rows = rows_of(config_of(folder))
    expected = softmax(plain(folder))
    same(rows, LABELS, expected)
    assert [row["label"] for row in rows] == [LABELS[index] for index in expected.argmax(axis=1)]
    same(rows_of(config_of(folder), data_format="logits"), LABELS, plain(folder), "logits")


@pytest.mark.parametrize("make", [bert_folder, llama_folder])
def test_multilabel(tmp_path: Path, make: Any) -> None:
    folder = make(tmp_path, problem_type="multi_label_classification")
    thresholds = dict(zip(LABELS, (0.2, 0.5, 0.8, 0.5), strict=True))
    write_classifier_json(folder, task="Multilabel", labels=LABELS, thresholds=thresholds)
    rows = rows_of(config_of(folder))
    expected = sigmoid(plain(folder))
    same(rows, LABELS, expected)
    for row, values in zip(rows, expected, strict=True):
        assert row["labels"] == [name for name, p in zip(LABELS, values, strict=True) if p >= thresholds[name]]


def test_binary_of_ours_has_one_label(tmp_path: Path) -> None:
    names: dict[str, Any] = {"id2label": {0: "not spam", 1: "spam"}, "label2id": {"not spam": 0, "spam": 1}}
    folder = llama_folder(tmp_path, labels=2, problem_type="single_label_classification", **names)
    write_classifier_json(folder, task="Binary", labels=["spam"], thresholds={"spam": 0.5})
    same(rows_of(config_of(folder)), ["spam"], softmax(plain(folder))[:, 1:])


def test_foreign_one_logit(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path, labels=1)
    same(rows_of(config_of(folder)), ["label-0"], sigmoid(plain(folder)))


def test_bfloat16_weights_on_disk(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path)
    AutoModelForSequenceClassification.from_pretrained(folder).bfloat16().save_pretrained(folder)
    same(rows_of(config_of(folder)), LABELS, softmax(plain(folder)))


@pytest.fixture
def adapter(tmp_path: Path) -> tuple[Path, Path]:
    """An adapter that peft wrote, as a checkpoint of ours, and the base model without a head that it needs."""
    base, checkpoint = llama_folder(tmp_path / "base", suffix=None), llama_folder(tmp_path / "epoch-1")
    model = AutoModelForSequenceClassification.from_pretrained(base, dtype=torch.float32)
    model.model.save_pretrained(base)
    lora: Any = get_peft_model(
        model, LoraConfig(task_type="SEQ_CLS", r=4, lora_alpha=16, target_modules="all-linear", use_rslora=True)
    )
    torch.manual_seed(7)
    with torch.no_grad():
        for name, parameter in lora.named_parameters():
            if parameter.requires_grad:
                parameter.normal_(0.0, 0.5 if "score" in name else 0.1)
    lora.eval().save_pretrained(checkpoint)
    (checkpoint / "model.safetensors").unlink()
    reference = {"uri": "pvc://base/model", "digest": folder_digest(base)}
    write_classifier_json(checkpoint, task="Multiclass", labels=LABELS, baseModel=reference)
    return checkpoint, base


def test_adapter(adapter: tuple[Path, Path]) -> None:
    checkpoint, base = adapter
    model = AutoModelForSequenceClassification.from_pretrained(base, num_labels=4, dtype=torch.float32)
    model.config.pad_token_id = 0
    with_adapter = PeftModel.from_pretrained(model, checkpoint).eval()
    expected = softmax(logits_of(with_adapter, checkpoint))
    with with_adapter.disable_adapter():
        assert np.abs(softmax(logits_of(with_adapter, checkpoint)) - expected).max() > 0.05
    same(rows_of(config_of(checkpoint, base)), LABELS, expected)


def test_adapter_without_its_base(adapter: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, _ = adapter

    def load(config: ServeConfig) -> None:
        load_classifier(config, Metrics(), report=lambda _: None, on_broken=lambda _: None)

    with pytest.raises(UserError, match="is an adapter and needs the base model of pvc://base/model"):
        load(config_of(checkpoint))
    other = llama_folder(tmp_path / "other", labels=3)
    with pytest.raises(UserError, match="was trained from another base model"):
        load(config_of(checkpoint, other))
    with pytest.raises(UserError, match=r"baseModel\.uri: 'pvc://base/model' does not exist"):
        load(config_of(checkpoint, tmp_path / "nowhere"))
