"""Fits the head on cached features to convergence; the backbone is not needed any more."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

from classifier_trainer.train.goal import Goal

Array = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]
Start = Callable[[Array, Array], tuple[Array, Array]]
"""Weight [k, d] and bias [k] in closed form for features [n, d] and targets [n, k]."""

PENALTIES = (1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003)
MAX_CHOICE_ROWS = 20_000
"""Rows on which the penalty and the closed form are decided; the head is then fitted on all."""
_FOLDS = 5
_MAX_ITERATIONS = 500
_CHUNK = 16_384
"""Rows in fp64 at a time: features of many rows lie on disk, and do not fit into memory."""


def fit_head(
    features: Features, goal: Goal, *, with_bias: bool, start: Start, fold_of: npt.NDArray[np.int64]
) -> tuple[Array, Array, float]:
    """Weight [k, d], bias [k] (zeros without one) and the penalty, chosen by the log loss out of fold.

    Log loss plus penalty times the squared distance from the closed form, by L-BFGS: the closed form is what little
    data allow, and much data outweigh it. Features are standardised first (not centred without a bias, which would
    have to take it up).

    Args:
        features: [n, d]; they may be a mapped file.
        fold_of: the fold of each row, [n], 0 to 4.
    """
    mean, deviation = _moments(features)
    scale = np.maximum(deviation, max(0.2 * float(np.median(deviation)), 1e-12))
    shift = mean if with_bias else np.zeros(len(mean))
    few = np.arange(len(features))
    if len(few) > MAX_CHOICE_ROWS:
        few = np.sort(np.random.default_rng(0).choice(few, MAX_CHOICE_ROWS, replace=False))

    def some(rows: npt.NDArray[np.int64]) -> _Problem:
        return _Problem(features, rows, goal, shift, scale, with_bias)

    def first(problem: _Problem) -> tuple[Array, Array]:
        z, targets = problem.all()
        return start(z, targets)

    losses = dict.fromkeys(PENALTIES, 0.0)
    for fold in range(_FOLDS):
        held = fold_of[few] == fold
        if not held.any() or held.all():
            continue
        inside, outside = some(few[~held]), some(few[held])
        anchor = found = first(inside)
        for penalty in PENALTIES:
            # From one penalty's head to the next it is not far.
            found = inside.fit(anchor, found, penalty)
            losses[penalty] += outside.loss(*found)
    chosen = min(PENALTIES, key=lambda penalty: losses[penalty])
    anchor = first(some(few))
    weight, bias = some(np.arange(len(features))).fit(anchor, anchor, chosen)
    weight = weight / scale
    return weight, bias - weight @ shift if with_bias else bias, chosen


class _Problem:
    """The log loss of a linear head on rows of standardised features, a chunk at a time."""

    def __init__(
        self,
        features: Features,
        rows: npt.NDArray[np.int64],
        goal: Goal,
        shift: Array,
        scale: Array,
        with_bias: bool,
    ) -> None:
        self._features, self._rows, self._goal = features, rows, goal
        self._shift, self._scale, self._with_bias = shift, scale, with_bias
        self._kept = [self._chunk(rows)] if len(rows) <= _CHUNK else None

    def all(self) -> tuple[Array, Array]:
        """Standardised features [n, d] and targets [n, k]."""
        return self._chunk(self._rows)[:2]

    def loss(self, weight: Array, bias: Array) -> float:
        """The sum over the rows."""
        return sum(
            float((_losses(z @ weight.T + bias + self._offset, targets, self._goal.exclusive, weights)).sum())
            for z, targets, weights in self._chunks()
        )

    def fit(self, anchor: tuple[Array, Array], guess: tuple[Array, Array], penalty: float) -> tuple[Array, Array]:
        """The weight and the bias with the least mean loss plus penalty, found from `guess`."""
        labels, width = anchor[0].shape
        exclusive, with_bias = self._goal.exclusive, self._with_bias

        def objective(flat: Array) -> tuple[float, Array]:
            weight, bias = flat[:-labels].reshape(labels, width), flat[-labels:]
            distance = weight - anchor[0]
            loss = 0.5 * penalty * float((distance**2).sum())
            gradient, slope_bias = penalty * distance, np.zeros(labels)
            for z, targets, weights in self._chunks():
                logits = z @ weight.T + bias + self._offset
                loss += float(_losses(logits, targets, exclusive, weights).sum()) / len(self._rows)
                slope = (_probabilities(logits, exclusive) - targets) * weights / len(self._rows)
                gradient += slope.T @ z
                slope_bias += slope.sum(axis=0)
            return loss, np.concatenate([gradient.ravel(), slope_bias * with_bias])

        found = scipy.optimize.minimize(
            objective,
            np.concatenate([guess[0].ravel(), guess[1] if with_bias else np.zeros(labels)]),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": _MAX_ITERATIONS},
        )
        return found.x[:-labels].reshape(labels, width), found.x[-labels:]

    @property
    def _offset(self) -> Array | float:
        return 0.0 if self._goal.offset is None else self._goal.offset

    def _chunks(self) -> Iterator[tuple[Array, Array, Array]]:
        if self._kept is not None:
            yield from self._kept
            return
        for at in range(0, len(self._rows), _CHUNK):
            yield self._chunk(self._rows[at : at + _CHUNK])

    def _chunk(self, rows: npt.NDArray[np.int64]) -> tuple[Array, Array, Array]:
        """Standardised features, targets, and the weights of rows [n, 1] or of pairs [n, k]."""
        z = (self._features[rows].astype(np.float64) - self._shift) / self._scale
        targets = np.asarray(self._goal.targets[rows], dtype=np.float64)
        weights = np.ones((len(rows), 1))
        if self._goal.weights is not None:
            found = self._goal.weights_of(targets)
            weights = found[:, None] if found.ndim == 1 else found
        return z, targets, weights


def _moments(features: Features) -> tuple[Array, Array]:
    """Mean and deviation of each feature."""
    total, squares = np.zeros(features.shape[1]), np.zeros(features.shape[1])
    for at in range(0, len(features), _CHUNK):
        total += features[at : at + _CHUNK].sum(axis=0, dtype=np.float64)
    mean = total / len(features)
    for at in range(0, len(features), _CHUNK):
        squares += ((features[at : at + _CHUNK].astype(np.float64) - mean) ** 2).sum(axis=0)
    return mean, np.sqrt(squares / len(features))


def _losses(logits: Array, targets: Array, exclusive: bool, weights: Array) -> Array:
    if exclusive:
        losses = scipy.special.logsumexp(logits, axis=1) - (logits * targets).sum(axis=1)
        return np.asarray(losses * weights[:, 0])
    return np.asarray(((np.logaddexp(0, logits) - logits * targets) * weights).sum(axis=1))


def _probabilities(logits: Array, exclusive: bool) -> Array:
    return np.asarray(scipy.special.softmax(logits, axis=1) if exclusive else scipy.special.expit(logits))
