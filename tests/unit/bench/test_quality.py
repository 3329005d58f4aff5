"""The figures of the quality benchmark, beside scikit-learn's and beside numbers worked out by hand."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.metrics import f1_score, log_loss

from bench.quality_figures import (
    at_temperature,
    calibration_error,
    label_counts,
    log_losses,
    mean_difference,
    micro_f1,
    micro_f1_difference,
    right,
)
from bench.quality_runs import read_results, temperatures
from bench.quality_sets import draw

GENERATOR = np.random.default_rng(1)


def classes(rows: int, labels: int) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Expected [n, k], one a row, and probabilities that know something of it."""
    expected = np.eye(labels, dtype=bool)[GENERATOR.integers(0, labels, rows)]
    grown = np.exp(GENERATOR.normal(size=(rows, labels)) + 2 * expected)
    return expected, grown / grown.sum(axis=1, keepdims=True)


def test_micro_f1_and_log_losses_are_scikit_learns() -> None:
    expected, predicted = GENERATOR.random((300, 5)) < 0.3, GENERATOR.random((300, 5)) < 0.4
    assert micro_f1(label_counts(expected, predicted)) == pytest.approx(f1_score(expected, predicted, average="micro"))
    assert right(expected, predicted).sum() == (expected == predicted).all(axis=1).sum()
    truth, probabilities = classes(300, 4)
    assert log_losses(truth, probabilities, True).mean() == pytest.approx(log_loss(truth.argmax(axis=1), probabilities))
    one = truth[:, :1], probabilities[:, :1]
    assert log_losses(*one, True).mean() == pytest.approx(log_loss(truth[:, 0], probabilities[:, 0]))


def test_calibration_error_sees_what_is_off() -> None:
    confidence = np.sort(GENERATOR.uniform(0.5, 1.0, 60_000))
    hit = GENERATOR.random(len(confidence)) < confidence
    # Binary: the label is what it is where the prediction hits.
    assert calibration_error(hit[:, None], confidence[:, None], True) < 0.01
    off = GENERATOR.random(len(confidence)) < confidence - 0.2
    assert calibration_error(off[:, None], confidence[:, None], True) == pytest.approx(0.2, abs=0.01)
    # Two classes are the same question, and so are labels of their own.
    both = np.stack([confidence, 1 - confidence], axis=1)
    assert calibration_error(np.stack([off, ~off], axis=1), both, True) == pytest.approx(0.2, abs=0.01)
    assert calibration_error(off[:, None], confidence[:, None], False) == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("exclusive", [True, False])
def test_temperature_is_taken_back(exclusive: bool) -> None:
    logits = GENERATOR.normal(size=(50, 3))
    temperature = np.array([2.0]) if exclusive else np.array([2.0, 0.5, 1.0])

    def of(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if exclusive:
            return np.asarray(np.exp(values) / np.exp(values).sum(axis=1, keepdims=True))
        return np.asarray(1 / (1 + np.exp(-values)))

    found = at_temperature(of(logits / temperature), temperature, exclusive)
    np.testing.assert_allclose(found, of(logits), rtol=1e-9)


def test_temperatures_are_read_as_a_run_records_them() -> None:
    labels = ["a", "b"]
    assert temperatures({}, labels) == [1.0]
    assert temperatures({"calibration": {"temperature": 1.5, "temperatures": {}}}, labels) == [1.5]
    several = {"calibration": {"temperature": 1.0, "temperatures": {"b": 3.0, "a": 2.0}}}
    assert temperatures(several, labels) == [2.0, 3.0]


def test_intervals_hold_the_difference_and_are_narrow_where_pairs_agree() -> None:
    theirs = (GENERATOR.random((3, 800)) < 0.8).astype(float)
    ours = theirs.copy()
    ours[:, :40] = 1
    paired = mean_difference(ours, theirs)
    assert paired.mean == pytest.approx((ours - theirs).mean())
    assert 0 < paired.low < paired.mean < paired.high < 0.02
    counts = np.array([[1, 0, 0]] * 700 + [[0, 1, 1]] * 100)
    worse = np.array([[1, 0, 0]] * 650 + [[0, 1, 1]] * 150)
    found = micro_f1_difference(counts, worse)
    assert found.mean == pytest.approx(700 / 800 - 650 / 800)
    assert 0 < found.low < found.mean < found.high
    assert micro_f1_difference(counts, counts).high == 0


def test_results_are_read_in_the_order_of_the_labels(tmp_path: Path) -> None:
    row = {
        "expected": {"a": 0, "b": 1},
        "predicted": {"b": 0, "a": 1},
        "probabilities": {"a": 0.7, "b": 0.2},
    }
    (tmp_path / "results.jsonl").write_text(json.dumps(row) + "\n")
    expected, predicted, probabilities = read_results(tmp_path / "results.jsonl", ["b", "a"])
    assert (expected.tolist(), predicted.tolist()) == ([[True, False]], [[False, True]])
    assert probabilities.tolist() == [[0.2, 0.7]]


def test_splits_are_drawn_in_the_natural_balance_each_anew() -> None:
    rows = [{"prompt": f"{at}", "completion": {"a": int(at % 10 == 0), "b": int(at % 10 != 0)}} for at in range(1000)]
    found = draw(rows, 200, 1)
    assert Counter(row["completion"]["a"] for row in found) == {1: 20, 0: 180}
    assert len({row["prompt"] for row in found}) == 200
    assert found == draw(rows, 200, 1)
    assert found != draw(rows, 200, 2)
