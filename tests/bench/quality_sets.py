"""What is measured: sets of real rows, their seeded splits, and the model that each is trained with."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from material.minilm import minilm
from material.newsgroups import newsgroups
from material.r8 import r8
from material.rotten_tomatoes import rotten_tomatoes
from material.smollm2 import smollm2

Lines = list[dict[str, Any]]
"""Rows as the trainer reads them."""
MODELS: dict[str, Callable[[], Path]] = {"minilm": minilm, "smollm2": smollm2}
NEWSGROUPS_TOKENS = 128


@dataclass(frozen=True)
class Case:
    """One set for one model.

    Attributes:
        splits: how many are measured; the training rows of each are drawn anew.
        train: training rows of a split (from 1).
        test: the test rows, the same for all splits.
    """

    name: str
    title: str
    model: str
    splits: int
    train: Callable[[int], Lines]
    test: Callable[[], Lines]


def cases() -> list[Case]:
    """The most important first: a run that is cut off has measured those."""
    return [
        Case(
            "r8_minilm",
            "R8, 600 training rows, MiniLM",
            "minilm",
            5,
            lambda split: draw(_rows(r8() / "train-full.jsonl"), 600, split),
            lambda: _rows(r8() / "test-full.jsonl"),
        ),
        Case(
            "r8_smollm2",
            "R8, 600 training rows, SmolLM2-135M",
            "smollm2",
            3,
            lambda split: draw(_rows(r8() / "train-full.jsonl"), 600, split),
            lambda: draw(_rows(r8() / "test-full.jsonl"), 600, 0),
        ),
        Case(
            "rotten_tomatoes_smollm2",
            "Rotten Tomatoes, 4,000 training rows, SmolLM2-135M",
            "smollm2",
            1,
            lambda split: draw(_rows(rotten_tomatoes() / "train-full.jsonl"), 4000, split),
            lambda: _rows(rotten_tomatoes() / "test.jsonl"),
        ),
        _newsgroups("minilm", "MiniLM"),
        _newsgroups("smollm2", "SmolLM2-135M"),
    ]


def _newsgroups(model: str, title: str) -> Case:
    return Case(
        f"newsgroups_{model}",
        f"20 Newsgroups, multilabel, 2,000 rows of {NEWSGROUPS_TOKENS} tokens, {title}",
        model,
        1,
        lambda _split: cut(_rows(newsgroups() / "train.jsonl"), model),
        lambda: cut(_rows(newsgroups() / "test.jsonl"), model),
    )


def draw(rows: Sequence[dict[str, Any]], size: int, seed: int) -> Lines:
    """`size` rows in the natural balance of their labels (largest remainders, at least one of each), shuffled."""
    kinds: dict[str, Lines] = defaultdict(list)
    for row in rows:
        kinds[json.dumps(row["completion"])].append(row)
    shares = {kind: size * len(found) / len(rows) for kind, found in kinds.items()}
    counts = {kind: max(1, int(share)) for kind, share in shares.items()}
    by_remainder = sorted(shares, key=lambda kind: (counts[kind] - shares[kind], kind))
    for kind in by_remainder[: size - sum(counts.values())]:
        counts[kind] += 1
    generator = random.Random(f"quality/{seed}")
    chosen = [row for kind in sorted(kinds) for row in generator.sample(kinds[kind], counts[kind])]
    generator.shuffle(chosen)
    return chosen


def cut(rows: Sequence[dict[str, Any]], model: str) -> Lines:
    """The rows with their texts ended after 128 tokens of the model, so that the SVM reads no more than the model."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(MODELS[model]() / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.no_truncation()
    result: Lines = []
    for row in rows:
        offsets = tokenizer.encode(row["prompt"], add_special_tokens=False).offsets
        end = offsets[NEWSGROUPS_TOKENS - 1][1] if len(offsets) > NEWSGROUPS_TOKENS else len(row["prompt"])
        result.append({**row, "prompt": row["prompt"][:end]})
    return result


@cache
def _rows(path: Path) -> Lines:
    with path.open(encoding="utf-8") as stream:
        return [json.loads(line) for line in stream]
