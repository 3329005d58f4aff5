"""Temperatures and thresholds on simulated logits: never worse than nothing, and as good on other rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import f1_score

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import probabilities
from classifier_trainer.errors import UserError
from classifier_trainer.evaluate.calibrate import MAX_TEMPERATURE, MIN_TEMPERATURE, Calibration, calibrate
from classifier_trainer.evaluate.reliability import log_losses, reliability
from classifier_trainer.evaluate.thresholds import best_threshold, fit_thresholds

TASKS: tuple[Task, ...] = ("Binary", "Multiclass", "Multilabel")
Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]


def simulated(
    task: Task, rows: int, labels: int, seed: int, *, sharpness: float = 2.0, shift: float = 0.0
) -> tuple[Floats, Targets]:
    """True logits and targets drawn from their probabilities; `shift` makes Multilabel's labels rare."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(rows, 2 if task == "Binary" else labels)) * sharpness - shift
    probs = probabilities(logits, task)
    if task == "Multiclass":
        drawn = (probs.cumsum(axis=1) < generator.random((rows, 1))).sum(axis=1)
        return logits, np.eye(labels, dtype=np.int8)[np.minimum(drawn, labels - 1)]
    return logits, (generator.random(probs.shape) < probs).astype(np.int8)


def names(targets: Targets) -> list[str]:
    return [f"label {i}" for i in range(targets.shape[1])]


def loss(logits: Floats, targets: Targets, task: Task) -> float:
    return float(log_losses(logits, targets, task).mean())


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_the_temperature(task: Task, temperature: float) -> None:
    logits, targets = simulated(task, 4000, 5, seed=1)
    found = calibrate(logits * temperature, targets, task, names(targets))
    assert len(found.temperature) == (5 if task == "Multilabel" else 1)
    np.testing.assert_allclose(found.temperature, temperature, rtol=0.12)
    after = reliability(found.apply(logits * temperature), targets, task)
    assert after.expected_calibration_error < 0.03
    assert found.intercept is None


def test_a_temperature_for_each_label() -> None:
    logits, targets = simulated("Multilabel", 4000, 4, seed=2)
    wanted = np.array([0.6, 1.0, 2.0, 4.0])
    found = calibrate(logits * wanted, targets, "Multilabel", names(targets))
    np.testing.assert_allclose(found.temperature, wanted, rtol=0.15)


def test_a_label_of_few_rows_takes_the_temperature_of_all() -> None:
    logits, targets = simulated("Multilabel", 1000, 6, seed=3)
    logits = logits * 3
    targets[:, 5] = 0
    targets[:3, 5] = 1
    found = calibrate(logits, targets, "Multilabel", names(targets)).temperature
    # The other labels say 3; alone, the sixth one, whose logits tell nothing, would ask for far more.
    assert 2 < found[5] < 4.5


@pytest.mark.parametrize("task", TASKS)
def test_rows_that_are_all_right_do_not_make_it_endlessly_sure(task: Task) -> None:
    generator = np.random.default_rng(4)
    targets = np.eye(4, dtype=np.int8)[generator.integers(0, 4, 60)]
    if task == "Binary":
        targets = targets[:, :1]
    goals = np.column_stack([1 - targets, targets]) if task == "Binary" else targets
    logits = (goals * 2.0 - 1) * generator.uniform(2, 4, goals.shape)
    found = calibrate(logits, targets, task, names(targets))
    assert all(0.4 < temperature <= 1 for temperature in found.temperature)


