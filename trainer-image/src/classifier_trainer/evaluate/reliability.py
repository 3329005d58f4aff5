"""Whether probabilities are right as numbers: log loss, Brier score, calibration error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt
import scipy.special

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import probabilities
from classifier_trainer.errors import UserError

Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]

BINS = 15
_EXACT = 4_000_000
_LEVELS = 1 << 20


class Bin(TypedDict):
    """Rows (Multilabel: pairs of row and label) of about the same confidence."""

    confidence: float
    accuracy: float
    count: int


@dataclass(frozen=True)
class Reliability:
    """Scores of probabilities as numbers; less is better."""

    log_loss: float
    brier: float
    expected_calibration_error: float
    bins: list[Bin]


def check_finite(logits: Floats) -> None:
    """Refuses the logits of a model whose training went astray.

    Raises:
        UserError: some logits are NaN or infinite.
    """
    if not np.isfinite(logits).all():
        rows = int((~np.isfinite(logits).all(axis=1)).sum())
        raise UserError(
            f"the model answers {rows} of {len(logits)} rows with NaN or infinite values, so the training went astray: "
            "lower hyperparameters.learningRate, or write precision: Float32."
        )


def log_losses(logits: Floats, targets: Targets, task: Task) -> Floats:
    """Log loss of each row, [n], from logits [n, L] and targets [n, k]; Multilabel: the mean over a row's labels."""
    if task == "Multilabel":
        return np.asarray((np.logaddexp(0, logits) - logits * targets).mean(axis=1))
    right = logits[np.arange(len(logits)), classes(targets, task)]
    return np.asarray(scipy.special.logsumexp(logits, axis=1) - right)


def classes(targets: Targets, task: Task) -> npt.NDArray[np.intp]:
    """Column of the logits that is right for each row, [n]; for Binary and Multiclass."""
    return targets[:, 0].astype(np.intp) if task == "Binary" else targets.argmax(axis=1)


def reliability(logits: Floats, targets: Targets, task: Task) -> Reliability:
    """Scores of logits [n, L] for targets [n, k], n > 0.

    The Brier score is scikit-learn's: the squared distance to the truth, summed over the classes (0 to 2), of one of
    them where there are two (0 to 1), or, for Multilabel, the mean over all pairs of row and label (0 to 1). The
    calibration error looks at the confidence in the most probable class, for Multilabel at all pairs.
    """
    probs = probabilities(logits, task)
    loss = float(log_losses(logits, targets, task).mean())
    distance = (probs - targets) ** 2
    brier = float(distance.sum(axis=1).mean() if task == "Multiclass" and probs.shape[1] > 2 else distance.mean())
    if task == "Multiclass":
        confidence, right = probs.max(axis=1), probs.argmax(axis=1) == targets.argmax(axis=1)
    elif task == "Binary":
        positive = probs[:, 0] >= 0.5
        confidence, right = np.where(positive, probs[:, 0], 1 - probs[:, 0]), positive == targets[:, 0]
    else:
        confidence, right = probs.reshape(-1), targets.reshape(-1)
    bins = equal_mass_bins(confidence, right)
    total = sum(part["count"] for part in bins)
    error = sum(abs(part["confidence"] - part["accuracy"]) * part["count"] for part in bins) / total
    return Reliability(loss, brier, error, bins)


def equal_mass_bins(confidence: Floats, right: npt.ArrayLike, bins: int = BINS) -> list[Bin]:
    """At most `bins` bins of about as many rows each, confidence rising; equal confidences share a bin.

    Confidences [n] that are equal go to the bin of the middle of their ranks, so the order of the rows is of no
    account. Sums over more than 4,000,000 pairs are of confidences rounded to a millionth before they are ranked.
    """
    truth = np.asarray(right, dtype=np.float64)
    if confidence.size > _EXACT:
        level = (confidence * _LEVELS).astype(np.int64)
        count = np.bincount(level)
        sums = [_sums(level, part)[count > 0] for part in (confidence, truth)]
        count = count[count > 0]
    else:
        values, group, count = np.unique(confidence, return_inverse=True, return_counts=True)
        sums = [values * count, _sums(group.reshape(-1), truth)]
    middle = np.cumsum(count) - count / 2
    place = np.minimum((middle * bins / confidence.size).astype(np.int64), bins - 1)
    totals = np.bincount(place, weights=count, minlength=bins)
    means = [np.bincount(place, weights=part, minlength=bins) for part in sums]
    return [
        Bin(confidence=float(means[0][i] / totals[i]), accuracy=float(means[1][i] / totals[i]), count=int(totals[i]))
        for i in np.flatnonzero(totals)
    ]


def _sums(group: npt.NDArray[np.int64], values: Floats) -> Floats:
    """Sum of the values of each group."""
    return np.asarray(np.bincount(group, weights=values), dtype=np.float64)
