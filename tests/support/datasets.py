"""Reads data the way a run does, from files that a test writes."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from classifier_trainer.config import Columns, RunConfig, Source, parse
from classifier_trainer.data.completion import Completions
from classifier_trainer.data.faults import Faults
from classifier_trainer.data.load import load_dataset
from classifier_trainer.data.read import read_table
from classifier_trainer.data.rows import Dataset
from classifier_trainer.data.source import DataFiles
from classifier_trainer.data.table import Table, TableWriter

_numbers = itertools.count()


def scratch(folder: Path) -> Path:
    """A new folder in `folder`."""
    made = folder / f"scratch-{next(_numbers)}"
    made.mkdir()
    return made


def read(path: Path, *, uri: str = "u", columns: dict[str, Any] | None = None, **options: Any) -> tuple[Table, Faults]:
    """Reads one file as the train set."""
    files = DataFiles("trainDataset", uri, [path], columns=Columns.model_validate(columns or {}), **options)
    return read_table(files, scratch(path.parent))


def write_table(folder: Path, rows: Sequence[tuple[str, Any]], field: str = "trainDataset") -> Table:
    """A table of texts with completions of any form; the lines count from 1."""
    completions = Completions()
    writer = TableWriter(scratch(folder), completions)
    for line, (prompt, completion) in enumerate(rows, start=1):
        writer.add(line, prompt, *completions.parse(completion))
    return writer.close(field, "u")


def completions(table: Table) -> list[list[str]]:
    """The labels at 1 of each row."""
    result = []
    for _, counts, ones in table.label_chunks():
        at = 0
        for count in counts.tolist():
            result.append([table.labels[column] for column in ones[at : at + count].tolist()])
            at += count
    return result


def parsed(parts: dict[str, Any]) -> RunConfig:
    """A configuration of the parts about the data."""
    return parse({"baseModel": {"uri": "file:///none"}, "output": {"uri": "file:///none"}, **parts})


def config(train: Path, test: Path | float | None = None, **parts: Any) -> RunConfig:
    """A configuration of which only the data counts."""
    content: dict[str, Any] = {"trainDataset": {"uri": f"file://{train}", **parts.pop("trainDataset", {})}}
    if test is not None:
        content["testDataset"] = {"split": test} if isinstance(test, float) else {"uri": f"file://{test}"}
    return parsed({**content, **parts})


def fetch_file(source: Source, field: str) -> DataFiles:
    """The file of a `file://` source, as a run fetches it."""
    path = Path((source.uri or "").removeprefix("file://"))
    return DataFiles(field, "u", [path], source.format, source.columns or Columns())


def load(folder: Path, train: Path, test: Path | float | None = None, **parts: Any) -> Dataset:
    """The dataset of a run."""
    return load_dataset(config(train, test, **parts), fetch_file, scratch(folder))
