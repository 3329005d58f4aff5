"""Scores of predictions, as scikit-learn computes them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from sklearn.metrics import accuracy_score, f1_score

from classifier_artifacts.classifier_json import Task

Mask = npt.NDArray[np.bool_]


def scores(expected: npt.NDArray[np.int8], predicted: Mask, task: Task) -> dict[str, float]:
    """`accuracy`, `macroF1` and `sampleMatchCombined` of masks [n, k] (Binary: one column).

    Accuracy is the share of rows whose label (Multilabel: whole label set) is right, which is SampleMatchCombined's
    definition too. Macro-F1 is the mean over the labels that occur as expected or predicted; Binary counts the absence
    of its label as the second one.
    """
    if task == "Multilabel":
        truth, guess = expected.astype(int), predicted.astype(int)
        seen = (truth.sum(axis=0) + guess.sum(axis=0)) > 0
        f1 = f1_score(truth[:, seen], guess[:, seen], average="macro", zero_division=0.0) if seen.any() else 1.0
    elif task == "Binary":
        truth, guess = expected[:, 0].astype(int), predicted[:, 0].astype(int)
        f1 = f1_score(truth, guess, average="macro", labels=np.unique([*truth, *guess]), zero_division=0.0)
    else:
        truth, guess = expected.argmax(axis=1), predicted.argmax(axis=1)
        f1 = f1_score(truth, guess, average="macro", zero_division=0.0)
    accuracy = float(accuracy_score(truth, guess))
    return {"accuracy": accuracy, "macroF1": float(f1), "sampleMatchCombined": accuracy}
