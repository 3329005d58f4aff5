"""The test split: stratified for every task, seeded, identical texts on one side."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier_trainer.data.batches import stratified_sample, updates
from classifier_trainer.data.rows import Split
from classifier_trainer.data.split import split_indices


def one_hot(classes: list[int], labels: int) -> Split:
    targets = np.zeros((len(classes), labels), dtype=np.int8)
    targets[np.arange(len(classes)), classes] = 1
    return Split([f"t{index}" for index in range(len(classes))], targets, range(1, len(classes) + 1))


def test_classes_keep_their_shares() -> None:
    split = one_hot([0] * 100 + [1] * 40 + [2] * 10, 3)
    kept, aside = split_indices(split, 0.2, 1)
    assert sorted(kept + aside) == list(range(150))
    assert split.targets[aside].sum(axis=0).tolist() == [20, 8, 2]


def test_small_classes() -> None:
    split = one_hot([0] * 30 + [1, 1, 2], 3)
    kept, aside = split_indices(split, 0.2, 1)
    assert split.targets[aside][:, 1].sum() == 1  # two rows: one on each side
    assert split.targets[kept][:, 2].sum() == 1  # a single row stays


def test_binary_is_stratified_by_absence_too() -> None:
    targets = np.array([[1]] * 10 + [[0]] * 90, dtype=np.int8)
    _, aside = split_indices(Split([f"t{i}" for i in range(100)], targets, range(100)), 0.3, 5)
    assert targets[aside].sum() == 3
    assert len(aside) == 30


def test_identical_texts_stay_together() -> None:
    split = one_hot([0, 1] * 50, 2)
    prompts = [f"t{index % 20}" for index in range(100)]
    kept, aside = split_indices(Split(prompts, split.targets, split.lines), 0.3, 3)
    assert {prompts[index] for index in kept}.isdisjoint(prompts[index] for index in aside)


def test_seed_decides() -> None:
    split = one_hot([0, 1] * 50, 2)
    assert split_indices(split, 0.3, 1) == split_indices(split, 0.3, 1)
    assert split_indices(split, 0.3, 1) != split_indices(split, 0.3, 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.1, 0.5))
def test_multilabel_keeps_the_share_of_each_label(seed: int, share: float) -> None:
    generator = np.random.default_rng(seed)
    targets = (generator.random((200, 5)) < [0.5, 0.3, 0.2, 0.1, 0.02]).astype(np.int8)
    kept, aside = split_indices(Split([f"t{i}" for i in range(200)], targets, range(200)), share, seed)
    assert sorted(kept + aside) == list(range(200))
    counts = targets.sum(axis=0)
    # Within a few rows of the share: labels that stand together cannot all be met exactly.
    assert np.abs(targets[aside].sum(axis=0) - share * counts).max() <= 4
    for label in np.flatnonzero(counts >= 2):
        assert targets[aside][:, label].any()
        assert targets[kept][:, label].any()


def test_updates_hold_every_row_once_and_depend_on_seed_and_epoch() -> None:
    lengths = [5 + index % 40 for index in range(333)]
    first = updates(lengths, 16, 7, 1)
    assert sorted(row for update in first for row in update) == list(range(333))
    assert all(len(update) == 16 for update in first if len(update) != 333 % 16)
    assert len(first) == 21
    assert updates(lengths, 16, 7, 1) == first
    assert updates(lengths, 16, 7, 2) != first
    assert updates(lengths, 16, 8, 1) != first


def test_updates_have_rows_of_about_one_length() -> None:
    generator = np.random.default_rng(1)
    lengths = generator.integers(5, 200, 512).tolist()
    spread = [
        max(lengths[row] for row in update) - min(lengths[row] for row in update)
        for update in updates(lengths, 16, 1, 1)
    ]
    assert np.mean(spread) < 40  # about 190 when rows are taken as they come


@pytest.mark.parametrize("size", [3, 10, 50, 1000])
def test_sample_takes_every_kind_by_its_share(size: int) -> None:
    kinds = [b"a"] * 80 + [b"b"] * 19 + [b"c"]
    found = stratified_sample(kinds, size, 3)
    assert found == sorted(set(found))
    assert len(found) == min(size, 100)
    assert {kinds[index] for index in found} == {b"a", b"b", b"c"}
    if size == 50:
        assert sum(kinds[index] == b"a" for index in found) == pytest.approx(40, abs=2)
