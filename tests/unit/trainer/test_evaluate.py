"""The three scores of the status, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from classifier_trainer.evaluate.scores import scores


def mask(values: list[list[int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array(values, dtype=np.bool_)


def test_multiclass() -> None:
    expected = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]], dtype=np.int8)
    found = scores(expected, mask([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]), "Multiclass")
    assert found["accuracy"] == found["sampleMatchCombined"] == 0.75
    assert found["macroF1"] == pytest.approx((2 / 3 + 4 / 5) / 2)  # the third label neither occurs nor is predicted


def test_binary_counts_the_absence_as_a_label() -> None:
    expected = np.array([[1], [0], [0], [0]], dtype=np.int8)
    found = scores(expected, mask([[0], [0], [0], [0]]), "Binary")
    assert found["accuracy"] == 0.75
    assert found["macroF1"] == pytest.approx((0 + 6 / 7) / 2)
    assert scores(expected[1:], mask([[0], [0], [0]]), "Binary")["macroF1"] == 1.0


def test_multilabel_compares_whole_sets() -> None:
    expected = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=np.int8)
    predicted = mask([[1, 1, 0], [0, 0, 0], [1, 1, 0]])
    found = scores(expected, predicted, "Multilabel")
    assert found["accuracy"] == found["sampleMatchCombined"] == pytest.approx(2 / 3)
    wanted = f1_score(expected[:, :2], predicted[:, :2].astype(int), average="macro")
    assert found["macroF1"] == pytest.approx(wanted)
    assert scores(expected * 0, predicted & False, "Multilabel")["macroF1"] == 1.0
