"""What a dataset is inside the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_trainer.data.column import Column, OnDisk
from classifier_trainer.data.texts import Texts

Targets = npt.NDArray[np.int8]


class Numbers(OnDisk[int]):
    """A column of whole numbers as a sequence, of which only what is asked for comes into memory."""

    def __init__(self, column: Column) -> None:
        self.column = column

    def __len__(self) -> int:
        return len(self.column)

    def one(self, row: int) -> int:
        """The number at `row`."""
        return int(self.column.read(row, row + 1)[0])

    def some(self, rows: range) -> list[int]:
        """The numbers at `rows`."""
        return [int(value) for value in self.column.at(np.arange(rows.start, rows.stop, rows.step))]


@dataclass(frozen=True)
class Split:
    """Texts with their targets: `targets[i, j]` is 1 where row i has label j, [n, k]; Binary has one column.

    Texts and targets may lie on disk: take them in chunks, never as a list of all.
    """

    prompts: Sequence[str]
    targets: Targets
    lines: Sequence[int]
    """The line of each row in its file; in a file without lines the number of the row, from 1."""

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, indices: Sequence[int]) -> Split:
        """The rows at `indices`, in that order; an index may stand there several times."""
        places = np.asarray(indices, dtype=np.int64)
        prompts = self.prompts.take(places) if isinstance(self.prompts, Texts) else [self.prompts[at] for at in places]
        lines = (
            self.lines.column.at(places).tolist()
            if isinstance(self.lines, Numbers)
            else [self.lines[at] for at in places]
        )
        return Split(prompts, np.asarray(self.targets[places]), lines)


@dataclass(frozen=True)
class Dataset:
    """What a run trains and tests on."""

    task: Task
    reason: str
    """The sentence that says why it is this task."""
    labels: list[str]
    train: Split
    validation: Split | None
    """Rows that decide the best checkpoint, temperature and thresholds, at the natural balance."""
    test: Split | None
    warnings: list[str]
    profile: dict[str, Any]
    """The content of profile.json, without the lengths in tokens."""
    natural: npt.NDArray[np.int64]
    """How many training rows had each label before they were rebalanced, [k]."""
    rows_natural: int
    """How many training rows there were before they were rebalanced."""
