"""A backend whose logits are a simple function of the token ids, and which can be slow, broken or short of memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import numpy as np

from classifier_server.backend import Logits


class FakeBackend:
    """Implements classifier_server.backend.Backend.

    The logits of a text are [sum of ids, number of ids, ...] / 100, so that a text's answer never depends on its
    batch. Every batch is noted in `batches`.
    """

    def __init__(
        self,
        *,
        labels: int = 2,
        workers: int = 1,
        max_batch_tokens: int = 64,
        max_padding: float | None = 0.5,
        seconds_per_batch: float = 0.0,
        fail: Callable[[Sequence[Sequence[int]]], Exception | None] = lambda _: None,
    ) -> None:
        """`fail` says for each batch which error it ends with, if any."""
        self.workers = workers
        self.max_batch_tokens = max_batch_tokens
        self.max_padding = max_padding
        self.labels = labels
        self.seconds_per_batch = seconds_per_batch
        self.fail = fail
        self.gate = threading.Event()
        """Closed (cleared) by a test that wants texts to pile up."""
        self.gate.set()
        self.batches: list[list[list[int]]] = []
        self.threads: list[int] = []

    def forward(self, batch: Sequence[Sequence[int]], threads: int) -> Logits:
        """See Backend."""
        self.batches.append([list(text) for text in batch])
        self.threads.append(threads)
        self.gate.wait(30)
        if self.seconds_per_batch:
            time.sleep(self.seconds_per_batch)
        error = self.fail(batch)
        if error is not None:
            raise error
        return np.array([expected_logits(text, self.labels) for text in batch], dtype=np.float32)


def expected_logits(ids: Sequence[int], labels: int = 2) -> list[float]:
    """What FakeBackend answers for a text."""
    return [sum(ids) / 100, len(ids) / 100, *([0.0] * labels)][:labels]
