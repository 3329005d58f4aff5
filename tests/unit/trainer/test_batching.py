"""Which rows are computed together: within an update, by the budget of tokens, by the processes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier_trainer.batching import even_batches, micro_batches, pad_batch, shard
from classifier_trainer.data.batches import WINDOW, updates

LENGTHS = st.lists(st.integers(1, 90), min_size=1, max_size=60)


@given(LENGTHS, st.integers(1, 300), st.booleans())
@settings(max_examples=100, deadline=None)
def test_micro_batches_stay_in_the_budget(lengths: list[int], budget: int, padded: bool) -> None:
    rows = list(range(0, len(lengths), 2))
    for found in (
        micro_batches(rows, lengths, budget, padded=padded),
        even_batches(rows, lengths, budget, 3, padded=padded),
    ):
        assert sorted(row for batch in found for row in batch) == rows
        for batch in found:
            sizes = [lengths[row] for row in batch]
            assert len(batch) == 1 or (max(sizes) * len(batch) if padded else sum(sizes)) <= budget


def test_a_row_above_the_budget_stands_alone() -> None:
    assert micro_batches([0, 1], [500, 400], 256) == [[0], [1]]


@given(LENGTHS, st.integers(1, 4))
@settings(max_examples=100, deadline=None)
def test_even_batches_are_enough_for_all_workers(lengths: list[int], workers: int) -> None:
    found = even_batches(range(len(lengths)), lengths, 10_000, workers)
    assert len(found) == min(workers, len(lengths))
    assert all(found)
    tokens = [sum(lengths[row] for row in batch) for batch in found]
    assert max(tokens) <= sum(lengths) / len(found) + max(lengths)


@given(LENGTHS, st.integers(1, 5))
@settings(max_examples=100, deadline=None)
def test_shards_are_the_update(lengths: list[int], ranks: int) -> None:
    parts = [shard(range(len(lengths)), lengths, rank, ranks) for rank in range(ranks)]
    assert sorted(row for part in parts for row in part) == list(range(len(lengths)))
    sizes = [len(part) for part in parts]
    assert max(sizes) - min(sizes) <= 1
    tokens = [sum(lengths[row] for row in part) for part in parts]
    assert max(tokens) - min(tokens) <= max(lengths)


@pytest.mark.parametrize(("rows", "size"), [(1000, 16), (50, 16), (7, 16), (16, 16), (1, 1)])
def test_updates_hold_every_row_once_and_differ_by_epoch(rows: int, size: int) -> None:
    lengths = np.random.default_rng(0).integers(1, 200, rows)
    first, again, second = (updates(lengths, size, 5, epoch) for epoch in (1, 1, 2))
    assert len(first) == len(second) == -(-rows // size)
    assert sorted(row for update in first for row in update) == list(range(rows))
    assert {len(update) for update in list(first)[:-1]} <= {size}
    assert list(first) == list(again)
    assert rows <= size or list(first) != list(second)


def test_rows_of_one_length_stand_together_and_the_order_is_random() -> None:
    lengths = np.random.default_rng(0).integers(1, 200, 16 * WINDOW * 20)
    found = updates(lengths, 16, 1, 1)
    spread = np.mean([np.ptp(lengths[update]) for update in found])
    assert spread < 0.25 * np.ptp(lengths)
    means = np.array([lengths[update].mean() for update in found])
    # Neither the windows nor the updates in them are in order.
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.2
    assert np.std([means[at::WINDOW].mean() for at in range(WINDOW)]) < 25


def test_padding_is_on_the_right_and_masked() -> None:
    arrays: Any = [np.array([5, 6, 7], dtype=np.int32), np.array([8], dtype=np.int32)]
    for rows in ([[5, 6, 7], [8]], arrays):
        found = pad_batch(rows, 3, torch.device("cpu"))
        assert found["input_ids"].tolist() == [[5, 6, 7], [8, 3, 3]]
        assert found["attention_mask"].tolist() == [[1, 1, 1], [1, 0, 0]]
        assert found["input_ids"].dtype == torch.int64
