"""How the engines' benchmark makes batches and compares answers."""

from __future__ import annotations

import numpy as np
import pytest

from bench.serve_engines import CASES, FOREIGN, OWN, Measured, batches_of, distance, figures


@pytest.mark.parametrize("packed", [True, False])
def test_every_text_is_computed_once(packed: bool) -> None:
    draw = np.random.default_rng(1)
    texts = [[int(value)] * int(draw.integers(1, 300)) for value in range(60)]
    batches, order = batches_of(texts, packed=packed)
    assert [text for batch in batches for text in batch] == [texts[row] for row in order]
    assert sorted(order) == list(range(60))
    for batch in batches:
        real, whole = sum(map(len, batch)), len(batch) * max(map(len, batch))
        assert real <= 512 if packed else whole <= 512 and whole - real <= 0.15 * whole


def test_distance_counts_clear_labels_only() -> None:
    expected = np.array([[0.6, 0.4], [0.51, 0.49], [0.9, 0.1]])
    found = np.array([[0.45, 0.55], [0.49, 0.51], [0.8, 0.2]])
    difference, changed = distance(found, expected)
    assert difference == pytest.approx(0.15)
    assert changed == 1


def measured(mixed: float, probability: float = 0.7) -> Measured:
    return Measured({"mixed": mixed, **dict.fromkeys(CASES, 0.01)}, np.array([[probability, 1 - probability]]))


def test_another_engine_must_be_much_faster_than_ours() -> None:
    engines = {OWN[0]: measured(8.0), OWN[2]: measured(5.0), OWN[3]: measured(4.0), FOREIGN[0]: measured(3.2)}
    rows = {row.key: row for row in figures(engines, 20)}
    assert rows["ours_float32_speed"].value == 1.6
    assert rows["ours_bfloat16_per_s"].value == 5
    assert (rows["onnxruntime_float32_speed"].value, rows["onnxruntime_float32_speed"].kept) == (2.5, True)
    rows = {row.key: row for row in figures(engines | {FOREIGN[0]: measured(2.9)}, 20)}
    assert not rows["onnxruntime_float32_speed"].kept


def test_ours_must_stay_near() -> None:
    rows = {row.key: row for row in figures({OWN[0]: measured(8.0), OWN[3]: measured(4.0, 0.45)}, 20)}
    assert not rows["ours_bfloat16_difference"].kept
    assert (rows["ours_bfloat16_labels_changed"].value, rows["ours_bfloat16_labels_changed"].kept) == (1, False)
