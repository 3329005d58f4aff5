"""A loaded classifier: texts in, probabilities by label out. What every dialect builds its answers from."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import predicted_labels, probabilities
from classifier_server.backend import Logits
from classifier_server.engine import Admission, Engine
from classifier_server.limits import MAX_BATCH_TEXTS
from classifier_server.long_texts import combine
from classifier_server.metrics import Metrics
from classifier_server.playground.about import About
from classifier_server.tokenization import Reading, TextEncoder, TokenizedTexts


@dataclass(frozen=True, slots=True)
class LabelSet:
    """What the columns mean."""

    task: Task
    names: tuple[str, ...]
    """Of the probabilities; Binary has one, the positive label."""
    logit_names: tuple[str, ...]
    """Of the head's outputs, as config.json names them; Binary may have two."""
    thresholds: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Timings:
    """Seconds that a request spent; `queue` is the text's that waited longest, `infer` holds it."""

    tokenize: float = 0.0
    queue: float = 0.0
    infer: float = 0.0


@dataclass(frozen=True, slots=True)
class Classified:
    """The answer for the texts of one request, a row each."""

    labels: LabelSet
    logits: Logits
    probs: npt.NDArray[np.float64]
    predicted: list[list[str]]
    """The labels over their thresholds; Multiclass: the most probable one."""
    tokens: int
    truncated: int
    timings: Timings = Timings()

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the head's outputs: both of a Binary model that has two."""
        return self.labels.logit_names

    @property
    def class_probs(self) -> npt.NDArray[np.float64]:
        """Probabilities [rows, classes], in the order of `class_names`."""
        if self.probs.shape[1] == self.logits.shape[1]:
            return self.probs
        return np.concatenate([1 - self.probs, self.probs], axis=1)


@dataclass(slots=True)
class Classifier:
    """Tokenizer, engine and labels of one model."""

    labels: LabelSet
    encoder: TextEncoder
    engine: Engine
    metrics: Metrics
    tokenizer_threads: int = 1
    about: About = field(default_factory=About)
    """For the model card."""
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.tokenizer_threads, thread_name_prefix="tokenizer")

    async def classify(
        self, admission: Admission, texts: Sequence[str], reading: Reading, thresholds: Mapping[str, float]
    ) -> Classified:
        """`thresholds` stand in for the checkpoint's; the keys are labels of the model.

        Raises what TextEncoder.encode does, InferenceError (engine) and QueueFullError (more windows than there is
        room for).
        """
        begun = time.monotonic()
        loop = asyncio.get_running_loop()
        limit = min(MAX_BATCH_TEXTS, self.engine.max_queue)
        tokenized = await loop.run_in_executor(self._threads, self.encoder.encode, texts, reading, limit)
        ready = time.monotonic()
        self.metrics.stages.labels("tokenize").observe(ready - begun)
        if len(tokenized.ids) > len(texts):
            admission.extend(len(tokenized.ids) - len(texts))
        logits = await admission.infer(tokenized.ids)
        timings = Timings(ready - begun, admission.waited, time.monotonic() - ready)
        return self._classified(tokenized, logits, reading, thresholds, timings)

    def _classified(
        self,
        tokenized: TokenizedTexts,
        logits: Logits,
        reading: Reading,
        thresholds: Mapping[str, float],
        timings: Timings,
    ) -> Classified:
        labels = self.labels
        if reading.long_text is not None and tokenized.rows is not None:
            weights = [len(ids) for ids in tokenized.ids]
            logits, probs = combine(logits, tokenized.rows, weights, reading.long_text.strategy, labels.task)
        else:
            probs = probabilities(logits, labels.task)
        predicted = predicted_labels(probs, {**labels.thresholds, **thresholds}, labels.task, labels.names)
        if labels.task == "Multiclass" and thresholds:
            predicted = _reaching(predicted, probs, thresholds, labels.names)
        self.metrics.labels_predicted(predicted, labels.names)
        self.metrics.truncated.inc(tokenized.truncated)
        return Classified(labels, logits, probs, predicted, tokenized.tokens, tokenized.truncated, timings)


def _reaching(
    predicted: list[list[str]],
    probs: npt.NDArray[np.float64],
    thresholds: Mapping[str, float],
    names: Sequence[str],
) -> list[list[str]]:
    """What is left of the predicted labels where a caller asks for thresholds of a Multiclass model."""
    return [
        [label for label in row if values[names.index(label)] >= thresholds.get(label, 0.0)]
        for row, values in zip(predicted, probs, strict=True)
    ]
