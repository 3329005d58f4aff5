"""A linear head in closed form from pooled features: shrinkage LDA, soft, calibrated out of fold. Pure numpy, fp64.

Sources: Ledoit and Wolf 2004 (shrinkage of a covariance towards a multiple of the identity); Fisher's discriminant.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.linalg
import scipy.optimize
import scipy.special

Array = npt.NDArray[np.float64]

FOLDS = 5
_FLOOR = 0.2
"""Of the median deviation: a feature that hardly moves (MiniLM has a constant one) must not be blown up."""
_FOLD_RIDGE = 10.0
_ROWS_A_CLASS = 5
_MAX_TEMPERATURE = 100.0


@dataclass(frozen=True)
class LinearHead:
    """logits = features @ weight.T + bias; weight [k, d], bias [k]."""

    weight: Array
    bias: Array

    def logits(self, features: npt.ArrayLike) -> Array:
        """Logits [n, k] of features [n, d]."""
        return np.asarray(np.asarray(features, dtype=np.float64) @ self.weight.T + self.bias)

    def scaled(self, factor: float) -> LinearHead:
        """The head with its logits times `factor`."""
        return LinearHead(self.weight * factor, self.bias * factor)


def log_losses(logits: Array, targets: Array, exclusive: bool) -> Array:
    """Log loss of each row, [n]: cross-entropy if exclusive, else the sum of the labels' binary ones."""
    if exclusive:
        return np.asarray(scipy.special.logsumexp(logits, axis=1) - (logits * targets).sum(axis=1))
    return np.asarray((np.logaddexp(0, logits) - logits * targets).sum(axis=1))


def fit(features: npt.ArrayLike, targets: npt.ArrayLike, *, exclusive: bool) -> LinearHead:
    """The head for features [n, d] and targets [n, k] of 0 and 1, exactly one a row if `exclusive`.

    One covariance for all labels, one factorisation. Exclusive: LDA with the class frequencies as priors. Else each
    label against its rest. With fewer than five rows a class the covariance is the total one, which is a ridge
    regression: the deviations inside a class could not be told then.
    """
    x = np.asarray(features, dtype=np.float64)
    y = np.asarray(targets, dtype=np.float64)
    counts = y.sum(axis=0)
    mean = x.mean(axis=0)
    deviation = x.std(axis=0)
    deviation = np.maximum(deviation, max(_FLOOR * float(np.median(deviation)), 1e-12))
    z = (x - mean) / deviation
    class_means = (y.T @ z) / np.maximum(counts, 1)[:, None]
    if exclusive and len(x) >= _ROWS_A_CLASS * y.shape[1]:
        factor = _factor(_shrunk_covariance(z - y @ class_means)[0])
        weight = scipy.linalg.cho_solve(factor, class_means.T).T
        prior = np.log(np.maximum(counts, 0.5) / len(x))
        bias = prior - 0.5 * (weight * class_means).sum(axis=1)
        # A class without a row has no mean: no weight, and the prior of half a row.
        weight[counts == 0] = 0
        bias[counts == 0] = prior[counts == 0]
    else:
        weight, bias = _against_rest(z, counts, class_means)
    weight = weight / deviation
    return LinearHead(weight, bias - weight @ mean)


def _against_rest(z: Array, counts: Array, class_means: Array) -> tuple[Array, Array]:
    rows = len(z)
    share = np.clip(counts, 0.5, rows - 0.5) / rows
    # z is centred, so the rest's mean follows from the label's.
    rest = -class_means * (share / (1 - share))[:, None]
    delta = class_means - rest
    covariance, shrinkage = _shrunk_covariance(z)
    weight = scipy.linalg.cho_solve(_factor(covariance), delta.T).T
    # From the total covariance, one for all labels, to that inside each label's two classes (Sherman and Morrison).
    between = (1 - shrinkage) * share * (1 - share) * (weight * delta).sum(axis=1)
    weight = weight / np.maximum(1 - between, 0.02)[:, None]
    constant = (counts == 0) | (counts == rows)
    weight[constant] = 0
    bias = np.log(share / (1 - share)) - 0.5 * ((class_means + rest) * weight).sum(axis=1)
    return weight, bias


