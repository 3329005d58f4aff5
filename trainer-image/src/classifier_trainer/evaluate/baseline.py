"""What a TF-IDF with a linear SVM makes of the same rows: a model that loses to it is not worth its GPU."""

from __future__ import annotations

import multiprocessing
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits  # type: ignore[import-not-found, import-untyped, unused-ignore]

from classifier_artifacts.classifier_json import Task
from classifier_trainer.evaluate.counts import count

Mask = npt.NDArray[np.bool_]
Targets = npt.NDArray[np.int8]
Texts = tuple[Sequence[str], Targets]

MAX_ROWS = 50_000
MAX_LABELS = 200
NAME = "TF-IDF + linear SVM"
SAMPLED_NAME = "hashed TF-IDF + linear SVM (SGD) on at most 50,000 rows"
_FEATURES = 1 << 18
_FEATURES_OF_MANY_LABELS = 1 << 15


@dataclass(frozen=True)
class Baseline:
    """Scores of the baseline on the test rows (at most 50,000 of them), defined as those of the model are."""

    name: str
    accuracy: float
    macro_f1: float | None
    micro_f1: float | None
    seconds: float

    def document(self) -> dict[str, object]:
        """For metrics.json."""
        return {"name": self.name, "accuracy": self.accuracy, "macroF1": self.macro_f1, "microF1": self.micro_f1}


def baseline(train: Texts, test: Texts, task: Task, seed: int, *, seconds: float) -> Baseline | None:
    """Trains and tests the baseline for at most `seconds`; None if it took longer or the texts have no words.

    Each set is texts with targets [n, k] (Binary: one column). Up to 50,000 training rows and 200 labels it is
    scikit-learn's TfidfVectorizer and LinearSVC with their defaults (Multilabel: one against the rest); above, hashed
    words and SGD on a sample of 50,000 rows, as the name says then. It is computed by one thread of a process of its
    own, which is killed when its time is over: neither scikit-learn nor a thread can be stopped from outside.
    """
    start = time.monotonic()
    sampled = len(train[0]) > MAX_ROWS or train[1].shape[1] > MAX_LABELS
    train, test = _at_most(train, seed), _at_most(test, seed)
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(
        target=_work, args=(sender, train, test[0], task, seed, sampled), name="baseline", daemon=True
    )
    process.start()
    try:
        sender.close()  # only the process has it now, so its end is the end of the stream
        found = _received(receiver, seconds - (time.monotonic() - start))
    finally:
        process.kill()
        process.join()
        process.close()
        receiver.close()
    if found is None:
        return None
    counts = count(test[1], found, task)
    return Baseline(
        name=SAMPLED_NAME if sampled else NAME,
        accuracy=counts.accuracy or 0.0,
        macro_f1=counts.macro_f1,
        micro_f1=counts.micro_f1,
        seconds=time.monotonic() - start,
    )


def predictions(train: Texts, prompts: Sequence[str], task: Task, seed: int, *, sampled: bool) -> Mask | None:
    """Predicted labels [n, k] of the texts; None where no training text has a word."""
    texts, targets = train
    goal = targets if task == "Multilabel" else targets[:, 0] if task == "Binary" else targets.argmax(axis=1)
    single = task != "Multilabel" and len(np.unique(goal)) == 1
    model: Any = SGDClassifier(random_state=seed) if sampled else LinearSVC(random_state=seed)
    if task == "Multilabel":
        model = OneVsRestClassifier(model)
    steps: list[Any] = [TfidfVectorizer()]
    if sampled:
        features = _FEATURES if targets.shape[1] <= MAX_LABELS else _FEATURES_OF_MANY_LABELS
        # Half the memory of the coefficients, which are labels × features.
        steps = [HashingVectorizer(n_features=features, dtype=np.float32), TfidfTransformer()]
    if single:  # a sample, or a small set, may hold one class only
        guess = np.full(len(prompts), goal[0])
    else:
        pipeline = make_pipeline(*steps, model)
        try:
            with _quiet():
                pipeline.fit(list(texts), goal)
                guess = pipeline.predict(list(prompts))
        except ValueError as error:
            if "empty vocabulary" in str(error):
                return None
            raise
    if task == "Multilabel":
        return np.asarray(guess, dtype=np.bool_).reshape(len(prompts), -1)
    if task == "Binary":
        return np.asarray(guess, dtype=np.bool_)[:, None]
    return np.asarray(guess[:, None] == np.arange(targets.shape[1]))


def _work(sender: Connection, train: Texts, prompts: Sequence[str], task: Task, seed: int, sampled: bool) -> None:
    with threadpool_limits(1):
        sender.send(predictions(train, prompts, task, seed, sampled=sampled))


def _received(receiver: Connection, seconds: float) -> Mask | None:
    if not receiver.poll(max(seconds, 0.0)):
        return None
    try:
        found: Mask | None = receiver.recv()
    except EOFError:
        return None  # it died, of memory most likely: no comparison, and no reason to end the run
    return found


def _at_most(rows: Texts, seed: int) -> Texts:
    """All rows, or 50,000 drawn at random in their order, with the texts in memory."""
    texts, targets = rows
    if len(texts) <= MAX_ROWS:
        return list(texts), targets
    chosen = np.sort(np.random.default_rng(seed).choice(len(texts), MAX_ROWS, replace=False))
    return [texts[int(row)] for row in chosen], targets[chosen]


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        # Rows enough for its classes or not, the profile of the data says so.
        warnings.filterwarnings("ignore", message="The number of unique classes is greater than")
        # One-vs-rest says so of labels that all rows or none have; they were warned about with the data.
        warnings.filterwarnings("ignore", message="Label .* is present in all training examples")
        warnings.filterwarnings("ignore", message="Label not .* is present in all training examples")
        yield
