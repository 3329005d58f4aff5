"""From the files that a run names to its dataset: read, task, limit, test, validation, rebalance, in this order."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_trainer.config import RunConfig, Source
from classifier_trainer.data.column import CHUNK, ColumnWriter, write_column
from classifier_trainer.data.faults import raise_all
from classifier_trainer.data.label_sets import Ids, group_by_set
from classifier_trainer.data.partition import TEST, TRAIN, VALIDATION, Partition
from classifier_trainer.data.profile import Warnings, build_profile
from classifier_trainer.data.read import read_table
from classifier_trainer.data.rebalance import draw, wanted_counts
from classifier_trainer.data.rows import Dataset, Numbers, Split
from classifier_trainer.data.source import DataFiles
from classifier_trainer.data.split import MAX_VALIDATION, MIN_ROWS, validation_share
from classifier_trainer.data.table import Table
from classifier_trainer.data.task import add_multiclass_faults, check_classes, find_task
from classifier_trainer.data.texts import Texts
from classifier_trainer.errors import UserError

Fetch = Callable[[Source, str], DataFiles]
"""From a source and the name of its field to files on this machine."""

NO_VALIDATION = "the last epoch is the best, the temperature is 1 and every threshold 0.5"


def load_dataset(
    config: RunConfig, fetch: Fetch, scratch: Path, progress: Callable[[int], None] | None = None
) -> Dataset:
    """Reads, finds the task, checks, splits and rebalances; what is large lies in `scratch` as long as it is used.

    `progress` is told how many rows were read so far.

    Raises:
        UserError: whatever the user must mend in the data, all faults of all rows together.
        TransientError: what may pass.
    """
    table, test, task, reason = _read(config, fetch, scratch, progress)
    where, labels, seed = table.where, table.labels, config.hyperparameters.seed
    warnings = Warnings()
    partition = Partition(table, scratch / "train")
    if config.train_dataset.limit is not None:
        partition.limit(config.train_dataset.limit, exclusive=task != "Multilabel", seed=seed)
    partition.find_duplicates()
    _check(partition, task, where)
    share = config.test_dataset.split if config.test_dataset is not None else None
    if share is not None:
        _set_aside(partition, TEST, share, seed, f"testDataset.split {share:g}", where)
        _check(partition, task, f"{where} without its test rows")
    _set_aside_validation(partition, config.validation.split, seed, where, warnings)
    _check(partition, task, f"{where} without its validation rows")
    rows, natural = partition.rows(TRAIN), partition.sets.counts(partition.mask(TRAIN))
    natural_labels, rows_natural = partition.sets.label_counts(natural, len(labels)), len(rows)
    if config.rebalance is not None:
        # Classes are label sets here: 0 is no label, which is negative, and 1 + j is label j.
        first = 0 if task == "Binary" else 1
        wanted_sets = np.zeros(len(natural), dtype=np.int64)
        wanted = wanted_counts(config.rebalance, task, labels, natural[first : 1 + len(labels)])
        wanted_sets[first : 1 + len(labels)] = wanted
        rows = draw(group_by_set(partition.sets, partition.sets.ids, partition.mask(TRAIN)), wanted_sets, seed)
    folder = scratch / "splits"
    folder.mkdir()
    train = _split(table, rows, folder / "train")
    trained = _label_counts(train)
    del rows
    validation = _split(table, partition.rows(VALIDATION), folder / "validation")
    source, found = (table, partition.rows(TEST)) if test is None else (test, np.arange(len(test), dtype=np.int32))
    aside = _split(source, found, folder / "test")
    profile = build_profile(
        partition,
        test,
        task=task,
        reason=reason,
        labels=labels,
        trained=trained,
        trained_rows=len(train),
        warnings=warnings,
    )
    return Dataset(
        task=task,
        reason=reason,
        labels=labels,
        train=train,
        validation=validation if len(validation) else None,
        test=aside if len(aside) else None,
        warnings=warnings.texts,
        profile=profile,
        natural=natural_labels,
        rows_natural=rows_natural,
    )


def _read(
    config: RunConfig, fetch: Fetch, scratch: Path, progress: Callable[[int], None] | None
) -> tuple[Table, Table | None, Task, str]:
    """Both sets and the task, once all faults of both are known."""
    table, faults = read_table(fetch(config.train_dataset, "trainDataset"), scratch / "train", progress=progress)
    if config.task_type == "Multiclass":
        add_multiclass_faults(table, faults)
    # Without the faulty rows neither the labels nor the task are sure.
    found = None if faults else find_task(table, config.task_type)
    test, collected = None, [faults]
    if config.test_dataset is not None and config.test_dataset.split is None:
        files = fetch(config.test_dataset, "testDataset")
        known = table.labels if found is not None else None
        test, test_faults = read_table(files, scratch / "test", known=known, progress=progress)
        if found is not None and found[0] == "Multiclass":
            add_multiclass_faults(test, test_faults)
        collected.append(test_faults)
    raise_all(collected)
    if found is None:
        raise RuntimeError("faults were not raised")
    return table, test, *found


def _check(partition: Partition, task: Task, where: str) -> None:
    mask = partition.mask(TRAIN)
    labels = partition.table.labels
    counts = partition.sets.label_counts(partition.sets.counts(mask), len(labels))
    check_classes(counts, int(mask.sum()), task, labels, where)


def _set_aside(partition: Partition, side: int, share: float, seed: int, what: str, where: str) -> None:
    before = int(partition.mask(TRAIN).sum())
    moved = partition.set_aside(side, share, seed)
    if moved in (0, before):
        name = {TEST: "test", VALIDATION: "validation"}[side]
        missing = name if moved == 0 else "training"
        raise UserError(
            f"{what} of the {before} rows of {where} leaves no {missing} row: add rows, or change the share."
        )


def _set_aside_validation(partition: Partition, share: float | None, seed: int, where: str, warnings: Warnings) -> None:
    rows = int(partition.mask(TRAIN).sum())
    # Another seed than the test's: the same rows of each text set would come first again.
    if share is None:
        if auto := validation_share(rows):
            partition.set_aside(VALIDATION, auto, seed + 1, at_most=MAX_VALIDATION)
        else:
            warnings.add(f"no validation rows, since there are fewer than {MIN_ROWS} training rows: {NO_VALIDATION}")
    elif share == 0:
        warnings.add(f"no validation rows, since validation.split is 0: {NO_VALIDATION}")
    else:
        _set_aside(partition, VALIDATION, share, seed + 1, f"validation.split {share:g}", where)


def _split(table: Table, rows: Ids, folder: Path) -> Split:
    """The rows, ascending and perhaps repeated, with targets and lines in files of their own."""
    folder.mkdir()
    targets = ColumnWriter(folder / "targets", np.int8, len(table.labels))
    lines = ColumnWriter(folder / "lines", np.int64)
    for start, dense in table.target_chunks():
        low, high = np.searchsorted(rows, [start, start + len(dense)])
        for at in range(low, high, CHUNK):
            targets.extend(dense[rows[at : min(at + CHUNK, high)] - start])
    for at in range(0, len(rows), CHUNK):
        lines.extend(table.lines.at(rows[at : at + CHUNK]))
    column = write_column(folder / "rows", rows)
    return Split(Texts(table.texts, column), targets.close().mapped(), Numbers(lines.close()))


def _label_counts(split: Split) -> npt.NDArray[np.int64]:
    result = np.zeros(split.targets.shape[1], dtype=np.int64)
    for start in range(0, len(split), CHUNK):
        result += split.targets[start : start + CHUNK].sum(axis=0, dtype=np.int64)
    return result
