"""The classifier that all servers serve: MiniLM (BERT 6×384) with a random head of eight labels, and texts for it."""

from __future__ import annotations

import json
import math
import random
from functools import cache
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from material.cache import ensure
from material.minilm import minilm
from material.r8 import r8

LABELS = 8
MAX_TOKENS = 512
_VERSION = 1
_SEED = 0
_SPECIAL = 2  # [CLS] and [SEP]


def served_model() -> Path:
    """Folder with config.json, model.safetensors and the tokenizer, as transformers saves a classifier in float32."""
    return ensure("minilm-classifier", _VERSION, _build)


def _build(folder: Path) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

    torch.manual_seed(_SEED)
    config = AutoConfig.from_pretrained(minilm(), num_labels=LABELS)
    model: Any = AutoModelForSequenceClassification.from_pretrained(minilm(), config=config, dtype=torch.float32)
    with torch.no_grad():  # as far apart as a trained head's; at initialisation all texts get about the same answer
        model.classifier.weight.normal_(0.0, 0.2)
    model.save_pretrained(folder)
    tokenizer: Any = AutoTokenizer.from_pretrained(minilm())
    # The package's tokenizer cuts and pads at 128 by itself, which peers would take over.
    tokenizer.backend_tokenizer.no_truncation()
    tokenizer.backend_tokenizer.no_padding()
    tokenizer.model_max_length = MAX_TOKENS
    tokenizer.save_pretrained(folder)


@cache
def words() -> list[str]:
    """The words of R8's training texts, one after another."""
    lines = (r8() / "train.jsonl").read_text().splitlines()
    return " ".join(json.loads(line)["prompt"] for line in lines).split()


def mixed_texts(count: int, seed: int, *, shortest: int = 8, longest: int = MAX_TOKENS) -> list[str]:
    """Texts of running newswire of `shortest` to `longest` tokens, special ones included, spread evenly by their
    logarithm, so that short ones are common."""
    draw, source = random.Random(seed), words()
    tokenizer: Any = Tokenizer.from_file(str(served_model() / "tokenizer.json"))
    found = []
    for _ in range(count):
        tokens = round(2 ** draw.uniform(math.log2(shortest), math.log2(longest)))
        start = draw.randrange(len(source) - tokens)
        # A word has a token or more: cut where the text has enough of them.
        text = " ".join(source[start : start + tokens])
        encoding = tokenizer.encode(text, add_special_tokens=False)
        encoding.truncate(tokens - _SPECIAL)
        found.append(text[: encoding.offsets[-1][1]])
    return found
