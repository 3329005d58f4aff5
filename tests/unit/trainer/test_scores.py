"""Scores against scikit-learn and against straightforward references."""

from __future__ import annotations

import json
import math
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as reference

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import predicted_mask, probabilities
from classifier_trainer.errors import UserError
from classifier_trainer.evaluate import reliability
from classifier_trainer.evaluate.baseline import Baseline
from classifier_trainer.evaluate.curves import points_for, rank
from classifier_trainer.evaluate.reliability import equal_mass_bins
from classifier_trainer.evaluate.scores import evaluate, headline

TASKS: tuple[Task, ...] = ("Binary", "Multiclass", "Multilabel")
Floats = npt.NDArray[np.float64]
Targets = npt.NDArray[np.int8]


def example(task: Task, rows: int, labels: int, seed: int, step: float = 0.0) -> tuple[Targets, Floats, list[str]]:
    """Random targets and logits, the logits rounded to multiples of `step` so that many are equal."""
    generator = np.random.default_rng(seed)
    count = 1 if task == "Binary" else labels
    if task == "Multiclass":
        targets = np.eye(count, dtype=np.int8)[generator.integers(0, count, rows)]
    else:
        targets = generator.integers(0, 2, (rows, count)).astype(np.int8)
    logits = generator.normal(size=(rows, 2 if task == "Binary" else count)) * 2
    logits[:, -count:] += targets
    if step:
        logits = np.round(logits / step) * step
    return targets, logits, [f"label {i}" for i in range(count)]


cases = st.tuples(
    st.sampled_from(TASKS), st.integers(1, 40), st.integers(2, 6), st.integers(0, 2**31), st.sampled_from([0.0, 1.0])
)


def strict(value: object) -> Any:
    """Through JSON, which must have neither NaN nor infinity in it."""
    return json.loads(json.dumps(value, allow_nan=False))


@given(cases)
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_scikit_learn(case: tuple[Task, int, int, int, float]) -> None:
    task = case[0]
    targets, logits, labels = example(*case)
    found = strict(evaluate(targets, logits, task=task, labels=labels))
    guess = predicted_mask(probabilities(logits, task), {}, task, labels)
    assert found["rows"] == len(targets)
    truth: npt.NDArray[Any]
    answer: npt.NDArray[Any]
    if task == "Multilabel":
        truth, answer = targets.astype(int), guess.astype(int)
        seen = (truth | answer).any(axis=0)
        names = np.flatnonzero(seen)
    else:
        truth = targets[:, 0].astype(int) if task == "Binary" else targets.argmax(axis=1)
        answer = guess[:, 0].astype(int) if task == "Binary" else guess.argmax(axis=1)
        names = np.unique([*truth, *answer])
    assert found["accuracy"] == found["sampleMatchCombined"] == pytest.approx(reference.accuracy_score(truth, answer))
    for name, average in (("macroF1", "macro"), ("microF1", "micro"), ("weightedF1", "weighted")):
        if len(names) and (average != "weighted" or truth.any() or task != "Multilabel"):
            wanted = reference.f1_score(truth, answer, labels=names, average=average, zero_division=0.0)
            assert found[name] == pytest.approx(wanted), name
        else:
            assert found[name] is None
    if task != "Multilabel":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns of classes that are predicted and not there
            assert found["balancedAccuracy"] == pytest.approx(reference.balanced_accuracy_score(truth, answer))
        classes = 2 if task == "Binary" else len(labels)
        matrix = reference.confusion_matrix(truth, answer, labels=range(classes))
        assert found["confusion"]["matrix"] == matrix.tolist()
        wrong = {(part["expected"], part["predicted"]): part["count"] for part in found["confusion"]["top"]}
        assert sum(wrong.values()) == len(targets) - matrix.trace()
    else:
        assert found["confusion"] is None
        for i, label in enumerate(labels):
            matrix = reference.confusion_matrix(truth[:, i], answer[:, i], labels=[0, 1])
            assert found["labels"][label]["confusion"] == matrix.tolist()
    for i, label in enumerate(labels):
        expected, given_ = targets[:, i].astype(int), guess[:, i].astype(int)
        entry = found["labels"][label]
        assert entry["support"] == expected.sum()
        assert (entry["precision"] is None) == (not given_.any())
        assert (entry["recall"] is None) == (not expected.any())
        assert (entry["f1"] is None) == (not (expected | given_).any())
        for name in ("precision", "recall", "f1"):
            if entry[name] is not None:
                wanted = getattr(reference, f"{name}_score")(expected, given_, zero_division=0.0)
                assert entry[name] == pytest.approx(wanted)


