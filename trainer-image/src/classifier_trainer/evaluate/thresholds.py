"""From which probability a label counts as predicted: the best F1 on validation rows, unless that is chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import DEFAULT_THRESHOLD

Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]

MIN_POSITIVES = 10
"""Rows with a label, and rows without it, that a threshold of its own takes."""
_PSEUDO_ROWS = 10
_STANDARD_ERRORS = 1.0


def fit_thresholds(probs: Floats, targets: Targets, task: Task, labels: Sequence[str]) -> dict[str, float]:
    """A threshold for each label from calibrated probabilities [n, k] and targets [n, k]; none for Multiclass.

    A threshold other than .5 must raise the F1 of these rows by more than its standard error. Labels that fewer than
    ten rows have, or lack, take that of all pairs of row and label together (Binary: .5).
    """
    if task == "Multiclass":
        return {}
    rows = len(targets)
    positives = targets.sum(axis=0, dtype=np.int64)
    enough = np.minimum(positives, rows - positives) >= MIN_POSITIVES
    shared = DEFAULT_THRESHOLD
    if task == "Multilabel" and not enough.all():
        shared = best_threshold(probs.reshape(-1), targets.reshape(-1))
    return {
        label: best_threshold(probs[:, i], targets[:, i]) if enough[i] else shared for i, label in enumerate(labels)
    }


def best_threshold(probs: Floats, truth: Targets) -> float:
    """The threshold with the best F1 of probabilities [n] and targets [n], .5 unless another is surely better.

    It is sought with each target drawn a little to its probability (as if ten rows more had been seen that are just as
    the model says), and lies in the middle between two rows. All rows of one class: .5.
    """
    positives = int(truth.sum())
    informative = min(positives, len(truth) - positives)
    if informative == 0:
        return DEFAULT_THRESHOLD
    values, group = np.unique(probs, return_inverse=True)
    weight = informative / (informative + _PSEUDO_ROWS)
    softened = np.bincount(group.reshape(-1), weights=weight * truth + (1 - weight) * probs)
    count = np.bincount(group.reshape(-1))
    # [i]: of the rows with at least the i-th smallest probability.
    hits, given = np.cumsum(softened[::-1])[::-1], np.cumsum(count[::-1])[::-1]
    f1 = 2 * hits / (given + softened.sum())
    best = np.flatnonzero(f1 >= f1.max() - 1e-12)
    below = np.r_[0.0, values[:-1]]
    found = min(((below[i] + values[i]) / 2 for i in best), key=lambda middle: abs(middle - DEFAULT_THRESHOLD))
    chosen = int(np.searchsorted(values, found))
    if below[chosen] < DEFAULT_THRESHOLD <= values[chosen]:
        return DEFAULT_THRESHOLD
    gain, error = _gain(truth, probs >= found, probs >= DEFAULT_THRESHOLD)
    return float(found) if gain > _STANDARD_ERRORS * error else DEFAULT_THRESHOLD


def _gain(truth: Targets, new: npt.NDArray[np.bool_], old: npt.NDArray[np.bool_]) -> tuple[float, float]:
    """F1 of the new predictions less that of the old, and the standard error of the difference (delta method)."""
    values, influences = [], []
    for guess in (new, old):
        total = int(truth.sum()) + int(guess.sum())
        f1 = 2 * int((truth * guess).sum()) / total
        values.append(f1)
        # F1 is 2 Σ both ÷ Σ (expected + predicted); this is how far a row moves that ratio.
        influences.append((2.0 * (truth * guess) - f1 * (truth + guess.astype(np.int8))) / total)
    return values[0] - values[1], float(np.sqrt(((influences[0] - influences[1]) ** 2).sum()))
