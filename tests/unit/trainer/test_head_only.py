"""The head fitted on cached features."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from classifier_trainer.model import closed_form
from classifier_trainer.model.closed_form import Array
from classifier_trainer.model.start import closed_form_head
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.head_only import PENALTIES, fit_head


def data(rows: int, exclusive: bool) -> tuple[Array, Array]:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(rows, 24)) * generator.lognormal(0, 1, 24) + 3
    scores = (x - 3) / x.std(axis=0) @ generator.normal(size=(24, 3)) * 0.8 + generator.gumbel(size=(rows, 3))
    return x, np.eye(3)[scores.argmax(axis=1)] if exclusive else (scores > 0).astype(float)


def fit(x: Array, y: Array, exclusive: bool, with_bias: bool) -> tuple[Array, Array, float]:
    def start(features: Array, targets: Array) -> tuple[Array, Array]:
        head, _ = closed_form_head(features, targets, exclusive=exclusive, with_bias=with_bias, seed=1)
        return head.weight, head.bias

    return fit_head(
        x.astype(np.float32), Goal(y, exclusive), with_bias=with_bias, start=start, fold_of=closed_form.folds(y, 1)
    )


@pytest.mark.parametrize("exclusive", [True, False])
@pytest.mark.parametrize("with_bias", [True, False])
def test_as_good_as_logistic_regression_on_unseen_rows(exclusive: bool, with_bias: bool) -> None:
    x, y = data(1200, exclusive)
    weight, bias, penalty = fit(x[:600], y[:600], exclusive, with_bias)
    assert penalty in PENALTIES
    assert with_bias or not bias.any()
    ours = closed_form.log_losses(x[600:] @ weight.T + bias, y[600:], exclusive).mean()
    scale = x[:600].std(axis=0)
    if exclusive:
        model = LogisticRegression(max_iter=2000, fit_intercept=with_bias).fit(x[:600] / scale, y[:600].argmax(axis=1))
        theirs = -model.predict_log_proba(x[600:] / scale)[y[600:] > 0].mean()
    else:
        theirs = 0.0
        for label in range(3):
            model = LogisticRegression(max_iter=2000, fit_intercept=with_bias).fit(x[:600] / scale, y[:600, label])
            theirs += -model.predict_log_proba(x[600:] / scale)[np.arange(600), y[600:, label].astype(int)].mean()
    assert ours < 1.1 * theirs


def test_better_than_where_it_starts() -> None:
    x, y = data(1200, True)
    start, _ = closed_form_head(x[:600], y[:600], exclusive=True, with_bias=True, seed=1)
    weight, bias, _ = fit(x[:600], y[:600], True, True)
    before = closed_form.log_losses(start.logits(x[600:]), y[600:], True).mean()
    assert closed_form.log_losses(x[600:] @ weight.T + bias, y[600:], True).mean() < before
