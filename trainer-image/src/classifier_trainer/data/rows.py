"""What a dataset is inside the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task

Targets = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Rows:
    """Rows of one file, in its order."""

    field: str
    """The field of the configuration that names the file, for messages: `trainDataset`."""
    uri: str
    lines: list[int]
    prompts: list[str]
    completions: list[dict[str, int]]
    warnings: list[str]

    def __len__(self) -> int:
        return len(self.prompts)


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
        return Split(
            [self.prompts[index] for index in indices],
            self.targets[list(indices)],
            [self.lines[index] for index in indices],
        )


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
