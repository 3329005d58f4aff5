"""The baseline: what it learns, what it leaves out, and that its time is limited."""

from __future__ import annotations

import multiprocessing
import time

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from classifier_artifacts.classifier_json import Task
from classifier_trainer.evaluate import baseline as module
from classifier_trainer.evaluate.baseline import (
    NAME,
    SAMPLED_NAME,
    baseline,
    predictions,
)
from classifier_trainer.evaluate.counts import count
from support.tiny_models import TOPICS, rows

TASKS: tuple[Task, ...] = ("Binary", "Multiclass", "Multilabel")
Texts = tuple[list[str], npt.NDArray[np.int8]]


def sets(task: Task) -> tuple[Texts, Texts]:
    """60 rows to train on, 30 to test on."""
    found = rows(tuple(TOPICS), 90)
    texts = [text for text, _ in found]
    targets = np.array([[topic == name for name in TOPICS] for _, topic in found], dtype=np.int8)
    if task == "Binary":
        targets = targets[:, :1]
    return (texts[:60], targets[:60]), (texts[60:], targets[60:])


def accuracy_of(train: Texts, test: Texts, task: Task) -> float | None:
    """Computed here and now, not in a process of its own."""
    found = predictions(train, test[0], task, 1, sampled=False)
    return None if found is None else count(test[1], found, task).accuracy


@pytest.mark.parametrize("task", TASKS)
def test_learns_what_words_tell(task: Task) -> None:
    accuracy = accuracy_of(*sets(task), task)
    assert accuracy is not None
    assert accuracy > 0.9


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("labels", [200, 1])
def test_learns_it_from_hashed_words_as_well(task: Task, labels: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_LABELS", labels)
    train, test = sets(task)
    found = predictions(train, test[0], task, 1, sampled=True)
    assert found is not None
    assert found.shape == test[1].shape
    assert (found == test[1]).all(axis=1).mean() > 0.85


def test_scores_are_those_of_scikit_learn_with_its_defaults() -> None:
    train, test = sets("Multiclass")
    truth = test[1].argmax(axis=1)
    truth[::3] = 0  # else all are right
    targets = np.eye(len(TOPICS), dtype=np.int8)[truth]
    found = baseline(train, (test[0], targets), "Multiclass", 1, seconds=300)
    assert found is not None
    guess = make_pipeline(TfidfVectorizer(), LinearSVC(random_state=1)).fit(train[0], train[1].argmax(axis=1))
    answer = guess.predict(test[0])
    assert found.name == NAME
    assert found.accuracy == pytest.approx((answer == truth).mean())
    assert found.macro_f1 == pytest.approx(f1_score(truth, answer, average="macro"))
    assert found.micro_f1 == pytest.approx(f1_score(truth, answer, average="micro"))
    assert found.seconds > 0
    assert found.document() == {
        "name": NAME,
        "accuracy": found.accuracy,
        "macroF1": found.macro_f1,
        "microF1": found.micro_f1,
    }


def test_of_a_large_set_a_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ROWS", 40)
    train, test = sets("Multiclass")
    found = baseline(train, test, "Multiclass", 1, seconds=300)
    assert found is not None
    assert found.name == SAMPLED_NAME
    assert found.accuracy > 0.8
    again = baseline(train, test, "Multiclass", 1, seconds=300)
    assert again is not None
    assert again.accuracy == found.accuracy
    texts, targets = module._at_most(train, 1)
    assert len(texts) == len(targets) == 40
    where = [train[0].index(text) for text in texts]
    assert where == sorted(where)
    np.testing.assert_array_equal(train[1][where], targets)


def test_its_time_is_limited() -> None:
    generator = np.random.default_rng(1)
    words = generator.integers(0, 30_000, (20_000, 30))
    texts = [" ".join(f"w{word}" for word in row) for row in words]
    targets = generator.integers(0, 2, (len(texts), 150)).astype(np.int8)
    start = time.monotonic()
    assert baseline((texts, targets), (texts, targets), "Multilabel", 1, seconds=2) is None
    # Noise in 150 labels takes it many minutes.
    assert time.monotonic() - start < 60
    assert not multiprocessing.active_children()


def test_labels_that_all_or_none_have() -> None:
    texts, targets = (
        ["a good day", "a bad day", "night"] * 5,
        np.array([[1, 0, 1], [1, 0, 0], [1, 0, 0]] * 5, dtype=np.int8),
    )
    assert accuracy_of((texts, targets), (texts, targets), "Multilabel") == 1.0
    only = np.zeros((15, 1), dtype=np.int8)
    assert accuracy_of((texts, only), (texts, only), "Binary") == 1.0


def test_none_without_words() -> None:
    targets = np.array([[1], [0]], dtype=np.int8)
    assert accuracy_of((["?", "!"], targets), (["?"], targets[:1]), "Binary") is None
    assert baseline((["?", "!"], targets), (["?"], targets[:1]), "Binary", 1, seconds=300) is None
