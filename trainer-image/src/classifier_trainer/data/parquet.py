"""Parquet, with the names of classes from the metadata that the hub's data sets carry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from classifier_trainer.config import Columns
from classifier_trainer.data.completion import Completions, zero_or_one
from classifier_trainer.data.faults import Faults, RowError, shown
from classifier_trainer.data.names import Names, find_names, missing
from classifier_trainer.data.table import TableWriter
from classifier_trainer.errors import UserError

_BATCH = 4096


def read_parquet(path: Path, columns: Columns, writer: TableWriter, faults: Faults, first_row: int = 1) -> int:
    """Reads all rows, numbered from `first_row`, and returns the number after the last.

    Raises:
        UserError: it is no Parquet, or lacks a column.
    """
    number = first_row
    try:
        # Row groups are read page by page: one of them may be the whole file.
        with pq.ParquetFile(path, memory_map=False, pre_buffer=False, buffer_size=1 << 20) as file:
            schema = file.schema_arrow
            names = find_names(columns, schema.names)
            if fault := missing(names, schema.names):
                raise UserError(f"{faults.where} {fault}.")
            if twice := [name for name in names.needed if schema.names.count(name) > 1]:
                raise UserError(f"{faults.where} has the column {shown(twice[0])} twice.")
            rows = _Rows(names, schema, writer.completions)
            if fault := rows.unreadable(schema):
                raise UserError(f"{faults.where} {fault}.")
            for batch in file.iter_batches(batch_size=_BATCH, columns=names.needed, use_threads=False):
                for row in batch.to_pylist():
                    try:
                        writer.add(number, *rows.take(row))
                    except RowError as error:
                        faults.add(number, str(error))
                    number += 1
    except pa.ArrowException as error:
        raise UserError(f"{faults.where} is not Parquet that can be read: {_line(error)}.") from None
    except UnicodeDecodeError:
        raise UserError(f"{faults.where} holds a text that is not UTF-8 (after row {number - 1}).") from None
    except OSError as error:
        raise UserError(f"{faults.where} is not Parquet that can be read: {_line(error)}.") from None
    return number


class _Rows:
    """Takes rows of a batch apart."""

    def __init__(self, names: Names, schema: pa.Schema, completions: Completions) -> None:
        self._names = names
        self._completions = completions
        self._classes = None if names.labels is not None else class_names(schema, names.completion)

    def unreadable(self, schema: pa.Schema) -> str:
        """What of the columns' types cannot be read, as the rest of a sentence; empty if nothing."""
        kind = schema.field(self._names.prompt).type
        if pa.types.is_dictionary(kind):
            kind = kind.value_type
        if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
            return ""
        return f"has the type {kind} in column {shown(self._names.prompt)}: texts must be strings"

    def take(self, row: dict[str, Any]) -> tuple[str, list[int], int]:
        """The text of a row, the columns of its labels, and how many labels it names."""
        prompt = row[self._names.prompt]
        if prompt is None:
            raise RowError(f"has no {self._names.prompt}")
        if self._names.labels is not None:
            return prompt, *self._a_column_a_label(row, self._names.labels)
        completion = row[self._names.completion]
        if completion is None:
            raise RowError(f"has no {self._names.completion}")
        return prompt, *self._completions.parse(self._plain(completion))

    def _a_column_a_label(self, row: dict[str, Any], labels: list[str]) -> tuple[list[int], int]:
        columns = [self._completions.column(label) for label in labels]
        values = [(int(v) if isinstance(v, bool) else v) for v in map(row.__getitem__, labels)]
        ones = [
            column
            for label, column, value in zip(labels, columns, values, strict=True)
            if value is not None and zero_or_one(value, label)
        ]
        return ones, sum(value is not None for value in values)

    def _plain(self, value: Any) -> Any:
        """As JSON would have it: a struct's labels that this row leaves out are null there."""
        match value:
            case dict():
                return {str(label): _number(number) for label, number in value.items() if number is not None}
            case list():
                if value and all(isinstance(item, tuple) and len(item) == 2 for item in value):
                    return {str(label): _number(number) for label, number in value if number is not None}
                return [self._plain(item) for item in value]
            case bool():
                return "true" if value else "false"
            case int() if self._classes is not None:
                if not 0 <= value < len(self._classes):
                    raise RowError(f"has the class {value}, but the metadata names {len(self._classes)} classes")
                return self._classes[value]
            case float() if value.is_integer():
                return int(value)
        return value


def _number(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value


def class_names(schema: pa.Schema, column: str) -> list[str] | None:
    """The names of the classes of a column, where the hub's metadata in the file says them."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        feature: Any = features[column]
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
    # A list of labels is written as Sequence, as List, or as a list with its one feature.
    for _ in range(2):
        if isinstance(feature, list) and len(feature) == 1:
            feature = feature[0]
        elif isinstance(feature, Mapping) and feature.get("_type") in ("Sequence", "List", "LargeList"):
            feature = feature.get("feature")
    if not isinstance(feature, Mapping) or feature.get("_type") != "ClassLabel":
        return None
    names = feature.get("names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return None
    return [str(name) for name in names]


def _line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")
