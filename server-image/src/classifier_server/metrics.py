"""Prometheus metrics of the server, in a registry of their own."""

from __future__ import annotations

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
_MAX_LABELS = 100
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """What one server process counts; implements the engine's Observer."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the library does not annotate it
        self.registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        PlatformCollector(registry=registry)
        self.requests = Histogram(
            "classifier_request_duration_seconds",
            "Seconds from the first byte of a request to its answer.",
            ["dialect", "code"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.stages = Histogram(
            "classifier_stage_seconds",
            "Seconds that a request spends in tokenize, a text in queue, a batch in infer.",
            ["stage"],
            buckets=_SECONDS,
            registry=registry,
        )
        self.queue = Gauge("classifier_queue_texts", "Texts that wait to be computed.", registry=registry)
        self.ready = Gauge("classifier_ready", "1 while the model is loaded and not draining.", registry=registry)
        self.load_seconds = Gauge("classifier_load_seconds", "Seconds from start to ready.", registry=registry)
        self.batch_texts = Histogram(
            "classifier_batch_texts", "Texts in a batch.", buckets=[2**n for n in range(10)], registry=registry
        )
        self.batch_tokens = Histogram(
            "classifier_batch_tokens",
            "Tokens in a batch, without padding.",
            buckets=[2**n for n in range(3, 16)],
            registry=registry,
        )
        self.padding = Histogram(
            "classifier_padding_ratio",
            "Share of a batch that is padding.",
            buckets=[0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5],
            registry=registry,
        )
        self.tokens = Counter("classifier_tokens", "Tokens computed, without padding.", registry=registry)
        self.truncated = Counter("classifier_truncated_texts", "Texts that were cut.", registry=registry)
        self.predicted = Counter(
            "classifier_predicted_labels",
            f"Labels predicted; those after the first {_MAX_LABELS} of the model count as `(other)`.",
            ["label"],
            registry=registry,
        )

    def batch_done(self, texts: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """See engine.Observer."""
        self.batch_texts.observe(texts)
        self.batch_tokens.observe(tokens)
        self.padding.observe(1 - tokens / padded_tokens)
        self.tokens.inc(tokens)
        self.stages.labels("infer").observe(seconds)

    def text_started(self, waited_seconds: float) -> None:
        """See engine.Observer."""
        self.stages.labels("queue").observe(waited_seconds)

    def labels_predicted(self, rows: Sequence[Sequence[str]], known: Sequence[str]) -> None:
        """Counts the predicted labels of each text; `known` are the model's labels in order."""
        named = set(known[:_MAX_LABELS])
        for row in rows:
            for label in row:
                self.predicted.labels(label if label in named else "(other)").inc()

    def render(self) -> bytes:
        """The text format that Prometheus scrapes."""
        return generate_latest(self.registry)
