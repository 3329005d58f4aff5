"""Figures of predictions, computed here anew from the probabilities and not taken from the trainer that is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

BINS = 15
RESAMPLES = 10_000
_LEAST = 1e-6
"""results.jsonl holds six digits of a probability."""


@dataclass(frozen=True)
class Interval:
    """A mean with the 2.5th and 97.5th percentile of its bootstrap."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"


def right(expected: Mask, predicted: Mask) -> Mask:
    """Whether all labels of a row [n, k] are as they should be, [n]."""
    found: Mask = (expected == predicted).all(axis=1)
    return found


def micro_f1(counts: npt.NDArray[np.int64]) -> float:
    """2 tp ÷ (2 tp + fp + fn) over rows of (tp, fp, fn), [n, 3]."""
    hits, excess, missed = (int(value) for value in counts.sum(axis=0))
    return 2 * hits / max(1, 2 * hits + excess + missed)


def label_counts(expected: Mask, predicted: Mask) -> npt.NDArray[np.int64]:
    """True positives, false positives and false negatives of each row [n, k], as [n, 3]."""
    parts = (expected & predicted, ~expected & predicted, expected & ~predicted)
    return np.stack([part.sum(axis=1) for part in parts], axis=1)


def log_losses(expected: Mask, probabilities: Array, exclusive: bool) -> Array:
    """Log loss of each row, [n]; labels that exclude each other count once, others with the mean of their own."""
    safe = np.clip(probabilities, _LEAST, 1 - _LEAST)
    if exclusive and expected.shape[1] > 1:
        return np.asarray(-np.log(safe[expected]))
    return np.asarray(-np.where(expected, np.log(safe), np.log1p(-safe)).mean(axis=1))


def calibration_error(expected: Mask, probabilities: Array, exclusive: bool) -> float:
    """Expected calibration error over 15 bins of equally many predictions.

    A prediction is the most probable class of a row (Binary: of the label and its absence) and its probability;
    labels that do not exclude each other are a prediction each, of the label itself.
    """
    if not exclusive:
        confidence, hit = probabilities.ravel(), expected.ravel().astype(float)
    elif expected.shape[1] == 1:
        of = probabilities[:, 0]
        confidence, hit = np.maximum(of, 1 - of), ((of > 0.5) == expected[:, 0]).astype(float)
    else:
        chosen = probabilities.argmax(axis=1)
        confidence, hit = probabilities.max(axis=1), expected[np.arange(len(expected)), chosen].astype(float)
    order = np.argsort(confidence, kind="stable")
    bins = np.array_split(order, min(BINS, len(order)))
    gaps = [abs(float(confidence[part].mean() - hit[part].mean())) * len(part) for part in bins]
    return sum(gaps) / len(order)


def at_temperature(probabilities: Array, temperature: Array, exclusive: bool) -> Array:
    """The probabilities that logits `temperature` times as large give: those before a calibration by it."""
    safe = np.clip(probabilities, _LEAST, 1 - _LEAST)
    if exclusive and probabilities.shape[1] > 1:
        logits = np.log(safe) * temperature
        grown = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(grown / grown.sum(axis=1, keepdims=True))
    return np.asarray(1 / (1 + np.exp(-(np.log(safe) - np.log1p(-safe)) * temperature)))


def mean_difference(ours: Array, theirs: Array) -> Interval:
    """Mean of ours less theirs, values [splits, n] of the same rows; bootstrap over the rows, their splits together."""
    difference = (ours - theirs).mean(axis=0)
    means = np.array([difference[chosen].mean() for chosen in _resamples(len(difference))])
    return _interval(float(difference.mean()), means)


def micro_f1_difference(ours: npt.NDArray[np.int64], theirs: npt.NDArray[np.int64]) -> Interval:
    """Micro-F1 of ours less theirs, counts [n, 3] of the same rows; bootstrap over the rows."""
    found = [micro_f1(ours[chosen]) - micro_f1(theirs[chosen]) for chosen in _resamples(len(ours))]
    return _interval(micro_f1(ours) - micro_f1(theirs), np.array(found))


def standard_error(values: Array) -> float:
    """Of the mean of values [n]."""
    return float(values.std(ddof=1)) / float(np.sqrt(len(values)))


def _resamples(rows: int) -> list[npt.NDArray[np.int64]]:
    generator = np.random.default_rng(0)
    return [generator.integers(0, rows, rows) for _ in range(RESAMPLES)]


def _interval(mean: float, found: Array) -> Interval:
    low, high = np.percentile(found, [2.5, 97.5])
    return Interval(mean, float(low), float(high))
