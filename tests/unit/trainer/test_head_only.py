"""The head fitted on cached features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import scipy.special
import torch
from sklearn.linear_model import LogisticRegression

from classifier_trainer.compute import Compute
from classifier_trainer.model import closed_form
from classifier_trainer.model.closed_form import Array, LinearHead
from classifier_trainer.model.features import head_inputs
from classifier_trainer.model.load import load_backbone
from classifier_trainer.model.start import closed_form_head, keep_rows
from classifier_trainer.priors import class_weights, training_offset
from classifier_trainer.train import head_only
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.head_only import PENALTIES, fit_head
from support.tiny_models import Kind


def data(rows: int, exclusive: bool) -> tuple[Array, Array]:
    generator = np.random.default_rng(2)
    x = generator.normal(size=(rows, 24)) * generator.lognormal(0, 1, 24) + 3
    scores = (x - 3) / x.std(axis=0) @ generator.normal(size=(24, 3)) * 0.8 + generator.gumbel(size=(rows, 3))
    return x, np.eye(3)[scores.argmax(axis=1)] if exclusive else (scores > 0).astype(float)


def start_of(exclusive: bool, with_bias: bool = True, offset: Array | None = None) -> head_only.Start:
    def start(features: Array, targets: Array) -> tuple[Array, Array]:
        head, _ = closed_form_head(features, targets, exclusive=exclusive, with_bias=with_bias, seed=1, offset=offset)
        return head.weight, head.bias

    return start


def fit(x: Array, y: Array, exclusive: bool, with_bias: bool) -> tuple[Array, Array, float]:
    return fit_head(
        x.astype(np.float32),
        Goal(y, exclusive),
        with_bias=with_bias,
        start=start_of(exclusive, with_bias),
        fold_of=closed_form.folds(y, 1),
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


@pytest.mark.parametrize("exclusive", [True, False])
def test_chunks_of_a_mapped_file_give_the_same_head(
    tmp_path: Path, exclusive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    x, y = data(400, exclusive)
    weight, bias, penalty = fit(x, y, exclusive, True)
    mapped = np.lib.format.open_memmap(tmp_path / "x.npy", mode="w+", dtype=np.float32, shape=x.shape)
    mapped[:] = x
    monkeypatch.setattr(head_only, "_CHUNK", 64)
    other, other_bias, other_penalty = fit_head(
        mapped, Goal(y, exclusive), with_bias=True, start=start_of(exclusive), fold_of=closed_form.folds(y, 1)
    )
    assert other_penalty == penalty
    np.testing.assert_allclose(other, weight, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(other_bias, bias, rtol=1e-3, atol=1e-4)


def test_penalty_of_many_rows_is_chosen_on_few(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = data(900, True)
    monkeypatch.setattr(head_only, "MAX_CHOICE_ROWS", 300)
    seen: list[int] = []

    def start(features: Array, targets: Array) -> tuple[Array, Array]:
        seen.append(len(features))
        return start_of(True)(features, targets)

    weight, bias, _ = fit_head(
        x.astype(np.float32), Goal(y, True), with_bias=True, start=start, fold_of=closed_form.folds(y, 1)
    )
    assert max(seen) == 300
    assert (closed_form.log_losses(x @ weight.T + bias, y, True)).mean() < 0.9


@pytest.mark.parametrize("with_bias", [True, False])
def test_weights_and_natural_prior(with_bias: bool) -> None:
    """Trained on weighted rows, the probabilities are right for the frequencies of the world all the same."""
    x, y = data(1000, True)
    kept = np.concatenate([np.flatnonzero(y[:, 0])[:30], np.flatnonzero(y[:, 0] == 0)])
    x, y = x[kept], y[kept]
    counts = y.sum(axis=0).astype(np.int64)
    weights = class_weights(counts, len(y), "Multiclass")
    offset = training_offset((counts, len(y)), (counts, len(y)), "Multiclass", weights)
    goal = Goal(y, True, weights, offset)
    weight, bias, _ = fit_head(
        x.astype(np.float32),
        goal,
        with_bias=with_bias,
        start=start_of(True, with_bias, offset),
        fold_of=closed_form.folds(y, 1),
    )
    predicted = scipy.special.softmax(x @ weight.T + bias, axis=1).mean(axis=0)
    np.testing.assert_allclose(predicted, counts / len(y), atol=0.03)
    plain, plain_bias, _ = fit_head(
        x.astype(np.float32),
        Goal(y, True, weights),
        with_bias=with_bias,
        start=start_of(True, with_bias),
        fold_of=closed_form.folds(y, 1),
    )
    shifted = scipy.special.softmax(x @ plain.T + plain_bias, axis=1).mean(axis=0)
    assert shifted[0] > 1.5 * counts[0] / len(y)


def test_features_are_written_into_a_file(tmp_path: Path, base_models: dict[Kind, Path]) -> None:
    backbone = load_backbone(
        base_models["bert"], "x", task="Multiclass", labels=["a", "b"], max_length=None, dtype=torch.float32
    )
    generator = np.random.default_rng(0)
    ids = [generator.integers(4, 400, size).tolist() for size in generator.integers(2, 20, 30)]
    compute, told = Compute(torch.device("cpu"), torch.float32, 2), [0]

    def progress(tokens: int) -> None:
        told[0] += tokens

    def found(into: Path | None) -> npt.NDArray[np.float32]:
        return head_inputs(backbone.model, backbone.head, ids, pad=3, compute=compute, progress=progress, into=into)

    plain = found(None)
    mapped = found(tmp_path / "features.npy")
    assert isinstance(mapped, np.memmap)
    np.testing.assert_allclose(mapped, plain, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(np.load(tmp_path / "features.npy", mmap_mode="r"), mapped)
    assert told[0] >= 2 * sum(map(len, ids))


def test_rows_of_a_checkpoints_head_are_kept() -> None:
    layer = torch.nn.Linear(3, 3)
    before = layer.weight.detach().clone()
    head = LinearHead(np.arange(9.0).reshape(3, 3), np.ones(3))
    keep_rows(layer, head, [0, 2], exclusive=True)
    assert torch.equal(layer.weight[[0, 2]], before[[0, 2]])
    # What all rows have in common is arbitrary in a softmax, and is taken from those that are kept.
    common = (before[[0, 2]] - torch.from_numpy(head.weight)[[0, 2]].float()).mean(dim=0)
    torch.testing.assert_close(layer.weight[1], torch.from_numpy(head.weight)[1].float() + common)
    keep_rows(layer, head, [], exclusive=True)
    assert torch.equal(layer.weight, torch.from_numpy(head.weight).float())