@given(cases)
@settings(max_examples=60, deadline=None)
def test_areas_and_losses_are_those_of_scikit_learn(case: tuple[Task, int, int, int, float]) -> None:
    task = case[0]
    targets, logits, labels = example(*case)
    found = strict(evaluate(targets, logits, task=task, labels=labels))
    probs = probabilities(logits, task)
    areas, averages = [], []
    for i, label in enumerate(labels):
        entry, truth = found["labels"][label], targets[:, i]
        if truth.any():
            averages.append(reference.average_precision_score(truth, probs[:, i]))
            assert entry["averagePrecision"] == pytest.approx(averages[-1])
        if 0 < truth.sum() < len(truth):
            areas.append(reference.roc_auc_score(truth, probs[:, i]))
            assert entry["rocAuc"] == pytest.approx(areas[-1])
        else:
            assert entry["rocAuc"] is None
    assert found["rocAuc"] == (pytest.approx(np.mean(areas)) if areas else None)
    assert found["averagePrecision"] == (pytest.approx(np.mean(averages)) if averages else None)
    if task == "Multilabel":
        log_loss = np.mean(-np.log(np.where(targets == 1, probs, 1 - probs)))
        brier = np.mean((probs - targets) ** 2)
    else:
        full = np.column_stack([1 - probs, probs]) if task == "Binary" else probs
        truth = targets[:, 0] if task == "Binary" else targets.argmax(axis=1)
        names = list(range(full.shape[1]))
        log_loss = reference.log_loss(truth, full / full.sum(axis=1, keepdims=True), labels=names)
        brier = reference.brier_score_loss(truth, probs[:, 0] if task == "Binary" else probs, labels=names)
    assert found["logLoss"] == pytest.approx(log_loss)
    assert found["brier"] == pytest.approx(brier)


def test_thresholds_decide_for_binary_and_multilabel_alone() -> None:
    targets = np.array([[1, 0], [0, 1], [0, 1]], dtype=np.int8)
    logits = np.array([[1.0, -1.0], [0.0, 0.2], [2.0, 0.5]])
    half = evaluate(targets, logits, task="Multilabel", labels=["a", "b"])
    strict_a = evaluate(targets, logits, task="Multilabel", labels=["a", "b"], thresholds={"a": 0.6})
    assert half["labels"]["a"]["confusion"] == [[0, 2], [0, 1]]
    assert strict_a["labels"]["a"]["confusion"] == [[1, 1], [0, 1]]
    assert strict_a["labels"]["a"]["threshold"] == 0.6
    assert strict_a["labels"]["b"]["threshold"] == 0.5
    binary = {"task": "Binary", "labels": ["a"], "thresholds": {"a": 0.7}}
    found = evaluate(targets[:, :1], logits, **binary, negative_label="other")  # type: ignore[arg-type]
    assert found["confusion"] == {
        "labels": ["other", "a"],
        "matrix": [[2, 0], [1, 0]],
        "top": [{"expected": "a", "predicted": "other", "count": 1}],
    }
    many = evaluate(targets, logits, task="Multiclass", labels=["a", "b"], thresholds={"a": 1.0})
    assert many["confusion"]["matrix"] == [[1, 0], [1, 1]]
    assert many["labels"]["a"]["threshold"] is None


def test_calibration_error_by_hand() -> None:
    # Two bins would be enough here: with 15 each of the 15 different confidences has its own, the equal ones share one.
    bins = equal_mass_bins(np.array([0.5, 0.5, 0.9, 0.9]), [1, 0, 1, 1])
    assert bins == [
        {"confidence": 0.5, "accuracy": 0.5, "count": 2},
        {"confidence": pytest.approx(0.9), "accuracy": 1.0, "count": 2},
    ]
    logits = np.log(np.array([[0.5, 0.5], [0.5, 0.5], [0.1, 0.9], [0.1, 0.9]]))
    targets = np.array([[1, 0], [0, 1], [0, 1], [0, 1]], dtype=np.int8)
    found = evaluate(targets, logits, task="Multiclass", labels=["a", "b"])
    assert found["expectedCalibrationError"] == pytest.approx(0.1 * 2 / 4)
    # Binary looks at the confidence in either answer, so a sure and right "no" is no error.
    sure = evaluate(np.array([[0], [1]], dtype=np.int8), np.array([[9.0, 0], [0, 9.0]]), task="Binary", labels=["a"])
    assert sure["expectedCalibrationError"] < 1e-3
    assert sure["reliability"]["bins"][0]["confidence"] > 0.99


