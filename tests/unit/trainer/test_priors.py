"""Class weights and offsets: a model that is trained with them is right for the target prior."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
import scipy.optimize
from hypothesis import given
from hypothesis import strategies as st
from sklearn.utils.class_weight import compute_class_weight

from classifier_artifacts.classifier_json import Task
from classifier_trainer.evaluate.reliability import log_losses
from classifier_trainer.priors import class_weights, training_offset
from support.row_weights import row_weights

Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]


def targets_of(task: Task, kinds: npt.NDArray[np.int64], labels: int) -> Targets:
    if task == "Binary":
        return kinds[:, None].astype(np.int8)
    return np.eye(labels, dtype=np.int8)[kinds]


def counts_of(targets: Targets) -> tuple[npt.NDArray[np.int64], int]:
    return targets.sum(axis=0, dtype=np.int64), len(targets)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_weights_of_multiclass_are_balanced_and_one_in_the_mean(kinds: list[int]) -> None:
    targets = targets_of("Multiclass", np.array(kinds), 4)
    weights = class_weights(*counts_of(targets), "Multiclass")
    rows = row_weights(weights, targets, "Multiclass")
    assert rows.mean() == pytest.approx(1)
    present = np.unique(kinds)
    np.testing.assert_allclose(weights[present], compute_class_weight("balanced", classes=present, y=kinds))
    totals = targets.T @ rows
    np.testing.assert_allclose(totals[present], len(kinds) / len(present))
    assert all(weights[label] == 1 for label in range(4) if label not in kinds)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=60))
def test_weights_of_binary(kinds: list[int]) -> None:
    targets = targets_of("Binary", np.array(kinds), 1)
    weights = class_weights(*counts_of(targets), "Binary")
    rows = row_weights(weights, targets, "Binary")
    assert weights.shape == (2,)
    assert rows.mean() == pytest.approx(1)
    if len(set(kinds)) == 2:
        assert rows @ np.array(kinds) == pytest.approx(len(kinds) / 2)


def test_weights_of_multilabel_are_of_each_label() -> None:
    targets = np.zeros((100, 3), dtype=np.int8)
    targets[:10, 0] = targets[:50, 1] = 1
    weights = class_weights(*counts_of(targets), "Multilabel")
    np.testing.assert_allclose(weights, np.array([[100 / 180, 1, 1], [5, 1, 1]]))
    rows = row_weights(weights, targets, "Multilabel")
    assert rows.shape == targets.shape
    np.testing.assert_allclose(rows.mean(axis=0), 1)


def test_no_offset_where_nothing_was_moved() -> None:
    counts = (np.array([10, 30, 60]), 100)
    tasks: tuple[Task, ...] = ("Multiclass", "Multilabel")
    for task in tasks:
        np.testing.assert_allclose(training_offset(counts, (counts[0] * 3, 300), task), 0, atol=1e-12)
    np.testing.assert_allclose(training_offset((np.array([5]), 10), (np.array([50]), 100), "Binary"), 0)


def test_offset_by_hand() -> None:
    found = training_offset((np.array([50, 50]), 100), (np.array([10, 90]), 100), "Multiclass")
    np.testing.assert_allclose(found, np.log([0.5 / 0.1, 0.5 / 0.9]))
    found = training_offset((np.array([50]), 100), (np.array([10]), 100), "Binary")
    np.testing.assert_allclose(found, np.log([0.5 / 0.9, 0.5 / 0.1]))
    found = training_offset((np.array([50]), 100), (np.array([10]), 100), "Multilabel")
    np.testing.assert_allclose(found, np.log(9))


@pytest.mark.parametrize("task", ["Multiclass", "Multilabel"])
def test_a_class_of_which_nothing_is_known(task: Task) -> None:
    train, natural = (np.array([0, 40, 60]), 100), (np.array([10, 30, 60]), 100)
    for pair in ((train, natural), (natural, train)):
        found = training_offset(*pair, task)
        assert np.isfinite(found).all()
        assert found[0] == 0
    every = training_offset((np.array([100]), 100), (np.array([40]), 100), "Multilabel")
    assert every.tolist() == [0.0]


def fitted(
    features: Floats, targets: Targets, task: Task, offset: Floats, weights: npt.NDArray[np.float64]
) -> tuple[Floats, Floats]:
    """Weight and bias of a linear model, trained on logits + offset with weighted rows: what the loop does."""
    shape = (len(offset), features.shape[1])

    def loss(parameters: Floats) -> float:
        logits = features @ parameters[: shape[0] * shape[1]].reshape(shape).T + parameters[-shape[0] :] + offset
        if task == "Multilabel":
            each = np.logaddexp(0, logits) - logits * targets
            return float((each * weights).mean()) + 1e-6 * float(parameters @ parameters)
        return float((log_losses(logits, targets, task) * weights).mean()) + 1e-6 * float(parameters @ parameters)

    found = scipy.optimize.minimize(loss, np.zeros(shape[0] * (shape[1] + 1)), method="L-BFGS-B").x
    return found[: shape[0] * shape[1]].reshape(shape), found[-shape[0] :]


@pytest.mark.parametrize(
    ("task", "how"),
    [
        ("Binary", "rebalanced"),
        ("Multiclass", "rebalanced"),
        ("Binary", "weighted"),
        ("Multiclass", "weighted"),
        ("Multilabel", "weighted"),  # which is never rebalanced
    ],
)
def test_raw_logits_are_right_for_the_natural_frequencies(task: Task, how: str) -> None:
    """Trained on other frequencies with the offset, the model says without it what one trained as it is says."""
    generator = np.random.default_rng(1)
    shares = [0.9, 0.1] if task == "Binary" else [0.8, 0.15, 0.05]
    kinds = generator.choice(len(shares), 6000, p=shares)
    means = generator.normal(size=(len(shares), 2)) * 1.5
    features = means[kinds] + generator.normal(size=(len(kinds), 2))
    targets = targets_of(task, kinds, len(shares))
    logits = 2 if task == "Binary" else len(shares)
    ones = np.ones(targets.shape if task == "Multilabel" else len(targets))
    natural = fitted(features, targets, task, np.zeros(logits), ones)
    if how == "rebalanced":
        chosen = np.concatenate([generator.choice(np.flatnonzero(kinds == kind), 2000) for kind in range(len(shares))])
        offset = training_offset(counts_of(targets[chosen]), counts_of(targets), task)
        ones = ones[chosen]
        found = fitted(features[chosen], targets[chosen], task, offset, ones)
        crooked = fitted(features[chosen], targets[chosen], task, np.zeros(logits), ones)
    else:
        weights = class_weights(*counts_of(targets), task)
        offset = training_offset(counts_of(targets), counts_of(targets), task, weights)
        found = fitted(features, targets, task, offset, row_weights(weights, targets, task))
        crooked = fitted(features, targets, task, np.zeros(logits), row_weights(weights, targets, task))

    def loss(model: tuple[Floats, Floats]) -> float:
        return float(log_losses(features @ model[0].T + model[1], targets, task).mean())

    assert loss(found) < loss(natural) + 0.01
    assert loss(crooked) > loss(natural) + 0.04
