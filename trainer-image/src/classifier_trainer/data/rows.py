"""What a dataset is inside the trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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
    """Texts with their targets: `targets[i, j]` is 1 where row i has label j, [n, k]; Binary has one column."""

    prompts: list[str]
    targets: Targets

    def __len__(self) -> int:
        return len(self.prompts)

    def take(self, indices: Sequence[int]) -> Split:
        """The rows at `indices`, in that order."""
        return Split([self.prompts[index] for index in indices], self.targets[list(indices)])


@dataclass(frozen=True)
class Dataset:
    """What a run trains and tests on."""

    task: Task
    reason: str
    """The sentence that says why it is this task."""
    labels: list[str]
    train: Split
    test: Split | None
    warnings: list[str]
