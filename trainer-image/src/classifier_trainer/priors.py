"""Frequencies of the classes: those trained on, those the probabilities are meant for, and the weights between them.

Training on other frequencies than those of the data (`rebalance`, `classWeights`) moves the probabilities. If log(train
prior ÷ target prior) is added to the logits inside the training loss, the raw logits come out right for the target
prior (logit adjustment: Menon et al. 2021), and nothing is corrected afterwards.

All arrays are by logit, [L]: the labels, for Binary the absence of its label and the label.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task

Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]
Counts = npt.NDArray[np.int64]


def class_weights(counts: Counts, rows: int, task: Task) -> Floats:
    """Balanced weights from the label counts [k] of `rows` training rows; the mean over the rows is 1.

    Binary and Multiclass: [L], the weight of a row by its class, as the inverse of the frequency of the class.
    Multilabel: [2, k], of each pair of row and label, without (0) and with (1) the label: a label weighs as much in the
    rows that have it, all together, as in those that lack it. What no row has weighs 1.
    """
    if task != "Multilabel":
        classes = _by_logit(counts, rows, task)
        present = classes > 0
        return np.asarray(np.divide(rows, present.sum() * classes, out=np.ones(len(classes)), where=present))
    both = np.stack([rows - counts, counts]).astype(np.float64)
    known = (both > 0).all(axis=0)
    return np.asarray(np.divide(rows, 2 * both, out=np.ones(both.shape), where=known))


def training_offset(
    train: tuple[Counts, int], target: tuple[Counts, int], task: Task, weights: Floats | None = None
) -> Floats:
    """What is added to the logits in the training loss, [L], so that without it they are right for the target prior.

    Args:
        train: label counts [k] and the number of the rows that are trained on, after `rebalance`.
        target: the same of the rows as they are in the world (`Dataset.natural`, `rows_natural`), before `rebalance`.
        weights: of `class_weights`, where the loss is weighted: it trains on the weighted frequencies.

    Binary and Multiclass have log(train share ÷ target share) of each class; Multilabel, whose labels are a question
    each, the difference of the log odds. A class that one of the two sets lacks, or has in every row, has 0: nothing is
    known. With equal shares all are equal: no offset.
    """
    if task == "Multilabel":
        with_label, without = [], []
        for counts, rows in (train, target):
            with_label.append(counts.astype(np.float64))
            without.append(rows - counts.astype(np.float64))
        if weights is not None:
            with_label[0], without[0] = with_label[0] * weights[1], without[0] * weights[0]
        parts = [with_label[0], without[1], with_label[1], without[0]]
        known = np.min(parts, axis=0) > 0
        safe = [np.where(known, part, 1.0) for part in parts]
        return np.asarray(np.log(safe[0]) + np.log(safe[1]) - np.log(safe[2]) - np.log(safe[3]))
    have, want = (_by_logit(counts, rows, task).astype(np.float64) for counts, rows in (train, target))
    if weights is not None:
        have = have * weights
    known = (have > 0) & (want > 0)
    shares = [np.where(known, part / part[known].sum(), 1.0) for part in (have, want)]
    return np.asarray(np.log(shares[0]) - np.log(shares[1]))


def _by_logit(counts: Counts, rows: int, task: Task) -> Counts:
    return np.array([rows - counts[0], counts[0]]) if task == "Binary" else counts
