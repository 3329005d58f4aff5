"""Fits the head on cached features to convergence; the backbone is not needed any more."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import scipy.optimize
import scipy.special

Array = npt.NDArray[np.float64]
Start = Callable[[Array, Array], tuple[Array, Array]]
"""Weight [k, d] and bias [k] in closed form for features [n, d] and targets [n, k]."""

PENALTIES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
_FOLDS = 5
_MAX_ITERATIONS = 500


def fit_head(
    features: npt.NDArray[np.float32],
    targets: Array,
    *,
    exclusive: bool,
    with_bias: bool,
    start: Start,
    fold_of: npt.NDArray[np.int64],
) -> tuple[Array, Array, float]:
    """Weight [k, d], bias [k] (zeros without one) and the penalty, chosen by the log loss out of fold.

    Log loss plus penalty times the squared distance from the closed form, by L-BFGS: the closed form is what little
    data allow, and much data outweigh it. Features are standardised first (not centred without a bias, which would
    have to take it up).

    Args:
        fold_of: the fold of each row, [n], 0 to 4.
    """
    x = features.astype(np.float64)
    scale = x.std(axis=0)
    scale = np.maximum(scale, max(0.2 * float(np.median(scale)), 1e-12))
    shift = x.mean(axis=0) if with_bias else np.zeros(x.shape[1])
    z = (x - shift) / scale
    losses = dict.fromkeys(PENALTIES, 0.0)
    for fold in range(_FOLDS):
        held = fold_of == fold
        if not held.any() or held.all():
            continue
        first = start(z[~held], targets[~held])
        for penalty in PENALTIES:
            weight, bias = _converge(z[~held], targets[~held], first, penalty, exclusive, with_bias)
            losses[penalty] += float(_losses(z[held] @ weight.T + bias, targets[held], exclusive).sum())
    chosen = min(PENALTIES, key=lambda penalty: losses[penalty])
    weight, bias = _converge(z, targets, start(z, targets), chosen, exclusive, with_bias)
    weight = weight / scale
    return weight, bias - weight @ shift if with_bias else bias, chosen


def _converge(
    z: Array, targets: Array, start: tuple[Array, Array], penalty: float, exclusive: bool, with_bias: bool
) -> tuple[Array, Array]:
    weight0, bias0 = start
    labels, width = weight0.shape
    bias0 = bias0 if with_bias else np.zeros(labels)

    def objective(flat: Array) -> tuple[float, Array]:
        weight, bias = flat[:-labels].reshape(labels, width), flat[-labels:]
        logits = z @ weight.T + bias
        distance = weight - weight0
        loss = _losses(logits, targets, exclusive).mean() + 0.5 * penalty * float((distance**2).sum())
        slope = (_probabilities(logits, exclusive) - targets) / len(z)
        gradient = np.concatenate([(slope.T @ z + penalty * distance).ravel(), slope.sum(axis=0) * with_bias])
        return float(loss), gradient

    found = scipy.optimize.minimize(
        objective,
        np.concatenate([weight0.ravel(), bias0]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": _MAX_ITERATIONS},
    )
    return found.x[:-labels].reshape(labels, width), found.x[-labels:]


def _losses(logits: Array, targets: Array, exclusive: bool) -> Array:
    if exclusive:
        return np.asarray(scipy.special.logsumexp(logits, axis=1) - (logits * targets).sum(axis=1))
    return np.asarray((np.logaddexp(0, logits) - logits * targets).sum(axis=1))


def _probabilities(logits: Array, exclusive: bool) -> Array:
    return np.asarray(scipy.special.softmax(logits, axis=1) if exclusive else scipy.special.expit(logits))
