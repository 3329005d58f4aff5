"""Token ids: as calling the tokenizer gives them, computed once, cut on the side that is wanted."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerBase

from classifier_trainer.data import tokenize as module
from classifier_trainer.data.tokenize import TokenIds, cache_key, tokenize
from classifier_trainer.model.template import with_template
from support.datasets import load
from support.tiny_models import multiclass, tiny_tokenizer, write_rows

TEXTS = ["the team won", "", "soup " * 60, "a", "the bank raised the interest rate " * 5]


@pytest.fixture
def decoder() -> PreTrainedTokenizerBase:
    found = tiny_tokenizer()
    found.pad_token = found.eos_token
    return found


def expected(tokenizer: PreTrainedTokenizerBase, side: str) -> list[list[int]]:
    tokenizer.truncation_side = side.lower()
    rows: list[list[int]] = tokenizer(TEXTS, truncation=True, max_length=20)["input_ids"]
    return [row or [int(tokenizer.pad_token_id)] for row in rows]


@pytest.mark.parametrize("side", ["Right", "Left"])
@pytest.mark.parametrize("template", ["{prompt}", "{prompt} =>", "In one word: {prompt}"])
@pytest.mark.parametrize("bert", [False, True])
def test_as_the_tokenizer_gives_them(tmp_path: Path, side: Any, template: str, bert: bool) -> None:
    tokenizer = tiny_tokenizer(bert=bert)
    if not bert:
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer = with_template(tokenizer, template)
    found = tokenize(TEXTS, tokenizer, 20, tmp_path, side=side)
    assert [row.tolist() for row in found] == expected(tokenizer, side)
    assert found.lengths.tolist() == [len(row) for row in found]
    assert found.full_lengths.tolist() == [max(1, len(row)) for row in tokenizer(TEXTS, verbose=False)["input_ids"]]
    assert found.cut.tolist() == [length > 20 for length in found.full_lengths.tolist()]
    assert found.tokens == found.lengths.sum()
    assert [row.tolist() for row in found[1:3]] == expected(tokenizer, side)[1:3]
    assert found[-1].tolist() == expected(tokenizer, side)[-1]


def test_slow_tokenizer(tmp_path: Path, decoder: PreTrainedTokenizerBase) -> None:
    class Slow:
        """What is left of a tokenizer without a fast backend."""

        pad_token_id = decoder.pad_token_id
        truncation_side = "right"

        def __call__(self, texts: list[str], **options: Any) -> Any:
            decoder.truncation_side = self.truncation_side
            return decoder(texts, **options)

        def get_vocab(self) -> dict[str, int]:
            return dict(decoder.get_vocab())

    slow: Any = Slow()
    found = tokenize(TEXTS, slow, 20, tmp_path, side="Left")
    assert [row.tolist() for row in found] == expected(decoder, "Left")


def test_computed_once(tmp_path: Path, decoder: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[int] = []
    first = tokenize(TEXTS, decoder, 20, tmp_path, progress=steps.append)
    assert sum(steps) == len(TEXTS)
    decoder(TEXTS, truncation=True, max_length=5)  # leaves its settings in the backend
    monkeypatch.setattr(module.Encoder, "encode", None)
    again = tokenize(TEXTS, decoder, 20, tmp_path, progress=steps.append)
    assert again.folder == first.folder
    assert sum(steps) == 2 * len(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == [first.folder.name]


def test_key_depends_on_all_that_matters(tmp_path: Path, decoder: PreTrainedTokenizerBase) -> None:
    path = multiclass(tmp_path / "f", 50)
    texts = load(tmp_path, path).train.prompts
    keys = [
        cache_key(texts, decoder, 20, "Right"),
        cache_key(texts, decoder, 21, "Right"),
        cache_key(texts, decoder, 20, "Left"),
        cache_key(texts, with_template(decoder, "{prompt} =>"), 20, "Right"),
        cache_key(texts, tiny_tokenizer(bert=True), 20, "Right"),
        cache_key(load(tmp_path, path, 0.5).train.prompts, decoder, 20, "Right"),
        cache_key(list(texts), decoder, 20, "Right"),
    ]
    assert len(set(keys)) == len(keys)
    # Read again, under other names of the columns.
    other = tmp_path / "g"
    other.write_text(path.read_text().replace('"prompt"', '"text"'))
    assert cache_key(load(tmp_path, other).train.prompts, decoder, 20, "Right") == keys[0]


def test_texts_of_a_run(tmp_path: Path, decoder: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [(f"text {'x' * (n % 40)} {n}", {"a": n % 2}) for n in range(300)]
    dataset = load(tmp_path, write_rows(tmp_path / "f", rows), rebalance={"counts": {"positive": 300, "negative": 10}})
    monkeypatch.setattr(module, "_ROWS", 37)
    monkeypatch.setattr(module, "_CHARACTERS", 200)
    found = tokenize(dataset.train.prompts, decoder, 30, tmp_path / "cache")
    assert [row.tolist() for row in found] == decoder(list(dataset.train.prompts), truncation=True, max_length=30)[
        "input_ids"
    ]
    part = dataset.train.take([5, 5, 0])
    assert list(part.prompts) == [dataset.train.prompts[5]] * 2 + [dataset.train.prompts[0]]
    assert list(part.lines) == [dataset.train.lines[5]] * 2 + [dataset.train.lines[0]]
    assert len(tokenize(part.prompts, decoder, 30, tmp_path / "cache")) == 3


def test_an_attempt_that_failed_leaves_nothing(
    tmp_path: Path, decoder: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tokenize(TEXTS, decoder, 20, tmp_path, progress=fail)
    assert list(tmp_path.iterdir()) == []
    assert len(tokenize(TEXTS, decoder, 20, tmp_path)) == len(TEXTS)


def test_other_ranks_wait_for_the_one_that_builds(tmp_path: Path, decoder: PreTrainedTokenizerBase) -> None:
    found: list[TokenIds] = []
    waiting = threading.Thread(target=lambda: found.append(tokenize(TEXTS, decoder, 20, tmp_path, build=False)))
    waiting.start()
    time.sleep(0.3)
    assert not found
    built = tokenize(TEXTS, decoder, 20, tmp_path)
    waiting.join(30)
    assert [row.tolist() for row in found[0]] == [row.tolist() for row in built]


def test_two_that_build_at_once_agree(
    tmp_path: Path, decoder: PreTrainedTokenizerBase, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = module.Encoder.encode

    def slowly(self: module.Encoder, texts: list[str]) -> tuple[list[list[int]], list[int]]:
        if threading.current_thread().name == "outer":  # another process finishes while this one computes
            threading.current_thread().name = "inner"
            monkeypatch.setattr(os, "getpid", lambda: -1)
            tokenize(TEXTS, decoder, 20, tmp_path)
        return encode(self, texts)

    monkeypatch.setattr(module.Encoder, "encode", slowly)
    name, threading.current_thread().name = threading.current_thread().name, "outer"
    try:
        found = tokenize(TEXTS, decoder, 20, tmp_path)
    finally:
        threading.current_thread().name = name
    assert len(found) == len(TEXTS)
    assert [path.name for path in tmp_path.iterdir()] == [found.folder.name]
