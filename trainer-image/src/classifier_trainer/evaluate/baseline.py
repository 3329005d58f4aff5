"""What a TF-IDF with a linear SVM makes of the same rows: a model that loses to it is not worth its GPU."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from classifier_artifacts.classifier_json import Task

MAX_ROWS = 50_000
MAX_LABELS = 200


def baseline_accuracy(
    train: tuple[Sequence[str], npt.NDArray[np.int8]],
    test: tuple[Sequence[str], npt.NDArray[np.int8]],
    task: Task,
    seed: int,
) -> float | None:
    """Accuracy on the test rows with scikit-learn's defaults; None where the set is too large or has no words.

    Each set is texts with targets [n, k] (Binary: one column); Multilabel compares whole label sets.
    """
    prompts, targets = train
    if len(prompts) > MAX_ROWS or targets.shape[1] > MAX_LABELS:
        return None
    model = LinearSVC(random_state=seed)
    if task == "Multilabel":
        model = OneVsRestClassifier(model)
        goal, truth = targets, test[1]
    elif task == "Binary":
        goal, truth = targets[:, 0], test[1][:, 0]
    else:
        goal, truth = targets.argmax(axis=1), test[1].argmax(axis=1)
    pipeline = make_pipeline(TfidfVectorizer(), model)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            # Rows enough for its classes or not, the profile of the data says so.
            warnings.filterwarnings("ignore", message="The number of unique classes is greater than")
            # One-vs-rest says so of labels that all rows or none have; they were warned about with the data.
            warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
            warnings.filterwarnings("ignore", message="Label not .* is present in all training examples")
            pipeline.fit(list(prompts), goal)
            guess = pipeline.predict(list(test[0]))
    except ValueError as error:
        if "empty vocabulary" in str(error):
            return None
        raise
    right = guess == truth
    return float((right.all(axis=1) if right.ndim == 2 else right).mean())
