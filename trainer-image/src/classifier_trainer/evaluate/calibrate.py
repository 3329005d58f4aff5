"""Makes probabilities right as numbers: temperatures and thresholds, fitted on validation rows alone.

Temperature scaling is that of Guo et al. 2017 (On Calibration of Modern Neural Networks), with a prior on the
temperature. Without one, a hundred validation rows that happen to be all right ask for an endlessly sharp model, and
the first mistake on other rows costs more than calibration can ever gain.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import DEFAULT_THRESHOLD, probabilities
from classifier_trainer.evaluate.reliability import check_finite, log_losses
from classifier_trainer.evaluate.thresholds import fit_thresholds

Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]

MIN_TEMPERATURE = 0.2
MAX_TEMPERATURE = 20.0
MIN_POSITIVES = 5
"""Rows with a label, and rows without it, that a temperature or an intercept of its own takes."""
_SHARPER = 0.25
"""Deviation of the prior on log(temperature) below 1: sharpening costs without limit where it is wrong."""
_SOFTER = 1.0
_LABEL = 0.25
"""Deviation of a label's log(temperature) around that of all labels together."""
_INTERCEPT = 1.0
_ROUNDS = 3


@dataclass(frozen=True)
class Calibration:
    """What is done to the logits, and from which probability a label counts."""

    temperature: tuple[float, ...]
    """One; for Multilabel one a label. Logits are divided by it."""
    thresholds: dict[str, float]
    """A probability a label after calibration (Binary, Multilabel); none for Multiclass."""
    intercept: tuple[float, ...] | None = None
    """Added to the divided logits, one a logit; only where it was asked for."""

    @classmethod
    def none(cls, task: Task, labels: Sequence[str]) -> Calibration:
        """Changes nothing."""
        count = len(labels) if task == "Multilabel" else 1
        return cls((1.0,) * count, {} if task == "Multiclass" else dict.fromkeys(labels, DEFAULT_THRESHOLD))

    def apply(self, logits: Floats) -> Floats:
        """Calibrated logits [n, L] of logits [n, L].

        A checkpoint's head has this folded in, so its logits are calibrated already: each row of the weight and each
        bias is divided by its temperature, and the intercept is added to the bias.
        """
        scaled = logits / np.array(self.temperature)
        return np.asarray(scaled if self.intercept is None else scaled + np.array(self.intercept))


def calibrate(
    logits: Floats, targets: Targets, task: Task, labels: Sequence[str], *, intercept: bool = False
) -> Calibration:
    """The calibration with the least log loss on validation logits [n, L] and targets [n, k]; never worse than none.

    The temperature (Multilabel: one a label, drawn to that of all labels together the more, the fewer rows have the
    label) is between .2 and 20. `intercept` fits one a logit as well, for heads that have a bias to fold it into.
    Thresholds are those of `thresholds.fit_thresholds` on the calibrated probabilities.

    Raises:
        UserError: logits are NaN or infinite.
    """
    check_finite(logits)
    none = Calibration.none(task, labels)
    if len(logits) == 0:
        return none
    temperatures = _label_temperatures if task == "Multilabel" else _one_temperature
    zeros = np.zeros(logits.shape[1])
    best = replace(none, temperature=temperatures(logits, targets, task, zeros))
    if intercept:
        found = best
        for _ in range(_ROUNDS):
            added = _intercepts(found.apply(logits), targets, task)
            found = replace(best, temperature=temperatures(logits, targets, task, added))
        found = replace(found, intercept=tuple(added.tolist()))
        best = min(best, found, key=lambda one: float(log_losses(one.apply(logits), targets, task).mean()))
    probs = probabilities(best.apply(logits), task)
    return replace(best, thresholds=fit_thresholds(probs, targets, task, labels))


def _one_temperature(logits: Floats, targets: Targets, task: Task, added: Floats) -> tuple[float, ...]:
    """For all logits; the loss of a row is that of logits ÷ temperature + added."""

    def loss(scale: float) -> float:
        # Multilabel: the labels of a row are not independent, and together tell as much as one row does.
        return float(log_losses(logits * scale + added, targets, task).sum())

    return (_temperature(loss, 0.0, _prior),)


def _label_temperatures(logits: Floats, targets: Targets, task: Task, added: Floats) -> tuple[float, ...]:
    shared = math.log(_one_temperature(logits, targets, task, added)[0])
    own = _enough(targets)
    result = []
    for label in range(logits.shape[1]):
        column, truth, more = logits[:, label], targets[:, label], float(added[label])

        def loss(scale: float, column: Floats = column, truth: Targets = truth, more: float = more) -> float:
            scaled = column * scale + more
            return float((np.logaddexp(0, scaled) - scaled * truth).sum())

        found = _temperature(loss, shared, _label_prior) if own[label] else math.exp(shared)
        result.append(found if loss(1 / found) <= loss(1.0) else 1.0)
    return tuple(result)


def _temperature(loss: Callable[[float], float], centre: float, prior: Callable[[float], float]) -> float:
    """The temperature with the least loss(1 ÷ temperature) + prior(log(temperature) - centre)."""

    def objective(log_temperature: float) -> float:
        return loss(math.exp(-log_temperature)) + prior(log_temperature - centre)

    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    found = scipy.optimize.minimize_scalar(objective, bounds=(low, high), method="bounded", options={"xatol": 1e-4})
    return math.exp(float(found.x) if found.fun < objective(centre) else centre)


def _prior(log_temperature: float) -> float:
    return (log_temperature / (_SOFTER if log_temperature > 0 else _SHARPER)) ** 2 / 2


def _label_prior(distance: float) -> float:
    return (distance / _LABEL) ** 2 / 2


def _intercepts(logits: Floats, targets: Targets, task: Task) -> Floats:
    """What is best added to each of the logits [n, L]; nothing for labels that too few rows have or lack."""
    goals = np.column_stack([1 - targets, targets]) if task == "Binary" else targets

    def objective(added: Floats) -> tuple[float, Floats]:
        moved = logits + added
        if task == "Multilabel":
            loss = float((np.logaddexp(0, moved) - moved * goals).sum())
            probs = scipy.special.expit(moved)
        else:
            loss = float(log_losses(moved, targets, task).sum())
            probs = scipy.special.softmax(moved, axis=1)
        prior = float((added**2).sum()) / (2 * _INTERCEPT**2)
        return loss + prior, (probs - goals).sum(axis=0) + added / _INTERCEPT**2

    bounds = [(None, None) if enough else (0.0, 0.0) for enough in _enough(goals)]
    found = scipy.optimize.minimize(objective, np.zeros(logits.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x)


def _enough(goals: npt.NDArray[np.int8]) -> npt.NDArray[np.bool_]:
    positives = goals.sum(axis=0, dtype=np.int64)
    return np.asarray(np.minimum(positives, len(goals) - positives) >= MIN_POSITIVES)
