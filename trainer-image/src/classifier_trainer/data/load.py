"""From the files that a run names to its dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from classifier_trainer.data.read import read_jsonl
from classifier_trainer.data.rows import Dataset, Split
from classifier_trainer.data.split import split_indices
from classifier_trainer.data.task import check_classes, find_task, overlap, to_split
from classifier_trainer.errors import UserError


def load_dataset(
    train: tuple[Path, str],
    test: tuple[Path, str] | float | None,
    declared: Literal["Auto", "Binary", "Multiclass", "Multilabel"],
    seed: int,
) -> Dataset:
    """Reads, finds the task, checks and splits; each set is a path with the URI that messages call it.

    `test` is a set, the share of the training rows to set aside, or None.

    Raises:
        UserError: whatever the user must mend in the data.
    """
    path, uri = train
    rows = read_jsonl(path, "trainDataset", uri)
    task, reason, labels = find_task(rows, declared)
    everything = to_split(rows, task, labels, known=False)
    warnings = list(rows.warnings)
    where = f"trainDataset '{uri}'"
    kept, aside = everything, None
    if isinstance(test, float):
        warnings += check_classes(everything, task, labels, where)
        kept, aside = _set_aside(everything, test, seed, where)
        check_classes(kept, task, labels, f"{where} without its test rows")
    elif test is not None:
        test_rows = read_jsonl(test[0], "testDataset", test[1])
        warnings += test_rows.warnings
        aside = to_split(test_rows, task, labels, known=True)
        warnings += check_classes(kept, task, labels, where) + overlap(kept, aside)
    else:
        warnings += check_classes(kept, task, labels, where)
    natural = kept.targets.sum(axis=0, dtype=np.int64)
    return Dataset(task, reason, labels, kept, None, aside, warnings, {}, natural, len(kept))


def _set_aside(everything: Split, share: float, seed: int, where: str) -> tuple[Split, Split]:
    kept, aside = split_indices(everything, share, seed)
    if not aside or not kept:
        side = "test" if not aside else "training"
        raise UserError(
            f"testDataset.split {share:g} of the {len(everything)} rows of {where} leaves no {side} row: "
            "add rows, or change the share."
        )
    return everything.take(kept), everything.take(aside)
