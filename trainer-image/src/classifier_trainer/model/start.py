"""Prepares the model for training: template, features, and the head's start in closed form."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_trainer.model import closed_form
from classifier_trainer.model.closed_form import LinearHead


def closed_form_head(
    features: npt.ArrayLike,
    targets: npt.NDArray[np.float64],
    *,
    exclusive: bool,
    with_bias: bool,
    seed: int,
    offset: npt.NDArray[np.float64] | None = None,
) -> tuple[LinearHead, float]:
    """A soft head from features [n, d] and targets [n, k], and its out-of-fold log loss a row.

    `offset` [k] is what training adds to the logits, which then need not have it in them.
    """
    unseen = closed_form.out_of_fold(features, targets, exclusive=exclusive, seed=seed)
    _, loss = closed_form.best_scale(unseen, targets, exclusive=exclusive)
    head = closed_form.fit(features, targets, exclusive=exclusive)
    if offset is not None:
        head = closed_form.soften(head, features, targets, loss, exclusive=exclusive)
        head = LinearHead(head.weight, head.bias - offset)
        return head if with_bias else closed_form.fold_bias(head, features), loss
    if not with_bias:
        head = closed_form.fold_bias(head, features)
    return closed_form.soften(head, features, targets, loss, exclusive=exclusive), loss


def keep_rows(layer: nn.Linear, head: LinearHead, kept: Sequence[int], *, exclusive: bool) -> None:
    """Writes the head into the layer, but for the rows `kept`, which are trained already.

    What all rows of a softmax have in common is arbitrary: the new ones get what the kept ones have of it.
    """
    with torch.no_grad():
        for place, value in ((layer.weight, head.weight), (layer.bias, head.bias)):
            if place is None:
                continue
            found = torch.from_numpy(value).to(place)
            if kept:
                if exclusive:
                    found += (place[kept] - found[kept]).mean(dim=0)
                found[kept] = place[kept]
            place.copy_(found)


def logit_targets(targets: npt.NDArray[np.int8], task: str) -> npt.NDArray[np.float64]:
    """Targets [n, logits] for targets [n, labels]: Binary has two logits, the first for the absence of its label."""
    values = targets.astype(np.float64)
    return np.concatenate([1 - values, values], axis=1) if task == "Binary" else values


def rows_for_start(rows: int, labels: int, width: int) -> int:
    """How many rows the start is computed on: enough for the covariance and for every label, and not all of many."""
    return min(rows, 20_000, max(1000, 50 * labels, 2 * width))
