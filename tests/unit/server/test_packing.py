"""Packed texts have the logits that each has alone, in each architecture that is packed; others stay as they are."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from classifier_artifacts.bfloat16 import head_modules, to_bfloat16
from classifier_server import fused_layers
from classifier_server.packed_rows import rounded_rows
from classifier_server.packing import pack
from classifier_server.prepacking import prepack

VOCABULARY, PAD = 120, 1
_SMALL: dict[str, Any] = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
    "intermediate_size": 64, "max_position_embeddings": 80, "pad_token_id": PAD, "num_labels": 3,
    "initializer_range": 0.4,
}  # fmt: skip
_DECODER = {"num_key_value_heads": 2, "head_dim": 8}
PACKED: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "xlm-roberta": {},
    "electra": {"embedding_size": 32},
    "camembert": {},
    "llama": _DECODER,
    "qwen2": _DECODER,
    "qwen3": _DECODER,
    "mistral": {**_DECODER, "sliding_window": None},
    "distilbert": {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64},
    "gpt2": {},
}
FUSED = {"bert", "roberta", "xlm-roberta", "electra", "camembert"}
PADDED: dict[str, dict[str, Any]] = {
    "albert": {"embedding_size": 32},
    "mistral": {**_DECODER, "sliding_window": 4},
    "gemma2": _DECODER,  # soft caps and sliding windows
    "deberta-v2": {"relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
    "modernbert": {"global_attn_every_n_layers": 2, "local_attention": 8, "cls_token_id": 2, "sep_token_id": 3},
}


def make(kind: str, options: dict[str, Any]) -> Any:
    torch.manual_seed(3)
    config = AutoConfig.for_model(kind, **{**_SMALL, **options})
    from_config: Any = AutoModelForSequenceClassification.from_config
    model = from_config(config, dtype=torch.float32)
    model.eval()
    with torch.no_grad():  # at initialisation every text has nearly the same answer
        for head in head_modules(model):
            for parameter in head.parameters():
                parameter.normal_(0.0, 0.5)
    return model


def texts(count: int, seed: int = 5) -> list[list[int]]:
    draw = np.random.default_rng(seed)
    return [draw.integers(2, VOCABULARY, draw.integers(1, 60)).tolist() for _ in range(count)]


def alone(model: Any, batch: list[list[int]]) -> np.ndarray:
    with torch.inference_mode():
        rows = [model(input_ids=torch.tensor([ids]), attention_mask=torch.ones(1, len(ids))).logits for ids in batch]
        return torch.cat(rows).numpy()


@pytest.mark.parametrize("kind", PACKED)
def test_packed_texts_are_as_alone(kind: str) -> None:
    batch = [*texts(9), [7] * 12, [8] * 12, [9]]
    expected = alone(make(kind, PACKED[kind]), batch)
    assert np.ptp(expected, axis=0).min() > 0.1  # the rows do differ
    model = make(kind, PACKED[kind])
    packed = pack(model)
    assert packed is not None
    assert any(type(module).__module__ == fused_layers.__name__ for module in model.modules()) == (kind in FUSED)
    assert packed.shortened == (kind != "gpt2")  # whose attention gives its output the shape of its input
    with torch.inference_mode():
        for some in (batch, batch[:1], batch[4:7], batch[::-1]):
            rows = [batch.index(text) for text in some]
            np.testing.assert_allclose(packed.logits(some).numpy(), expected[rows], atol=1e-4)


@pytest.mark.parametrize("kind", PADDED)
def test_others_are_left_as_they_were(kind: str) -> None:
    model = make(kind, PADDED[kind])
    before = model.config._attn_implementation
    expected = alone(model, texts(3))
    assert pack(model) is None
    assert model.config._attn_implementation == before
    np.testing.assert_array_equal(alone(model, texts(3)), expected)


@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_trailing_pad_tokens_of_a_text_are_pooled_as_transformers_does(kind: str) -> None:
    batch = [[5, 6, PAD], [7, PAD, PAD], [8, PAD, 9], [PAD, PAD]]
    expected = alone(make(kind, PACKED[kind]), batch)
    packed = pack(make(kind, PACKED[kind]))
    assert packed is not None
    with torch.inference_mode():
        np.testing.assert_allclose(packed.logits(batch).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("rows", "expected"), [(1, 8), (8, 8), (9, 16), (250, 256), (257, 272), (512, 512), (513, 544), (16_384, 16_384)]
)
def test_rows_of_few_numbers(rows: int, expected: int) -> None:
    assert rounded_rows(rows) == expected


def test_products_meet_few_numbers_of_rows() -> None:
    assert len({rounded_rows(rows) for rows in range(1, 513)}) == 48
    assert all(rows <= rounded_rows(rows) < max(rows + 8, 1.0625 * rows + 1) for rows in range(1, 20_000))


def test_threads_do_not_meet() -> None:
    batches = [texts(4, seed) for seed in range(40)]
    model = make("bert", {})
    expected = [alone(model, batch) for batch in batches]
    packed = pack(model)
    assert packed is not None

    def compute(batch: list[list[int]]) -> np.ndarray:
        with torch.inference_mode():
            return packed.logits(batch).numpy()

    with ThreadPoolExecutor(4) as threads:
        for found, wanted in zip(threads.map(compute, batches), expected, strict=True):
            np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_an_activation_of_another_kind_is_kept() -> None:
    batch = texts(5)
    expected = alone(make("bert", {"hidden_act": "silu"}), batch)
    packed = pack(make("bert", {"hidden_act": "silu"}))
    assert packed is not None
    with torch.inference_mode():
        np.testing.assert_allclose(packed.logits(batch).numpy(), expected, atol=1e-4)


def test_fused_layers_in_bfloat16() -> None:
    model = make("bert", {"initializer_range": 0.05})
    expected = alone(model, texts(6))
    packed = pack(model)
    assert packed is not None
    to_bfloat16(model, torch.device("cpu"), packed.logits)
    assert prepack(model) > 0
    with torch.inference_mode():
        found = packed.logits(texts(6)).numpy()
    assert 0 < np.abs(found - expected).max() < 0.06


def test_bfloat16_comes_after_packing() -> None:
    model = make("llama", PACKED["llama"])
    packed = pack(model)
    assert packed is not None
    to_bfloat16(model, torch.device("cpu"), packed.logits)
    expected = make("llama", PACKED["llama"])
    to_bfloat16(expected, torch.device("cpu"))
    # The same layers are compensated, wrapped or not.
    names = [type(module).__name__ for module in expected.modules() if "Linear" in type(module).__name__]
    assert [type(module).__name__ for module in model.modules() if "Linear" in type(module).__name__] == names
    with torch.inference_mode():
        np.testing.assert_allclose(packed.logits(texts(4)).numpy(), alone(expected, texts(4)), atol=0.05)
