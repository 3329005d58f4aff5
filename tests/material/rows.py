"""Rows of the data sets: read from Orange's tables, drawn in the natural balance, written as JSONL."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

Row = tuple[str, str]
"""A class and a text."""


def read_tab(path: Path) -> list[Row]:
    """Rows of one of Orange's tables of a class and a text."""
    with path.open(encoding="utf-8", newline="") as stream:
        # Quotation marks are part of the texts. The first three lines are Orange's header.
        lines = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[3:]
    return [(line[0], line[1]) for line in lines if len(line) == 2]


def sample(rows: Sequence[Row], size: int, seed: int) -> list[Row]:
    """`size` rows in the natural balance (largest remainders, at least one a class), seeded and shuffled."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[row[0]].append(row)
    shares = {label: size * len(found) / len(rows) for label, found in by_label.items()}
    counts = {label: max(1, int(share)) for label, share in shares.items()}
    by_remainder = sorted(shares, key=lambda label: (-(shares[label] - counts[label]), label))
    for label in by_remainder[: size - sum(counts.values())]:
        counts[label] += 1
    generator = random.Random(seed)
    chosen = [row for label in sorted(by_label) for row in generator.sample(by_label[label], counts[label])]
    generator.shuffle(chosen)
    return chosen


def write(path: Path, rows: Iterable[tuple[frozenset[str], str]], labels: Sequence[str]) -> None:
    """Writes rows, each the labels that it has and a text, as the trainer reads them."""
    with path.open("w", encoding="utf-8") as stream:
        for own, text in rows:
            completion = {name: int(name in own) for name in labels}
            stream.write(json.dumps({"prompt": text, "completion": completion}, ensure_ascii=False) + "\n")


def multiclass(rows: Iterable[Row]) -> list[tuple[frozenset[str], str]]:
    """The rows with their class as their only label."""
    return [(frozenset([label]), text) for label, text in rows]
