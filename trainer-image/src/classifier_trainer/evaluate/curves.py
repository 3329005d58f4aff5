"""How well the probabilities of one label rank the rows: ROC and precision over recall."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import auc, confusion_matrix_at_thresholds

Floats = npt.NDArray[np.float64]
Points = list[list[float]]

MAX_POINTS = 64
_MIN_POINTS = 16
_ALL_POINTS = 4096
_DIGITS = 5


@dataclass(frozen=True)
class Ranking:
    """Areas and thinned curves of one label; None where the rows lack what they need."""

    roc_auc: float | None
    """Needs rows with the label and rows without it."""
    average_precision: float | None
    """Needs rows with the label."""
    roc: Points | None
    """[false positive rate, true positive rate], rising, from [0, 0] to [1, 1]."""
    precision_recall: Points | None
    """[recall, precision], recall rising, from [0, 1] to full recall."""


def rank(expected: npt.NDArray[np.int8], probabilities: Floats, points: int = MAX_POINTS) -> Ranking:
    """Ranking of targets [n] by probabilities [n], with at most `points` points a curve.

    Areas are those of all points (`roc_auc_score`, `average_precision_score`), from one sort of the rows.
    """
    positives = int(expected.sum())
    if positives == 0:
        return Ranking(None, None, None, None)
    _, false_positives, _, true_positives, _ = confusion_matrix_at_thresholds(expected, probabilities)
    recall = np.r_[0.0, true_positives / positives]
    precision = np.r_[1.0, true_positives / (true_positives + false_positives)]
    average = float(np.sum(np.diff(recall) * precision[1:]))
    # What comes after the last row with the label only lowers the precision.
    full = int(np.searchsorted(recall, 1.0)) + 1
    curve = _thinned(recall[:full], precision[:full], recall[:full], points)
    negatives = len(expected) - positives
    if negatives == 0:
        return Ranking(None, average, None, curve)
    rate = np.r_[0.0, false_positives / negatives]
    # Even along the curve's own length, so that its steep part keeps its points.
    roc = _thinned(rate, recall, rate + recall, points)
    return Ranking(float(auc(rate, recall)), average, roc, curve)


def points_for(labels: int) -> int:
    """Points a curve, so that the curves of a thousand labels stay a file of some hundred kilobytes."""
    return max(_MIN_POINTS, min(MAX_POINTS, _ALL_POINTS // max(labels, 1)))


def _thinned(x: Floats, y: Floats, position: Floats, points: int) -> Points:
    """At most `points` of the points, evenly spaced in `position` (rising), the first and the last among them."""
    if len(x) > points:
        wanted = np.linspace(position[0], position[-1], points)
        chosen = np.unique(np.minimum(np.searchsorted(position, wanted), len(x) - 1))
        chosen[-1] = len(x) - 1
        x, y = x[chosen], y[chosen]
    return [[round(a, _DIGITS), round(b, _DIGITS)] for a, b in zip(x.tolist(), y.tolist(), strict=True)]
