"""Reads the files of a source, whatever their form, into a table on disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from classifier_trainer.data.completion import Completions
from classifier_trainer.data.csv_rows import read_csv
from classifier_trainer.data.faults import Faults
from classifier_trainer.data.json_array import read_json
from classifier_trainer.data.jsonl import read_jsonl
from classifier_trainer.data.parquet import read_parquet
from classifier_trainer.data.source import DataFiles, find_format, opened, packing
from classifier_trainer.data.table import Table, TableWriter
from classifier_trainer.errors import UserError

_READERS = {"JSONL": read_jsonl, "JSON": read_json, "CSV": read_csv}


def read_table(
    files: DataFiles,
    folder: Path,
    *,
    known: Sequence[str] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Table, Faults]:
    """Reads everything into `folder`, and collects the faults of all rows; `known` are the labels there may be.

    `progress` is told the number of rows so far.

    Raises:
        UserError: a file that cannot be read at all, or nothing in any.
        TransientError: the disk is full.
    """
    faults = Faults(files.name, files.uri)
    with TableWriter(folder, Completions(known), progress) as writer:
        number = 1
        for path in files.paths:
            faults.file = path.name if len(files.paths) > 1 else ""
            form = find_format(path, files)
            if form == "Parquet":
                if packing(path) is not None:
                    raise UserError(
                        f"{files.where} is packed Parquet: it packs its columns itself, so unpack the file."
                    )
                number = read_parquet(path, files.columns, writer, faults, number)
            else:
                with opened(path, files) as stream:
                    number = _READERS[form](stream, files.columns, writer, faults, number)
        table = writer.close(files.name, files.uri)
    if not len(table) and not faults:
        raise UserError(
            f'{files.where} is empty: write a row a line, {{"prompt": text, "completion": {{label: 0 or 1}}}}.'
        )
    return table, faults
