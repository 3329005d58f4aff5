"""From logits to probabilities and predicted labels: the same in tests of the trainer and in answers of the server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task

DEFAULT_THRESHOLD = 0.5


def probabilities(logits: npt.ArrayLike, task: Task) -> npt.NDArray[np.float64]:
    """Probabilities in fp64 of logits [n, k].

    Binary with two logits gives [n, 1], the softmax of the positive (second) one; with one logit its sigmoid.
    Multiclass gives the softmax [n, k], Multilabel the sigmoid of each logit [n, k].

    Raises:
        ValueError: the logits have another shape than the task.
    """
    values = np.asarray(logits, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] == 0:
        raise ValueError(f"logits must be [rows, labels], not {values.shape}")
    if task == "Multilabel" or values.shape[1] == 1:
        return _sigmoid(values)
    if task == "Binary":
        if values.shape[1] != 2:
            raise ValueError(f"task Binary has one or two logits, not {values.shape[1]}")
        # softmax of two logits is the sigmoid of their difference
        return _sigmoid(values[:, 1:] - values[:, :1])
    shifted = np.exp(values - values.max(axis=1, keepdims=True))
    return np.asarray(shifted / shifted.sum(axis=1, keepdims=True))


def predicted_mask(
    probs: npt.NDArray[np.float64], thresholds: Mapping[str, float], task: Task, labels: Sequence[str]
) -> npt.NDArray[np.bool_]:
    """Which labels count as predicted: [n, k] from probabilities [n, k] and the label names of their columns.

    Multiclass: the most probable one (the first, if several are). Else: those that reach their threshold, which is
    0.5 where `thresholds` names none.
    """
    if probs.shape[1] != len(labels):
        raise ValueError(f"{probs.shape[1]} columns of probabilities for {len(labels)} labels")
    if task == "Multiclass":
        mask = np.zeros(probs.shape, dtype=np.bool_)
        mask[np.arange(len(probs)), probs.argmax(axis=1)] = True
        return mask
    limits = np.array([thresholds.get(label, DEFAULT_THRESHOLD) for label in labels])
    return np.asarray(probs >= limits)


def predicted_labels(
    probs: npt.NDArray[np.float64], thresholds: Mapping[str, float], task: Task, labels: Sequence[str]
) -> list[list[str]]:
    """Names of the predicted labels of each row; see `predicted_mask`."""
    mask = predicted_mask(probs, thresholds, task, labels)
    return [[label for label, chosen in zip(labels, row, strict=True) if chosen] for row in mask]


def _sigmoid(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    # Both branches have an exponent <= 0, so neither overflows.
    small = np.exp(-np.abs(values))
    return np.asarray(np.where(values >= 0, 1.0, small) / (1.0 + small))
