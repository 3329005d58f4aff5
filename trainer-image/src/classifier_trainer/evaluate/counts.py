"""What is counted of predicted labels, and the scores that follow from the counts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Counts:
    """Rows by expected and predicted class, each [classes].

    The classes of Multiclass and Multilabel are the labels; those of Binary are the absence of its label and the
    label. The definitions are scikit-learn's; here all follow from one pass over the rows, and what is 0 ÷ 0 is None,
    where scikit-learn warns.
    """

    exclusive: bool
    rows: int
    right: int
    """Rows whose label (Multilabel: whole label set) is right."""
    true_positives: Ints
    false_positives: Ints
    false_negatives: Ints
    confusion: Ints | None
    """[expected, predicted] of exclusive classes, else None."""

    @property
    def support(self) -> Ints:
        """Rows that have each class."""
        return self.true_positives + self.false_negatives

    @property
    def true_negatives(self) -> Ints:
        """Rows that neither have nor are given each class."""
        return self.rows - self.support - self.false_positives

    @property
    def precision(self) -> Floats:
        """Of each class; NaN where it was never predicted."""
        return _ratio(self.true_positives, self.true_positives + self.false_positives)

    @property
    def recall(self) -> Floats:
        """Of each class; NaN where no row has it."""
        return _ratio(self.true_positives, self.support)

    @property
    def f1(self) -> Floats:
        """Of each class; NaN where it is neither expected nor predicted."""
        return _f1(self.true_positives, self.false_positives, self.false_negatives)

    @property
    def accuracy(self) -> float | None:
        """Share of the rows whose label (Multilabel: whole label set) is right."""
        return self.right / self.rows if self.rows else None

    @property
    def balanced_accuracy(self) -> float | None:
        """Mean recall of the classes that occur.

        Multilabel: the mean over the labels that some rows have and others lack of (recall + specificity) ÷ 2.
        """
        if self.exclusive:
            return mean(self.recall)
        return mean((self.recall + _ratio(self.true_negatives, self.rows - self.support)) / 2)

    @property
    def macro_f1(self) -> float | None:
        """Mean F1 of the classes that are expected or predicted."""
        return mean(self.f1)

    @property
    def micro_f1(self) -> float | None:
        """F1 of all classes' rows together; the accuracy where classes exclude each other."""
        parts = (self.true_positives, self.false_positives, self.false_negatives)
        return mean(_f1(*(np.array([part.sum()]) for part in parts)))

    @property
    def weighted_f1(self) -> float | None:
        """Mean F1 of the classes, each weighted by the rows that have it."""
        total = int(self.support.sum())
        return float(np.nansum(self.f1 * self.support)) / total if total else None


def count(expected: npt.NDArray[np.int8], predicted: Mask, task: Task) -> Counts:
    """Counts of targets [n, k] and predicted labels [n, k]; Binary has one column."""
    rows = len(expected)
    if task == "Multilabel":
        truth = expected.astype(np.bool_)
        both = (truth & predicted).sum(axis=0, dtype=np.int64)
        return Counts(
            exclusive=False,
            rows=rows,
            right=int((truth == predicted).all(axis=1).sum()),
            true_positives=both,
            false_positives=predicted.sum(axis=0, dtype=np.int64) - both,
            false_negatives=truth.sum(axis=0, dtype=np.int64) - both,
            confusion=None,
        )
    if task == "Binary":
        classes, truth, guess = 2, expected[:, 0].astype(np.int64), predicted[:, 0].astype(np.int64)
    else:
        classes, truth, guess = expected.shape[1], expected.argmax(axis=1), predicted.argmax(axis=1)
    matrix = np.bincount(truth * classes + guess, minlength=classes * classes).reshape(classes, classes)
    right = matrix.diagonal()
    return Counts(
        exclusive=True,
        rows=rows,
        right=int(right.sum()),
        true_positives=right,
        false_positives=matrix.sum(axis=0) - right,
        false_negatives=matrix.sum(axis=1) - right,
        confusion=matrix,
    )


def mean(values: Floats) -> float | None:
    """Mean of the values that are numbers, None where none is."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else None


def _ratio(part: Ints, whole: Ints) -> Floats:
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0))


def _f1(true_positives: Ints, false_positives: Ints, false_negatives: Ints) -> Floats:
    return _ratio(2 * true_positives, 2 * true_positives + false_positives + false_negatives)
