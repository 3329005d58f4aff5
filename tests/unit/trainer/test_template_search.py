"""The template of a decoder: chosen by what it brings, computed once a row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from classifier_trainer import distributed
from classifier_trainer.compute import Compute
from classifier_trainer.model import template_search
from classifier_trainer.model.features import head_inputs, pools_last_token
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.template import PROMPT, with_template
from classifier_trainer.model.template_search import CANDIDATES, DEFAULT, Choice, choose
from classifier_trainer.prepare import agreed_choice
from support.tiny_models import TOPICS, Kind, rows

CPU = Compute(torch.device("cpu"), torch.float32)


def load(path: Path) -> Backbone:
    return load_backbone(
        path, "file:///m", task="Multiclass", labels=list(TOPICS), max_length=None, dtype=torch.float32
    )


def data(count: int) -> tuple[list[str], np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
    found = rows(tuple(TOPICS), count)
    return [text for text, _ in found], np.array(
        [[topic == name for name in TOPICS] for _, topic in found], dtype=float
    )


@pytest.mark.parametrize("kind", ["qwen3", "llama"])
def test_features_by_the_cache_are_those_of_plain_passes(base_models: dict[Kind, Path], kind: Kind) -> None:
    backbone = load(base_models[kind])
    prompts, _ = data(7)
    pad = backbone.tokenizer.pad_token_id
    tokenizers = {name: with_template(backbone.tokenizer, name) for name in CANDIDATES}
    ids = {name: tokenizer(prompts)["input_ids"] for name, tokenizer in tokenizers.items()}
    by_cache = template_search._by_cache(backbone, CPU, ids, pad)
    assert by_cache is not None
    for name, found in by_cache.items():
        plain = head_inputs(
            backbone.model, backbone.head, ids[name], pad=pad, compute=CPU, progress=lambda _tokens: None
        )
        np.testing.assert_allclose(found, plain, rtol=1e-3, atol=1e-4)


def test_backbone_is_run_once_a_row_and_once_for_each_tail(
    base_models: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load(base_models["qwen3"])
    prompts, targets = data(60)
    prompts = [" ".join([prompt] * 4) for prompt in prompts]
    tokens: list[int] = []
    forward = backbone.model.base_model.forward

    def counted(*args: Any, **options: Any) -> Any:
        tokens.append((args[0] if args else options["input_ids"]).numel())
        return forward(*args, **options)

    monkeypatch.setattr(backbone.model.base_model, "forward", counted)
    done: list[int] = []
    choice = choose(backbone, CPU, prompts, targets, exclusive=True, seed=1, progress=done.append)
    own = sum(len(row) for row in backbone.tokenizer(prompts)["input_ids"])
    assert sum(tokens) < 0.5 * len(CANDIDATES) * own
    assert set(choice.losses) == set(CANDIDATES)
    assert choice.features.shape == (60, backbone.head.in_features)
    assert sum(done) == own


def test_model_without_a_usable_cache_goes_the_plain_way(
    base_models: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load(base_models["llama"])
    prompts, targets = data(40)
    wanted = choose(backbone, CPU, prompts, targets, exclusive=True, seed=1, progress=lambda _tokens: None)
    monkeypatch.setattr(template_search, "_by_cache", lambda *_: None)
    found = choose(backbone, CPU, prompts, targets, exclusive=True, seed=1, progress=lambda _tokens: None)
    assert found.template == wanted.template
    np.testing.assert_allclose(found.features, wanted.features, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("gain", "chosen"), [(3.0, CANDIDATES[2]), (0.0, DEFAULT)])
def test_a_suffix_must_bring_more_than_one_standard_error(
    base_models: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch, gain: float, chosen: str
) -> None:
    backbone = load(base_models["qwen3"])
    prompts, targets = data(150)
    generator = np.random.default_rng(0)

    def features(*_: object) -> dict[str, template_search.Features]:
        noise = {name: generator.normal(size=(150, 8)) for name in CANDIDATES}
        noise[CANDIDATES[2]][:, :3] += gain * targets
        return {name: values.astype(np.float32) for name, values in noise.items()}

    monkeypatch.setattr(template_search, "_features", features)
    choice = choose(backbone, CPU, prompts, targets, exclusive=True, seed=1, progress=lambda _tokens: None)
    assert choice.template == chosen


@pytest.mark.parametrize(("kind", "decoder"), [("qwen3", True), ("llama", True), ("bert", False), ("roberta", False)])
def test_decoders_pool_the_last_token(base_models: dict[Kind, Path], kind: Kind, decoder: bool) -> None:
    backbone = load(base_models[kind])
    assert pools_last_token(backbone.model, backbone.head, backbone.tokenizer.pad_token_id, CPU) is decoder


@pytest.mark.parametrize("kind", ["qwen3", "bert", "roberta"])
def test_head_of_the_features_gives_the_model_s_logits(base_models: dict[Kind, Path], kind: Kind) -> None:
    backbone = load(base_models[kind])
    prompts, _ = data(9)
    ids = backbone.tokenizer(prompts)["input_ids"]
    pad = backbone.tokenizer.pad_token_id
    found = head_inputs(backbone.model, backbone.head, ids, pad=pad, compute=CPU, progress=lambda _tokens: None)
    with torch.inference_mode():
        logits = backbone.head(torch.from_numpy(found))
        for index, row in enumerate(ids):
            alone = backbone.model(input_ids=torch.tensor([row])).logits[0]
            torch.testing.assert_close(logits[index], alone, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("theirs", [PROMPT, DEFAULT])
def test_what_the_first_process_chose_holds_for_all(
    base_models: dict[Kind, Path], monkeypatch: pytest.MonkeyPatch, theirs: str
) -> None:
    backbone = load(base_models["qwen3"])
    mine = next(name for name in CANDIDATES if name not in (PROMPT, DEFAULT))
    choice = Choice(mine, with_template(backbone.tokenizer, mine), np.zeros((1, 4), np.float32), {mine: 0.1})
    assert agreed_choice(choice, backbone.tokenizer) is choice
    monkeypatch.setattr(distributed, "broadcast_object", lambda _: theirs)
    agreed = agreed_choice(choice, backbone.tokenizer)
    wanted = backbone.tokenizer if theirs == PROMPT else with_template(backbone.tokenizer, theirs)
    assert agreed.template == theirs
    assert agreed.tokenizer("grain")["input_ids"] == wanted("grain")["input_ids"]