@given(
    st.sampled_from(TASKS),
    st.integers(1, 60),
    st.integers(2, 5),
    st.integers(0, 2**31),
    st.floats(0.05, 30),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_never_worse_than_nothing_on_its_own_rows(
    task: Task, rows: int, labels: int, seed: int, scale: float, intercept: bool
) -> None:
    logits, targets = simulated(task, rows, labels, seed)
    logits = logits * scale + np.random.default_rng(seed).normal(size=logits.shape[1])
    found = calibrate(logits, targets, task, names(targets), intercept=intercept)
    assert loss(found.apply(logits), targets, task) <= loss(logits, targets, task) + 1e-9
    assert all(MIN_TEMPERATURE * 0.999 <= one <= MAX_TEMPERATURE * 1.001 for one in found.temperature)
    assert all(0 < one < 1 for one in found.thresholds.values())
    assert list(found.thresholds) == ([] if task == "Multiclass" else names(targets))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("rows", [100, 500])
@pytest.mark.parametrize("labels", [3, 20])
def test_other_rows_lose_less_than_a_standard_error(task: Task, rows: int, labels: int) -> None:
    """Logits that are right already and that are far too sure, calibrated on the fewest rows of a validation set."""
    for seed in range(8):
        for scale in (1.0, 3.0):
            every, goals = simulated(task, rows + 2000, labels, seed, sharpness=3.0, shift=2.0)
            every = every * scale
            found = calibrate(every[:rows], goals[:rows], task, names(goals))
            before = log_losses(every[rows:], goals[rows:], task)
            after = log_losses(found.apply(every[rows:]), goals[rows:], task)
            assert after.mean() <= before.mean() + before.std() / np.sqrt(len(before))
            if scale == 3.0:
                assert after.mean() < before.mean()


@pytest.mark.parametrize("task", TASKS)
def test_an_intercept_mends_frequencies_where_it_is_asked_for(task: Task) -> None:
    logits, targets = simulated(task, 4000, 4, seed=5)
    moved = 2 * logits
    moved[:, -1] += 2
    plain = calibrate(moved, targets, task, names(targets))
    found = calibrate(moved, targets, task, names(targets), intercept=True)
    assert found.intercept is not None
    assert len(found.intercept) == moved.shape[1]
    assert loss(found.apply(moved), targets, task) < loss(plain.apply(moved), targets, task)
    assert loss(found.apply(moved), targets, task) == pytest.approx(loss(logits, targets, task), abs=0.01)


def test_folded_into_a_head_it_is_the_same() -> None:
    generator = np.random.default_rng(6)
    features, weight, bias = generator.normal(size=(20, 8)), generator.normal(size=(3, 8)), generator.normal(size=3)
    found = Calibration((1.5, 2.0, 0.5), {}, (0.1, 0.2, -0.3))
    temperature = np.array(found.temperature)
    folded = features @ (weight / temperature[:, None]).T + bias / temperature + np.array(found.intercept)
    np.testing.assert_allclose(found.apply(features @ weight.T + bias), folded)


@pytest.mark.parametrize("task", TASKS)
def test_none_changes_nothing(task: Task) -> None:
    logits, targets = simulated(task, 5, 3, seed=7)
    none = Calibration.none(task, names(targets))
    np.testing.assert_array_equal(none.apply(logits), logits)
    assert set(none.thresholds.values()) <= {0.5}
    assert calibrate(logits[:0], targets[:0], task, names(targets)) == none


def test_a_model_that_went_astray() -> None:
    with pytest.raises(UserError, match="NaN"):
        calibrate(np.array([[np.nan, 0.0]]), np.array([[1]], dtype=np.int8), "Binary", ["a"])


def test_a_threshold_raises_the_f1_of_a_rare_label() -> None:
    logits, targets = simulated("Multilabel", 6000, 1, seed=8, sharpness=1.5, shift=3.0)
    probs = probabilities(logits, "Multilabel")[:, 0]
    fit, other = slice(0, 3000), slice(3000, None)
    found = best_threshold(probs[fit], targets[fit, 0])
    # The best threshold of calibrated probabilities is half of the best F1 (Lipton et al. 2014).
    assert 0.1 < found < 0.4
    new, old = (f1_score(targets[other, 0], probs[other] >= limit) for limit in (found, 0.5))
    assert new > old + 0.05


@given(st.integers(1, 200), st.integers(0, 2**31), st.floats(0, 4), st.sampled_from([0.0, 0.1]))
@settings(max_examples=100, deadline=None)
def test_a_threshold_is_never_worse_on_its_own_rows_and_never_wild(
    rows: int, seed: int, shift: float, step: float
) -> None:
    logits, targets = simulated("Multilabel", rows, 1, seed, shift=shift)
    probs = probabilities(logits, "Multilabel")[:, 0]
    if step:
        probs = np.round(probs / step) * step
    found = best_threshold(probs, targets[:, 0])
    assert 0 <= found < 1
    score = [f1_score(targets[:, 0], probs >= limit, zero_division=0.0) for limit in (found, 0.5)]
    assert score[0] >= score[1] - 1e-12
    if found != 0.5:
        # In the middle of two rows: rounding of the served weights moves no row over it.
        below, above = probs[probs < found], probs[probs >= found]
        assert found == pytest.approx(((below.max() if below.size else 0) + above.min()) / 2)


def test_a_clear_gap_keeps_one_half() -> None:
    probs = np.array([0.05] * 20 + [0.97] * 20)
    truth = np.array([0] * 20 + [1] * 20, dtype=np.int8)
    assert best_threshold(probs, truth) == 0.5
    low = np.array([0.05] * 20 + [0.35] * 20)
    assert best_threshold(low, truth) == pytest.approx(0.2)
    assert best_threshold(probs, truth * 0) == best_threshold(probs, truth * 0 + 1) == 0.5


def test_labels_of_few_rows_share_a_threshold() -> None:
    logits, targets = simulated("Multilabel", 2000, 6, seed=9, sharpness=1.5, shift=3.0)
    targets[:, 0] = 0
    targets[:5, 0] = 1
    probs = probabilities(logits, "Multilabel")
    found = fit_thresholds(probs, targets, "Multilabel", names(targets))
    assert found["label 0"] == best_threshold(probs.reshape(-1), targets.reshape(-1))
    assert found["label 1"] == best_threshold(probs[:, 1], targets[:, 1]) != found["label 0"]
    assert fit_thresholds(probs[:, :1], targets[:, :1], "Binary", ["a"]) == {"a": 0.5}
    assert fit_thresholds(probs, targets, "Multiclass", names(targets)) == {}


def test_thresholds_of_few_rows_do_not_cost_other_rows() -> None:
    """On a few hundred rows the noise of the best F1 is large: what is kept must pay on other rows, on the mean."""
    gains = []
    for seed in range(40):
        logits, targets = simulated("Multilabel", 4000, 1, seed, sharpness=2.0, shift=1.0)
        probs = probabilities(logits, "Multilabel")[:, 0]
        found = best_threshold(probs[:150], targets[:150, 0])
        new, old = (f1_score(targets[150:, 0], probs[150:] >= limit) for limit in (found, 0.5))
        gains.append(new - old)
        assert new > old - 0.06
    assert np.mean(gains) >= 0