@given(
    st.lists(st.tuples(st.integers(0, 20), st.booleans()), min_size=1, max_size=200),
    st.integers(1, 15),
    st.randoms(use_true_random=False),
)
@settings(max_examples=60, deadline=None)
def test_bins_keep_equal_confidences_together(pairs: list[tuple[int, bool]], bins: int, random: Any) -> None:
    confidence = np.array([value / 20 for value, _ in pairs])
    right = np.array([value for _, value in pairs])
    found = equal_mass_bins(confidence, right, bins)
    assert len(found) <= bins
    assert sum(part["count"] for part in found) == len(pairs)
    assert sum(part["accuracy"] * part["count"] for part in found) == pytest.approx(right.sum())
    means = [part["confidence"] for part in found]
    assert means == sorted(means)
    # Each bin is whole groups of equal confidence, one after the other.
    edges = np.cumsum([part["count"] for part in found]).tolist()
    groups = np.cumsum(np.unique(confidence, return_counts=True)[1]).tolist()
    assert set(edges) <= set(groups)
    order = list(range(len(pairs)))
    random.shuffle(order)
    again = equal_mass_bins(confidence[order], right[order], bins)
    assert [part["count"] for part in again] == [part["count"] for part in found]


def test_bins_of_different_confidences_are_of_equal_mass() -> None:
    confidence = np.random.default_rng(1).permutation(np.linspace(0, 1, 1500))
    found = equal_mass_bins(confidence, confidence > 0.5)
    assert [part["count"] for part in found] == [100] * 15


def test_bins_of_very_many_pairs_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    confidence = generator.random(20_000)
    right = generator.random(20_000) < confidence**2
    exact = equal_mass_bins(confidence, right)
    monkeypatch.setattr(reliability, "_EXACT", 1000)
    for one, two in zip(exact, equal_mass_bins(confidence, right), strict=True):
        assert two["count"] == pytest.approx(one["count"], abs=3)
        assert two["confidence"] == pytest.approx(one["confidence"], abs=1e-3)
        assert two["accuracy"] == pytest.approx(one["accuracy"], abs=5e-3)


@pytest.mark.parametrize("task", TASKS)
def test_one_row_constant_probabilities_and_missing_classes(task: Task) -> None:
    """Whatever the rows cannot tell is null, and nothing warns (warnings are errors here)."""
    for rows in (1, 7):
        targets, logits, labels = example(task, rows, 4, seed=rows)
        found = strict(evaluate(targets, np.zeros_like(logits), task=task, labels=labels))
        assert found["logLoss"] == pytest.approx(math.log(logits.shape[1]) if task == "Multiclass" else math.log(2))
        nothing = np.zeros_like(targets)
        if task == "Multiclass":
            nothing[:, 1] = 1
        found = strict(evaluate(nothing, logits, task=task, labels=labels))
        assert found["rocAuc"] is None
        assert found["labels"][labels[0]]["recall"] is None
        assert found["labels"][labels[0]]["averagePrecision"] is None
        assert found["curves"][labels[0]] == {"roc": None, "pr": None}
    everything = np.ones((3, 2), dtype=np.int8)
    found = strict(evaluate(everything, np.full((3, 2), 50.0), task="Multilabel", labels=["a", "b"]))
    assert found["balancedAccuracy"] is None
    assert found["macroF1"] == found["averagePrecision"] == 1.0
    nobody = strict(evaluate(everything * 0, np.full((3, 2), -50.0), task="Multilabel", labels=["a", "b"]))
    assert (nobody["accuracy"], nobody["macroF1"], nobody["microF1"], nobody["weightedF1"]) == (1.0, None, None, None)


@pytest.mark.parametrize("task", TASKS)
def test_extreme_logits_overflow_nowhere(task: Task) -> None:
    targets, logits, labels = example(task, 30, 3, seed=3)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        found = strict(evaluate(targets, logits * 1e6, task=task, labels=labels))
    assert found["logLoss"] > 100


def test_curves_are_thinned_and_keep_their_ends() -> None:
    generator = np.random.default_rng(4)
    truth = (generator.random(5000) < 0.1).astype(np.int8)
    probs = np.clip(truth * 0.3 + generator.random(5000) * 0.7, 0, 1)
    found = rank(truth, probs)
    assert found.roc is not None
    assert found.precision_recall is not None
    for curve in (found.roc, found.precision_recall):
        assert 40 <= len(curve) <= 64
        assert [x for x, _ in curve] == sorted(x for x, _ in curve)
    assert (found.roc[0], found.roc[-1]) == ([0, 0], [1, 1])
    assert found.precision_recall[0] == [0, 1]
    assert found.precision_recall[-1][0] == 1
    x, y = np.array(found.roc).T
    assert np.trapezoid(y, x) == pytest.approx(found.roc_auc, abs=5e-3)
    assert points_for(20) == 64
    assert points_for(1000) == 16


