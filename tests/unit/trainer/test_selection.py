"""Which checkpoint is best."""

from __future__ import annotations

import numpy as np
import pytest

from classifier_artifacts.classifier_json import Task
from classifier_trainer.evaluate.scores import SelectBy, evaluate, headline, selection

METRICS = {"accuracy": 0.9, "macroF1": 0.7, "microF1": 0.8, "averagePrecision": 0.6, "logLoss": 0.3}


@pytest.mark.parametrize(
    ("select_by", "task", "value"),
    [
        ("Auto", "Multiclass", 0.7),
        ("Auto", "Multilabel", 0.7),
        ("Auto", "Binary", 0.6),
        ("Accuracy", "Binary", 0.9),
        ("MacroF1", "Binary", 0.7),
        ("MicroF1", "Multiclass", 0.8),
        ("AveragePrecision", "Multiclass", 0.6),
        ("LogLoss", "Multiclass", -0.3),
    ],
)
def test_what_is_selected_by(select_by: SelectBy, task: Task, value: float) -> None:
    assert selection(METRICS, select_by, task) == value


def test_the_accuracy_stands_in_for_what_the_rows_cannot_tell() -> None:
    targets = np.zeros((3, 1), dtype=np.int8)
    found = evaluate(targets, np.array([[1.0, 0], [1, 0], [0, 1]]), task="Binary", labels=["a"])
    assert found["averagePrecision"] is None
    assert selection(found, "Auto", "Binary") == found["accuracy"] == pytest.approx(2 / 3)
    # Also of the flat numbers, which leave out what is null.
    assert selection(headline(found), "Auto", "Binary") == pytest.approx(2 / 3)


def test_a_lower_log_loss_is_better() -> None:
    targets = np.eye(2, dtype=np.int8)
    good, bad = (evaluate(targets, np.eye(2) * sure, task="Multiclass", labels=["a", "b"]) for sure in (2.0, 1.0))
    assert selection(good, "LogLoss", "Multiclass") > selection(bad, "LogLoss", "Multiclass")
