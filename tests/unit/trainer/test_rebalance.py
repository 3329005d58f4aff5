"""Rebalancing: shares keep the size, counts are exact, and only training rows change."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier_trainer.config import Rebalance
from classifier_trainer.data.label_sets import Grouped
from classifier_trainer.data.rebalance import draw, wanted_counts
from classifier_trainer.errors import UserError
from support.datasets import load
from support.tiny_models import write_rows

COUNTS = st.lists(st.integers(1, 40), min_size=2, max_size=8)


def names(sizes: list[Any]) -> list[str]:
    return [f"l{at}" for at in range(len(sizes))]


def shares_of(weights: list[int]) -> dict[str, float]:
    total = sum(weights)
    return {name: weight / total for name, weight in zip(names(weights), weights, strict=True)}


@settings(max_examples=200, deadline=None)
@given(COUNTS, st.data())
def test_shares_keep_the_size(sizes: list[int], data: st.DataObject) -> None:
    weights = data.draw(st.lists(st.integers(0, 20), min_size=len(sizes), max_size=len(sizes)))
    # Rows enough and shares large enough that two classes keep a row.
    weights[:2] = [max(5, weight) for weight in weights[:2]]
    sizes = [20 + size for size in sizes]
    shares = shares_of(weights)
    wanted = wanted_counts(Rebalance(shares=shares), "Multiclass", names(sizes), np.array(sizes))
    assert wanted.sum() == sum(sizes)
    for name, count in zip(names(sizes), wanted.tolist(), strict=True):
        assert abs(count - shares[name] * sum(sizes)) < 1 + 1e-6


@settings(max_examples=200, deadline=None)
@given(COUNTS, st.data(), st.integers(0, 99))
def test_rows_are_removed_or_repeated_to_the_count(sizes: list[int], data: st.DataObject, seed: int) -> None:
    counts = data.draw(st.lists(st.integers(0, 90), min_size=len(sizes), max_size=len(sizes)))
    starts = np.concatenate([[0], np.cumsum(sizes)])
    # Row r is of the class in which it lies once the numbers of the rows are mixed.
    mixed = np.random.default_rng(seed).permutation(sum(sizes)).astype(np.int32)
    rows = np.concatenate([np.sort(mixed[low:high]) for low, high in itertools.pairwise(starts)])
    kind = {int(row): at for at in range(len(sizes)) for row in rows[starts[at] : starts[at + 1]]}
    found = draw(Grouped(rows.copy(), starts), np.array(counts), seed)
    assert found.tolist() == sorted(found.tolist())
    assert [Counter(kind[row] for row in found.tolist())[at] for at in range(len(sizes))] == counts
    for at, (size, count) in enumerate(zip(sizes, counts, strict=True)):
        times = Counter(row for row in found.tolist() if kind[row] == at)
        # No row stands more than once more often than another: all are repeated before one is again.
        assert all(count // size <= times.get(row, 0) <= -(-count // size) for row in kind if kind[row] == at)
    assert draw(Grouped(rows.copy(), starts), np.array(counts), seed).tolist() == found.tolist()


def test_shares_of_whole_rows_are_met_exactly() -> None:
    shares = {"l0": 0.1, "l1": 0.2, "l2": 0.7}
    found = wanted_counts(Rebalance(shares=shares), "Multiclass", names([0] * 3), np.array([400, 300, 300]))
    assert found.tolist() == [100, 200, 700]


@pytest.mark.parametrize(
    ("task", "labels", "counts", "rebalance", "words"),
    [
        ("Multilabel", ["a", "b"], [3, 3], {"counts": {"a": 1, "b": 1}}, "does not work with Multilabel"),
        ("Binary", ["x"], [3, 3], {"counts": {"x": 1, "positive": 1}}, "names 'x', .*: write negative, positive"),
        ("Multiclass", ["a", "b"], [3, 3], {"shares": {"a": 0.5, "c": 0.5}}, "names 'c', .*: write a, b"),
        ("Multiclass", ["a", "b"], [3, 3], {"shares": {"a": 1.0}}, "leaves out 'b': write a number for each label"),
        ("Multiclass", ["a", "b"], [3, 0], {"counts": {"a": 1, "b": 1}}, "rows of 'b', but no training row has it"),
        ("Multiclass", ["a", "b"], [3, 3], {"counts": {"a": 1, "b": 0}}, "leaves fewer than two classes"),
    ],
)
def test_refused(task: Any, labels: list[str], counts: list[int], rebalance: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        wanted_counts(Rebalance.model_validate(rebalance), task, labels, np.array(counts))


def binary(tmp_path: Path, positive: int, negative: int) -> Path:
    return write_rows(tmp_path / "f", [(f"t{n}", {"x": int(n < positive)}) for n in range(positive + negative)])


def test_positive_is_completion_1(tmp_path: Path) -> None:
    path = binary(tmp_path, 30, 270)
    found = load(tmp_path, path, rebalance={"shares": {"positive": 0.3, "negative": 0.7}})
    assert found.train.targets.sum(axis=0).tolist() == [90]
    assert len(found.train) == 300
    assert (found.natural.tolist(), found.rows_natural) == ([30], 300)
    assert found.profile["rows"]["natural"] == 300
    assert found.profile["labels"] == [{"name": "x", "train": 90, "natural": 30, "validation": 0, "test": 0}]
    texts = Counter(found.train.prompts)
    assert all(texts[f"t{n}"] == 3 for n in range(30))
    assert len(texts) == 30 + 210


def test_only_training_rows_change(tmp_path: Path) -> None:
    path = binary(tmp_path, 400, 1200)
    plain = load(tmp_path, path, 0.25, validation={"split": 0.2})
    found = load(
        tmp_path, path, 0.25, validation={"split": 0.2}, rebalance={"counts": {"positive": 1000, "negative": 100}}
    )
    for one, other in ((plain.test, found.test), (plain.validation, found.validation)):
        assert one is not None
        assert other is not None
        assert list(one.lines) == list(other.lines)
        assert one.targets.mean() == pytest.approx(0.25)
    assert (found.train.targets.sum(), len(found.train)) == (1000, 1100)
    assert set(found.train.lines) <= set(plain.train.lines)
    assert found.train.prompts[:] == [f"t{line - 1}" for line in found.train.lines]
    assert found.train.targets[:, 0].tolist() == [int(line <= 400) for line in found.train.lines]


def test_multiclass_counts_with_a_contradiction(tmp_path: Path) -> None:
    rows = [(f"t{n % 90}", {name: int(name == "abc"[n % 7 % 3]) for name in "abc"}) for n in range(100)]
    found = load(tmp_path, write_rows(tmp_path / "f", rows), rebalance={"counts": {"c": 5, "a": 70, "b": 0}})
    assert found.train.targets.sum(axis=0).tolist() == [70, 0, 5]


def test_a_multilabel_set_is_refused(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "f", [("t", {"a": 1, "b": 1}), ("u", {"a": 0, "b": 1})])
    with pytest.raises(UserError, match="rebalance does not work with Multilabel"):
        load(tmp_path, path, rebalance={"counts": {"a": 1, "b": 1}})
