"""Logits to probabilities, for every task."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import predicted_labels, predicted_mask, probabilities

LOGITS = np.array([[1.0, -2.0, 0.5], [30.0, 31.0, -40.0]])


def test_multiclass_is_the_softmax() -> None:
    expected = torch.softmax(torch.from_numpy(LOGITS), dim=1).numpy()
    np.testing.assert_allclose(probabilities(LOGITS, "Multiclass"), expected, rtol=1e-12)


def test_multilabel_is_the_sigmoid() -> None:
    expected = torch.sigmoid(torch.from_numpy(LOGITS)).numpy()
    np.testing.assert_allclose(probabilities(LOGITS, "Multilabel"), expected, rtol=1e-12)


def test_binary_with_two_logits_is_the_softmax_of_the_second() -> None:
    logits = LOGITS[:, :2]
    expected = torch.softmax(torch.from_numpy(logits), dim=1).numpy()[:, 1:]
    np.testing.assert_allclose(probabilities(logits, "Binary"), expected, rtol=1e-12)


@pytest.mark.parametrize("task", ["Binary", "Multilabel", "Multiclass"])
def test_one_logit_is_the_sigmoid(task: Task) -> None:
    np.testing.assert_allclose(probabilities([[0.0], [2.0]], task), [[0.5], [1 / (1 + np.exp(-2))]])


@pytest.mark.parametrize("task", ["Binary", "Multilabel", "Multiclass"])
def test_no_overflow(task: Task) -> None:
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = probabilities([[1e4, -1e4], [-1e4, 1e4]], task)
    assert np.isfinite(found).all()
    assert ((found >= 0) & (found <= 1)).all()


def test_wrong_shapes() -> None:
    with pytest.raises(ValueError, match="one or two logits"):
        probabilities([[1.0, 2.0, 3.0]], "Binary")
    with pytest.raises(ValueError, match="rows, labels"):
        probabilities([1.0], "Multiclass")


def test_multiclass_predicts_the_most_probable_whatever_the_thresholds() -> None:
    probs = np.array([[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]])
    assert predicted_labels(probs, {"a": 0.1}, "Multiclass", ["a", "b", "c"]) == [["b"], ["a"]]


def test_thresholds() -> None:
    probs = np.array([[0.5, 0.5], [0.49, 0.7]])
    assert predicted_labels(probs, {"b": 0.6}, "Multilabel", ["a", "b"]) == [["a"], ["b"]]
    assert predicted_mask(np.array([[0.7]]), {"a": 0.8}, "Binary", ["a"]).tolist() == [[False]]


def test_columns_must_be_the_labels() -> None:
    with pytest.raises(ValueError, match="2 columns"):
        predicted_mask(np.zeros((1, 2)), {}, "Binary", ["a"])
