"""Backbones of every kind, their limits, and adapters that leave nothing new unsaved."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch

from classifier_trainer.errors import UserError
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.lora import add_adapter
from support.tiny_models import Kind, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def load(
    path: Path,
    max_length: int | None = None,
    dtype: torch.dtype = torch.float32,
    labels: tuple[str, ...] = ("a", "b", "c"),
) -> Backbone:
    return load_backbone(path, "pvc://m/x", task="Multiclass", labels=list(labels), max_length=max_length, dtype=dtype)


@pytest.mark.parametrize(
    ("kind", "new"),
    [
        ("qwen3", ["score"]),
        ("llama", ["score"]),
        ("bert", ["bert.pooler.dense", "classifier"]),
        ("roberta", ["classifier"]),
    ],
)
def test_what_is_new_is_trained_whole_in_fp32(base_models: dict[Kind, Path], kind: Kind, new: list[str]) -> None:
    backbone = load(base_models[kind], dtype=torch.bfloat16)
    assert backbone.new_modules == new
    adapted = add_adapter(backbone, rank=4, alpha=8, dropout=0, target_modules=None)
    trained = {name: part for name, part in adapted.model.named_parameters() if part.requires_grad}
    assert all(part.dtype == torch.float32 for part in trained.values())
    for module in new:
        assert any(f"{module}.modules_to_save" in name for name in trained)
    assert len(adapted.body) + len(adapted.head) == len(adapted.parameters()) == len(trained)
    # No adapter on what is trained whole, and one on every other linear layer.
    assert not any(module in name for name in trained if ".lora_" in name for module in new)
    layers = {name.partition(".lora_")[0] for name in trained if ".lora_" in name}
    assert len(layers) == 2 * (6 if kind in ("bert", "roberta") else 7)
    assert adapted.inner.dtype == torch.bfloat16


def test_named_targets(base_models: dict[Kind, Path]) -> None:
    adapted = add_adapter(load(base_models["qwen3"]), rank=2, alpha=4, dropout=0.1, target_modules=["q_proj", "v_proj"])
    assert len(adapted.body) == 2 * 2 * 2
    with pytest.raises(UserError, match="has no layer 'query': it has down_proj, gate_proj"):
        add_adapter(load(base_models["qwen3"]), rank=2, alpha=4, dropout=0, target_modules=["query"])


def test_configuration_of_the_head(base_models: dict[Kind, Path]) -> None:
    found = load(base_models["qwen3"]).model.config
    assert found.id2label == {0: "a", 1: "b", 2: "c"}
    assert found.problem_type == "single_label_classification"
    assert found.pad_token_id == 3  # the base model had none
    binary = load_backbone(
        base_models["bert"], "x", task="Binary", labels=["is_cat"], max_length=None, dtype=torch.float32
    )
    assert binary.model.config.id2label == {0: "not is_cat", 1: "is_cat"}
    several = load_backbone(
        base_models["bert"], "x", task="Multilabel", labels=["a", "b"], max_length=None, dtype=torch.float32
    )
    assert several.model.config.problem_type == "multi_label_classification"


def test_max_length(base_models: dict[Kind, Path]) -> None:
    assert load(base_models["bert"]).max_length == 128
    assert load(base_models["bert"], 64).max_length == 64
    # RoBERTa counts positions from behind the pad id.
    assert load(base_models["roberta"]).max_length == 124
    with pytest.raises(UserError, match="maxLength is 129, but 'pvc://m/x' bears at most 128"):
        load(base_models["bert"], 129)


def test_classifier_as_base_gets_a_new_head(tmp_path: Path, base_models: dict[Kind, Path]) -> None:
    first = load(base_models["qwen3"])
    folder = tmp_path / "classifier"
    shutil.copytree(base_models["qwen3"], folder)
    first.model.save_pretrained(folder)
    assert load(folder, labels=("a", "b")).head.out_features == 2
    assert load(folder).new_modules == ["score"]


def test_no_base_model(tmp_path: Path, base_models: dict[Kind, Path]) -> None:
    with pytest.raises(UserError, match=r"baseModel\.uri: 'pvc://m/x' is not a folder"):
        load(tmp_path / "absent")
    with pytest.raises(UserError, match=r"holds no config\.json"):
        load(tmp_path)
    for name, words in (("tokenizer.json", "has no tokenizer"), ("model.safetensors", "cannot be loaded")):
        folder = tmp_path / name
        shutil.copytree(base_models["qwen3"], folder)
        (folder / name).unlink()
        with pytest.raises(UserError, match=words) as caught:
            load(folder)
        assert "pvc://m/x" in str(caught.value)


def test_weights_of_another_model(tmp_path: Path, base_models: dict[Kind, Path]) -> None:
    folder = tmp_path / "mixed"
    shutil.copytree(base_models["bert"], folder)
    shutil.copy(base_models["qwen3"] / "model.safetensors", folder / "model.safetensors")
    with pytest.raises(UserError, match="holds no weights for its own config"):
        load(folder)


def test_broken_weights(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    (folder / "model.safetensors").write_bytes(b"broken")
    with pytest.raises(UserError, match="cannot be loaded as a backbone"):
        load(folder)


def test_adapter_is_no_base(tmp_path: Path) -> None:
    folder = tiny_folder(tmp_path / "m")
    (folder / "adapter_config.json").write_text(json.dumps({}))
    with pytest.raises(UserError, match="is an adapter"):
        load(folder)
