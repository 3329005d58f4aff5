"""Malformed data ends in a sentence: a sample of what `tests/bench/data_fuzz.py` tries."""

from __future__ import annotations

import collections
from pathlib import Path

from bench.data_fuzz import is_sentence, outcome

CASES = 300


def test_rows_or_a_sentence(tmp_path: Path) -> None:
    found = {seed: outcome(seed, tmp_path) for seed in range(20_000, 20_000 + CASES)}
    assert not {seed: result for seed, result in found.items() if result not in ("read", "refused")}
    # Most of what the generator makes must be wrong, and some of it right, or nothing is tried.
    counts = collections.Counter(found.values())
    assert counts["refused"] > CASES // 2
    assert counts["read"] > CASES // 50


def test_what_a_sentence_is() -> None:
    assert is_sentence("trainDataset 'u': line 1 has no prompt.")
    assert not is_sentence("trainDataset 'u': line 1\nhas no prompt.")
    assert not is_sentence("KeyError: 'prompt'.")
    assert not is_sentence("trainDataset 'u': line 1 has no prompt")
