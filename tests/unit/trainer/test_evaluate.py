"""Scores and the baseline."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import f1_score

from classifier_artifacts.classifier_json import Task
from classifier_trainer.evaluate import baseline
from classifier_trainer.evaluate.baseline import baseline_accuracy
from classifier_trainer.evaluate.scores import scores
from support.tiny_models import TOPICS, rows


def mask(values: list[list[int]]) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    return np.array(values, dtype=np.bool_)


def test_multiclass() -> None:
    expected = np.array([[1, 0, 0], [0, 1, 0], [0, 1, 0], [0, 1, 0]], dtype=np.int8)
    found = scores(expected, mask([[1, 0, 0], [0, 1, 0], [0, 1, 0], [1, 0, 0]]), "Multiclass")
    assert found["accuracy"] == found["sampleMatchCombined"] == 0.75
    assert found["macroF1"] == pytest.approx((2 / 3 + 4 / 5) / 2)  # the third label neither occurs nor is predicted


def test_binary_counts_the_absence_as_a_label() -> None:
    expected = np.array([[1], [0], [0], [0]], dtype=np.int8)
    found = scores(expected, mask([[0], [0], [0], [0]]), "Binary")
    assert found["accuracy"] == 0.75
    assert found["macroF1"] == pytest.approx((0 + 6 / 7) / 2)
    assert scores(expected[1:], mask([[0], [0], [0]]), "Binary")["macroF1"] == 1.0


def test_multilabel_compares_whole_sets() -> None:
    expected = np.array([[1, 1, 0], [0, 0, 0], [0, 1, 0]], dtype=np.int8)
    predicted = mask([[1, 1, 0], [0, 0, 0], [1, 1, 0]])
    found = scores(expected, predicted, "Multilabel")
    assert found["accuracy"] == found["sampleMatchCombined"] == pytest.approx(2 / 3)
    wanted = f1_score(expected[:, :2], predicted[:, :2].astype(int), average="macro")
    assert found["macroF1"] == pytest.approx(wanted)


@pytest.mark.parametrize("task", ["Binary", "Multiclass", "Multilabel"])
def test_baseline_learns_what_words_tell(task: Task) -> None:
    found = rows(tuple(TOPICS), 90)
    texts = [text for text, _ in found]
    targets = np.array([[topic == name for name in TOPICS] for _, topic in found], dtype=np.int8)
    if task == "Binary":
        targets = targets[:, :1]
    train, test = (texts[:60], targets[:60]), (texts[60:], targets[60:])
    accuracy = baseline_accuracy(train, test, task, 1)
    assert accuracy is not None
    assert accuracy > 0.9


def test_baseline_of_labels_that_all_or_none_have() -> None:
    texts, targets = (
        ["a good day", "a bad day", "night"] * 5,
        np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]] * 5, dtype=np.int8),
    )
    assert baseline_accuracy((texts, targets), (texts, targets), "Multilabel", 1) == 1.0


def test_no_baseline_without_words_or_for_large_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = np.array([[1], [0]], dtype=np.int8)
    assert baseline_accuracy((["?", "!"], targets), (["?"], targets[:1]), "Binary", 1) is None
    monkeypatch.setattr(baseline, "MAX_ROWS", 1)
    assert baseline_accuracy((["a word", "no"], targets), (["a word"], targets[:1]), "Binary", 1) is None