@pytest.mark.parametrize("task", TASKS)
def test_curves_of_few_rows_are_those_of_scikit_learn(task: Task) -> None:
    targets, logits, labels = example(task, 30, 3, seed=5, step=0.5)
    found = evaluate(targets, logits, task=task, labels=labels)
    probs = probabilities(logits, task)
    for i, label in enumerate(labels):
        rate, hits, _ = reference.roc_curve(targets[:, i], probs[:, i], drop_intermediate=False)
        np.testing.assert_allclose(found["curves"][label]["roc"], np.column_stack([rate, hits]), atol=1e-5)
        precision, recall, _ = reference.precision_recall_curve(targets[:, i], probs[:, i])
        wanted = np.column_stack([recall, precision])[::-1]
        wanted = wanted[: int(np.argmax(wanted[:, 0] == 1)) + 1]
        np.testing.assert_allclose(found["curves"][label]["pr"], wanted, atol=1e-5)


def test_a_thousand_labels_make_a_moderate_file() -> None:
    for task in ("Multiclass", "Multilabel"):
        targets, logits, labels = example(task, 300, 1000, seed=6)
        found = evaluate(targets, logits, task=task, labels=labels)
        del found["confusion"]
        assert len(json.dumps(found, allow_nan=False)) < 2_000_000
        assert found["rocAuc"] > 0.5


def test_rows_that_were_cut_are_shown_apart() -> None:
    targets, logits, labels = example("Multiclass", 50, 3, seed=7)
    cut = np.arange(50) < 20
    found = evaluate(targets, logits, task="Multiclass", labels=labels, cut=cut)
    alone = evaluate(targets[:20], logits[:20], task="Multiclass", labels=labels)
    assert found["cutRows"] == {"rows": 20, "accuracy": alone["accuracy"], "macroF1": alone["macroF1"]}
    assert evaluate(targets, logits, task="Multiclass", labels=labels, cut=cut & False)["cutRows"] is None
    assert alone["cutRows"] is None


def test_before_calibration() -> None:
    targets, logits, labels = example("Multilabel", 50, 3, seed=8)
    found = evaluate(targets, logits / 2, task="Multilabel", labels=labels, uncalibrated=logits)
    before = evaluate(targets, logits, task="Multilabel", labels=labels)
    assert found["beforeCalibration"].pop("reliability") == before["reliability"]
    assert found["beforeCalibration"] == {key: before[key] for key in ("logLoss", "brier", "expectedCalibrationError")}
    assert before["beforeCalibration"] is None


def test_headline_is_flat_small_and_without_null() -> None:
    targets, logits, labels = example("Binary", 50, 1, seed=9)
    functions = {f"f{i}": {"value": float(i)} for i in range(30)} | {"broken": {"error": "no"}}
    functions = {"broken": {"error": "no"}, **functions}
    found = evaluate(
        targets,
        logits,
        task="Binary",
        labels=labels,
        functions=functions,
        baseline=Baseline("TF-IDF + linear SVM", 0.5, 0.4, None, 1.0),
    )
    flat = headline(strict(found))
    assert len(flat) == 24
    assert list(flat)[:4] == ["accuracy", "balancedAccuracy", "macroF1", "microF1"]
    assert (flat["baselineAccuracy"], flat["baselineMacroF1"]) == (0.5, 0.4)
    assert flat["f3"] == 3.0
    assert "broken" not in flat
    assert all(isinstance(value, float) and math.isfinite(value) for value in flat.values())
    bare = headline(evaluate(targets * 0, logits, task="Binary", labels=labels))
    assert {"rocAuc", "averagePrecision", "baselineAccuracy"}.isdisjoint(bare)
    assert bare["sampleMatchCombined"] == bare["accuracy"]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_model_that_went_astray(value: float) -> None:
    targets, logits, labels = example("Multiclass", 5, 3, seed=10)
    logits[2, 1] = value
    with pytest.raises(UserError, match=r"1 of 5 rows .* lower hyperparameters.learningRate"):
        evaluate(targets, logits, task="Multiclass", labels=labels)


def test_rows_are_needed() -> None:
    with pytest.raises(ValueError, match="0 rows"):
        evaluate(np.zeros((0, 2), dtype=np.int8), np.zeros((0, 2)), task="Multilabel", labels=["a", "b"])
