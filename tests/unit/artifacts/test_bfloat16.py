"""Models in bfloat16: what is rounded, and what never is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch import nn
from transformers import AutoModelForSequenceClassification

from classifier_artifacts.bfloat16 import (
    CompensatedLinear,
    RoundingLinear,
    cast_backbone,
    head_modules,
    keep_bfloat16,
    to_bfloat16,
)
from classifier_artifacts.folder import open_folder
from support.tiny_models import tiny_folder, tiny_tokenizer

pytestmark = pytest.mark.filterwarnings(
    # peft 0.21 asks for a name that transformers 5.23 has renamed.
    "ignore:.*is_gradient_checkpointing.*:FutureWarning",
)
IDS = torch.tensor([[5, 6, 7, 8], [9, 10, 11, 12]])


def classifier(folder: Path, dtype: torch.dtype) -> Any:
    base = tiny_folder(folder, "llama", dtype=dtype)
    torch.manual_seed(3)
    model: Any = AutoModelForSequenceClassification.from_pretrained(base, num_labels=3, dtype=dtype)
    model.score.float()
    with torch.no_grad():
        model.score.weight.normal_()
    model.config.pad_token_id = 3
    return model


@pytest.fixture
def adapter(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint that is an adapter, and its base, which is stored in bfloat16."""
    model = classifier(tmp_path / "base", torch.bfloat16)
    config = model.config
    adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=2, target_modules=["q_proj", "down_proj"]))
    for parameter in adapted.parameters():
        if parameter.requires_grad:
            parameter.data = torch.randn_like(parameter, dtype=torch.float32) * 0.3
    adapted.save_pretrained(str(tmp_path / "checkpoint"))
    config.save_pretrained(tmp_path / "checkpoint")
    tiny_tokenizer().save_pretrained(tmp_path / "checkpoint")
    return tmp_path / "checkpoint", tmp_path / "base"


def test_adapter_is_rounded_once(adapter: tuple[Path, Path]) -> None:
    """Merged in fp32 and rounded, it is the same whether it was ever whole in fp32 or not."""
    opened = open_folder(*adapter)
    wide: Any = opened.load_model()
    assert {part.dtype for part in wide.parameters()} == {torch.float32}
    narrow = opened.load_model(torch.bfloat16)
    score = wide.score
    cast_backbone(wide, torch.bfloat16)
    for (name, found), (_, expected) in zip(narrow.named_parameters(), wide.named_parameters(), strict=True):
        assert found.dtype == (torch.float32 if name == "score.weight" else torch.bfloat16)
        assert torch.equal(found, expected), name
    stored = load_file(adapter[0] / "adapter_model.safetensors")["base_model.model.score.weight"]
    assert torch.equal(stored, score.weight)
    assert not torch.equal(stored, stored.bfloat16().float())  # there was something to lose


def test_head_of_a_whole_checkpoint_keeps_every_bit(tmp_path: Path) -> None:
    model = classifier(tmp_path / "base", torch.bfloat16)
    model.save_pretrained(tmp_path / "whole")
    tiny_tokenizer().save_pretrained(tmp_path / "whole")
    loaded: Any = open_folder(tmp_path / "whole").load_model(torch.bfloat16)
    assert loaded.score.weight.dtype == torch.float32
    assert torch.equal(loaded.score.weight, model.score.weight)
    assert loaded.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16


def test_positions_are_not_rounded(tmp_path: Path) -> None:
    model = classifier(tmp_path / "base", torch.float32)
    before = model.model.rotary_emb.inv_freq.clone()
    cast_backbone(model, torch.bfloat16)
    assert torch.equal(model.model.rotary_emb.inv_freq, before)
    assert model.model.rotary_emb.inv_freq.dtype == torch.float32


def test_on_a_cpu_only_the_products_are_rounded(tmp_path: Path) -> None:
    model = classifier(tmp_path / "base", torch.float32)
    module: nn.Module = model
    with torch.no_grad():
        expected = module(input_ids=IDS).logits
        to_bfloat16(model, torch.device("cpu"))
        found = module(input_ids=IDS).logits
    assert found.dtype == torch.float32
    assert 0 < float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())
    assert model.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    assert model.model.norm.weight.dtype == torch.float32
    assert [type(part) for part in head_modules(model)] == [nn.Linear]
    assert model.score.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("factor", "kinds"), [(0.01, {"RoundingLinear"}), (30.0, {"RoundingLinear", "CompensatedLinear"})]
)
def test_a_second_product_is_for_models_that_need_it(tmp_path: Path, factor: float, kinds: set[str]) -> None:
    """Larger logits differ by more."""
    model = classifier(tmp_path / "base", torch.float32)
    with torch.no_grad():
        model.score.weight.mul_(factor)
        module: nn.Module = model
        expected = module(input_ids=IDS).logits
        to_bfloat16(model, torch.device("cpu"))
        found = module(input_ids=IDS).logits
    assert {
        type(part).__name__ for part in model.modules() if isinstance(part, (RoundingLinear, CompensatedLinear))
    } == kinds
    assert 0 < float((found - expected).abs().max()) < 0.05 * float(expected.abs().max())


def test_what_is_rounded_next_stays_narrow() -> None:
    linear = nn.Linear(4, 4)
    keep_bfloat16(linear)
    assert linear(torch.ones(1, 4)).dtype == torch.float32
    linear.to(torch.bfloat16)
    linear.__class__ = RoundingLinear
    assert linear(torch.ones(1, 4)).dtype == torch.bfloat16
    linear.__class__ = CompensatedLinear
    assert linear(torch.ones(1, 4)).dtype == torch.float32
