"""Gives every label its share of the training rows, or its count, by removing rows at random or repeating them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_trainer.config import Rebalance
from classifier_trainer.data.faults import shown
from classifier_trainer.data.label_sets import Grouped, Ids
from classifier_trainer.errors import UserError

BINARY_KEYS = ("negative", "positive")
_SHOWN = 5


def wanted_counts(
    rebalance: Rebalance, task: Task, labels: Sequence[str], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """How many rows each class is to have, from how many it has; for Binary negative, then positive.

    Shares keep the number of rows, rounded by the largest remainder; counts are exact.

    Raises:
        UserError: the task has no classes, a class is unknown or left out, or has no row to repeat.
    """
    if task == "Multilabel":
        raise UserError(
            "rebalance does not work with Multilabel, whose rows have several labels: leave it out, or write "
            "hyperparameters.classWeights: Balanced."
        )
    names = list(BINARY_KEYS) if task == "Binary" else list(labels)
    field = "rebalance.shares" if rebalance.shares is not None else "rebalance.counts"
    given: Mapping[str, float] = rebalance.shares if rebalance.shares is not None else rebalance.counts or {}
    if unknown := [name for name in given if name not in names]:
        known = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
        raise UserError(f"{field} names {shown(unknown[0])}, which is no label of the train set: write {known}.")
    if absent := [name for name in names if name not in given]:
        raise UserError(
            f"{field} leaves out {shown(absent[0])}: write a number for each label, 0 to leave its rows out."
        )
    values = [given[name] for name in names]
    wanted = _by_shares(values, int(counts.sum())) if rebalance.shares is not None else np.array(values, dtype=np.int64)
    if (bare := np.flatnonzero((wanted > 0) & (counts == 0))).size:
        name = names[int(bare[0])]
        raise UserError(
            f"{field} asks for rows of {shown(name)}, but no training row has it that could be repeated: "
            "add one, or write 0."
        )
    if np.count_nonzero(wanted) < 2:
        raise UserError(f"{field} leaves fewer than two classes with a row: give a second one a number above 0.")
    return wanted


def _by_shares(shares: Sequence[float], rows: int) -> npt.NDArray[np.int64]:
    # As fractions of what the user wrote: 0.3 of 10 rows are 3, which floats do not always say.
    exact = [Fraction(repr(float(share))) for share in shares]
    quota = [share / sum(exact) * rows for share in exact]
    result = np.array([int(part) for part in quota], dtype=np.int64)
    order = sorted(range(len(quota)), key=lambda at: (int(quota[at]) - quota[at], at))
    result[order[: rows - int(result.sum())]] += 1
    return result


def draw(classes: Grouped, wanted: npt.NDArray[np.int64], seed: int) -> Ids:
    """Rows of each class, ascending: each as often as it goes into `wanted`, and some at random once more."""
    generator = np.random.default_rng(seed)
    parts = [classes.rows[:0]]
    for found, count in enumerate(wanted.tolist()):
        part = classes.rows[classes.starts[found] : classes.starts[found + 1]]
        if not len(part):
            continue
        times, more = divmod(count, len(part))
        parts.append(np.repeat(part, times))
        if more:
            generator.shuffle(part)
            parts.append(part[:more])
    rows = np.concatenate(parts)
    rows.sort()
    return rows