def _shrunk_covariance(centred: Array) -> tuple[Array, float]:
    """Ledoit-Wolf estimate of the covariance of centred rows [n, d], and its share of the identity."""
    rows, width = centred.shape
    covariance = centred.T @ centred / rows
    scale = float(np.trace(covariance)) / width
    squares = float((covariance**2).sum())
    distance = squares / width - scale**2
    noise = (float(((centred**2).sum(axis=1) ** 2).sum()) / rows - squares) / (rows * width)
    shrinkage = 1.0 if distance <= 0 else float(np.clip(noise / distance, 1e-4, 1.0))
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(width)] += shrinkage * scale + 1e-9
    return np.asarray(covariance), shrinkage


def _factor(matrix: Array) -> tuple[Array, bool]:
    factor, lower = scipy.linalg.cho_factor(matrix, lower=True)
    return np.asarray(factor), bool(lower)


def out_of_fold(features: npt.ArrayLike, targets: npt.ArrayLike, *, exclusive: bool, seed: int) -> Array:
    """Logits [n, k] of every row from a head that was fitted without it (5 folds, stratified, seeded)."""
    x = np.asarray(features, dtype=np.float64)
    y = np.asarray(targets, dtype=np.float64)
    fold = folds(y, seed)
    logits = np.zeros(y.shape)
    for number in range(FOLDS):
        held = fold == number
        if held.any() and not held.all():
            logits[held] = fit(x[~held], y[~held], exclusive=exclusive).logits(x[held])
    return logits


def folds(targets: Array, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each row, [n]: rows with the same targets are dealt out evenly."""
    order = np.random.default_rng(seed).permutation(len(targets))
    kinds = np.unique(targets, axis=0, return_inverse=True)[1].reshape(-1)
    order = order[np.argsort(kinds[order], kind="stable")]
    fold = np.empty(len(targets), dtype=np.int64)
    fold[order] = np.arange(len(targets)) % FOLDS
    return fold


def best_scale(logits: Array, targets: Array, *, exclusive: bool) -> tuple[float, float]:
    """The factor on the logits with the least mean log loss, and that loss."""

    def loss(log_factor: float) -> float:
        return float(log_losses(logits * np.exp(log_factor), targets, exclusive).mean())

    limit = float(np.log(_MAX_TEMPERATURE))
    found = scipy.optimize.minimize_scalar(loss, bounds=(-limit, 1.0), method="bounded")
    return float(np.exp(found.x)), float(found.fun)


def soften(
    head: LinearHead, features: npt.ArrayLike, targets: npt.ArrayLike, loss: float, *, exclusive: bool
) -> LinearHead:
    """The head with its logits scaled down until its own rows have the mean log loss `loss`, that of unseen rows.

    A closed form fits its own rows almost perfectly, so the backbone behind it would get almost no gradient.
    """
    y = np.asarray(targets, dtype=np.float64)
    logits = head.logits(features)

    def excess(log_factor: float) -> float:
        return float(log_losses(logits * np.exp(log_factor), y, exclusive).mean()) - loss

    low, high = -float(np.log(_MAX_TEMPERATURE)), 0.0
    if excess(high) >= 0:
        return head
    if excess(low) <= 0:
        return head.scaled(float(np.exp(low)))
    return head.scaled(float(np.exp(scipy.optimize.brentq(excess, low, high, xtol=1e-4))))


def fold_bias(head: LinearHead, features: npt.ArrayLike) -> LinearHead:
    """The head without a bias, for layers that have none: v with x·v ≈ 1 on the rows (ridge), and weight += bias·vᵀ."""
    x = np.asarray(features, dtype=np.float64)
    scale = np.sqrt((x**2).mean(axis=0))
    scale = np.maximum(scale, max(_FLOOR * float(np.median(scale)), 1e-12))
    z = x / scale
    gram = z.T @ z
    gram[np.diag_indices(len(gram))] += _FOLD_RIDGE
    one = scipy.linalg.cho_solve(_factor(gram), z.sum(axis=0)) / scale
    return LinearHead(head.weight + np.outer(head.bias, one), np.zeros_like(head.bias))
