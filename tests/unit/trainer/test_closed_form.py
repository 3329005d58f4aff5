"""The head in closed form, beside scikit-learn's discriminant and on the traps of real features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from classifier_trainer.model import closed_form
from classifier_trainer.model.closed_form import Array
from classifier_trainer.model.start import closed_form_head, logit_targets, rows_for_start


def blobs(rows: int, labels: int, width: int, seed: int = 0, distance: float = 2.5) -> tuple[Array, Array]:
    """Features around a centre for each class, correlated and of very different scales; one-hot targets."""
    generator = np.random.default_rng(seed)
    mixing = np.eye(width) + 0.3 * generator.normal(size=(width, width)) / np.sqrt(width)
    classes = np.arange(rows) % labels
    centres = generator.normal(size=(labels, width)) * distance / np.sqrt(width)
    x = (centres[classes] + generator.normal(size=(rows, width)) @ mixing) * generator.lognormal(0, 2, width) + 5
    return x, np.eye(labels)[classes]


def accuracy(logits: Array, targets: Array) -> float:
    return float((logits.argmax(axis=1) == targets.argmax(axis=1)).mean())


def test_as_good_as_scikit_learn() -> None:
    x, y = blobs(1200, 4, 30)
    ours = closed_form.fit(x[:600], y[:600], exclusive=True)
    theirs = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(x[:600], y[:600].argmax(axis=1))
    difference = np.log(theirs.predict_proba(x[600:])) - ours.logits(x[600:])
    # Log probabilities up to a constant a row.
    spread = difference - difference.mean(axis=1, keepdims=True)
    assert np.abs(spread).mean() < 0.2 * np.abs(ours.logits(x[600:])).mean()
    assert accuracy(ours.logits(x[600:]), y[600:]) >= accuracy(theirs.predict_proba(x[600:]), y[600:]) - 0.01


def test_binary_by_its_two_logits_and_against_the_rest_agree() -> None:
    x, y = blobs(800, 2, 20)
    two = closed_form.fit(x, y, exclusive=True).logits(x)
    one = closed_form.fit(x, y[:, 1:], exclusive=False).logits(x)
    margin = two[:, 1] - two[:, 0]
    assert np.corrcoef(margin, one[:, 0])[0, 1] > 0.999
    assert np.abs(margin - one[:, 0]).mean() < 0.1 * np.abs(margin).mean()


def test_constant_features_do_not_blow_the_head_up() -> None:
    x, y = blobs(300, 3, 16)
    x[:, 3] = 1e-33
    x[:, 5] = 7.0
    head = closed_form.fit(x, y, exclusive=True)
    assert np.isfinite(head.weight).all()
    deviations = head.weight * x.std(axis=0)
    assert np.abs(deviations[:, [3, 5]]).max() < 1e-6 * np.abs(deviations).max()


def test_class_without_a_row_is_never_predicted() -> None:
    x, y = blobs(300, 3, 16)
    y = np.concatenate([y, np.zeros((300, 1))], axis=1)
    logits = closed_form.fit(x, y, exclusive=True).logits(x)
    assert not (logits.argmax(axis=1) == 3).any()


def test_few_rows_a_class_is_a_ridge() -> None:
    x, y = blobs(60, 20, 40, distance=6)
    head = closed_form.fit(x, y, exclusive=True)
    assert np.isfinite(head.weight).all()
    assert accuracy(head.logits(x), y) > 0.8


def test_multilabel_labels_that_all_or_none_have() -> None:
    x, y = blobs(200, 2, 10)
    y = np.concatenate([y, np.ones((200, 1)), np.zeros((200, 1))], axis=1)
    head = closed_form.fit(x, y, exclusive=False)
    logits = head.logits(x)
    assert (logits[:, 2] > 4).all()
    assert (logits[:, 3] < -4).all()
    assert ((logits[:, 0] > 0) == (y[:, 0] > 0)).mean() > 0.9


@pytest.mark.parametrize("exclusive", [True, False])
def test_soft_start_has_the_loss_of_unseen_rows(exclusive: bool) -> None:
    x, y = blobs(150, 3, 80)
    head, loss = closed_form_head(x, y, exclusive=exclusive, with_bias=True, seed=1)
    plain = closed_form.fit(x, y, exclusive=exclusive)
    found = closed_form.log_losses(head.logits(x), y, exclusive).mean()
    assert closed_form.log_losses(plain.logits(x), y, exclusive).mean() < 0.5 * found
    assert found == pytest.approx(loss, rel=0.02)
    assert accuracy(head.logits(x), y) == accuracy(plain.logits(x), y)


def test_unseen_rows_are_unseen() -> None:
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(200, 50)), np.eye(2)[generator.integers(0, 2, 200)]
    assert accuracy(closed_form.fit(x, y, exclusive=True).logits(x), y) > 0.65
    assert accuracy(closed_form.out_of_fold(x, y, exclusive=True, seed=0), y) < 0.62


def test_folds_are_stratified() -> None:
    _, y = blobs(103, 3, 2)
    fold = closed_form.folds(y, 4)
    for label in range(3):
        counts = np.bincount(fold[y[:, label] == 1], minlength=5)
        assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("labels", [2, 8])
def test_folded_bias_predicts_the_same(labels: int) -> None:
    generator = np.random.default_rng(3)
    x, y = blobs(400, labels, 60)
    x = x + generator.normal(size=60)  # features of a backbone are not centred
    head = closed_form.fit(x, y, exclusive=True)
    folded = closed_form.fold_bias(head, x)
    assert (folded.bias == 0).all()
    same = head.logits(x).argmax(axis=1) == folded.logits(x).argmax(axis=1)
    assert same.mean() >= 0.95


def test_binary_targets_have_two_logits() -> None:
    found = logit_targets(np.array([[1], [0]], dtype=np.int8), "Binary")
    assert found.tolist() == [[0, 1], [1, 0]]
    assert logit_targets(np.array([[1, 0]], dtype=np.int8), "Multilabel").tolist() == [[1, 0]]


def test_rows_for_the_start() -> None:
    assert rows_for_start(600, 8, 576) == 600
    assert rows_for_start(100_000, 8, 576) == 1152
    assert rows_for_start(100_000, 1000, 4096) == 20_000
