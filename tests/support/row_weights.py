"""Weights a row: what the loss weighs with, in the form that other libraries take."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task


def row_weights(weights: npt.NDArray[np.float64], targets: npt.NDArray[np.int8], task: Task) -> npt.NDArray[np.float64]:
    """What `priors.class_weights` says of each row: [n], for Multilabel [n, k], of targets [n, k]."""
    if task == "Multilabel":
        return np.asarray(np.where(targets == 1, weights[1], weights[0]))
    return np.asarray(weights[targets[:, 0] if task == "Binary" else targets.argmax(axis=1)])
