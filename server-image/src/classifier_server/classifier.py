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
from classifier_server.metrics import Metrics
from classifier_server.tokenization import TextEncoder, TokenizedTexts, Truncation


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
class Classified:
    """The answer for the texts of one request, a row each."""

    labels: LabelSet
    logits: Logits
    probs: npt.NDArray[np.float64]
    predicted: list[list[str]]
    """The labels over their thresholds; Multiclass: the most probable one."""
    tokens: int
    truncated: int


@dataclass(slots=True)
class Classifier:
    """Tokenizer, engine and labels of one model."""

    labels: LabelSet
    encoder: TextEncoder
    engine: Engine
    metrics: Metrics
    tokenizer_threads: int = 1
    _threads: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        self._threads = ThreadPoolExecutor(self.tokenizer_threads, thread_name_prefix="tokenizer")

    async def classify(self, admission: Admission, texts: Sequence[str], truncate: Truncation | None) -> Classified:
        """Raises TextTooLongError, NoTokensError (tokenization) and InferenceError (engine)."""
        begun = time.monotonic()
        loop = asyncio.get_running_loop()
        tokenized = await loop.run_in_executor(self._threads, self.encoder.encode, texts, truncate)
        self.metrics.stages.labels("tokenize").observe(time.monotonic() - begun)
        logits = await admission.infer(tokenized.ids)
        return self._classified(tokenized, logits)

    def _classified(self, tokenized: TokenizedTexts, logits: Logits) -> Classified:
        labels = self.labels
        probs = probabilities(logits, labels.task)
        predicted = predicted_labels(probs, labels.thresholds, labels.task, labels.names)
        self.metrics.labels_predicted(predicted, labels.names)
        self.metrics.truncated.inc(tokenized.truncated)
        return Classified(labels, logits, probs, predicted, tokenized.tokens, tokenized.truncated)
