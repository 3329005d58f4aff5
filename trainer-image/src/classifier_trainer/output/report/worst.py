"""The rows on which the model is most wrong, out of a file of any length."""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier_trainer.output.report.read import json_lines
from classifier_trainer.output.report.values import mapping, number, printable

KEPT = 50
CLIP = 1500
"""Characters of a text that are shown."""
_SHOWN_LABELS = 20
_LEAST = 1e-12


@dataclass(frozen=True, order=True)
class Row:
    """A row with its loss; ordered by it, and by the place in the file between equals."""

    loss: float
    place: int
    """Minus the line in the results, so that the earlier of two equals is kept."""
    line: int | None
    """In the data."""
    text: str
    expected: tuple[str, ...]
    predicted: tuple[str, ...]
    top: tuple[tuple[str, float], ...]
    """The likeliest labels."""


@dataclass(frozen=True)
class Worst:
    """The rows with the highest loss first."""

    rows: list[Row]
    read: int
    """Rows in the file."""
    wrong: int
    """Rows whose prediction is not what was expected."""


def worst_rows(path: Path, task: str, *, texts: bool, kept: int = KEPT) -> Worst:
    """Streams results.jsonl; the memory does not grow with it."""
    heap: list[Row] = []
    read = wrong = 0
    for place, row in json_lines(path):
        expected, probabilities = mapping(row.get("expected")), mapping(row.get("probabilities"))
        loss = row_loss(expected, probabilities, exclusive=task == "Multiclass")
        if loss is None:
            continue
        read += 1
        # A label that stands on one side only counts as 0 on the other.
        wrong += _on(expected) != _on(mapping(row.get("predicted")))
        if len(heap) < kept or (loss, -place) > (heap[0].loss, heap[0].place):
            item = _row(row, loss, place, texts=texts)
            if len(heap) < kept:
                heapq.heappush(heap, item)
            else:
                heapq.heapreplace(heap, item)
    return Worst(sorted(heap, reverse=True), read, wrong)


def row_loss(expected: dict[str, Any], probabilities: dict[str, Any], *, exclusive: bool) -> float | None:
    """Minus the log of the expected label's probability; summed over the labels where several can hold. In nats."""
    total = 0.0
    known = False
    for label, wanted in expected.items():
        if exclusive and not wanted:
            continue
        value = number(probabilities.get(label))
        if value is None:
            continue
        known = True
        total -= math.log(min(1.0, max(_LEAST, value if wanted else 1 - value)))
    return total if known else None


def _row(row: dict[str, Any], loss: float, place: int, *, texts: bool) -> Row:
    chances = [
        (value, label) for label, raw in mapping(row.get("probabilities")).items() if (value := number(raw)) is not None
    ]
    line = number(row.get("line"))
    return Row(
        loss=loss,
        place=-place,
        line=None if line is None else int(line),
        text=printable(row.get("prompt", ""), CLIP) if texts else "",
        expected=_named(row.get("expected")),
        predicted=_named(row.get("predicted")),
        top=tuple((printable(label, 100), value) for value, label in heapq.nlargest(3, chances)),
    )


def _on(labels: dict[str, Any]) -> set[str]:
    return {label for label, value in labels.items() if value}


def _named(labels: object) -> tuple[str, ...]:
    return tuple(printable(label, 100) for label in sorted(_on(mapping(labels)))[:_SHOWN_LABELS])
