"""CSV with a header: a text column and a label column, or a column a label."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from typing import BinaryIO

from classifier_trainer.config import Columns
from classifier_trainer.data.completion import Completions
from classifier_trainer.data.faults import Faults, RowError, shown
from classifier_trainer.data.jsonl import MAX_ROW
from classifier_trainer.data.names import Names, find_names, missing
from classifier_trainer.data.source import BOM
from classifier_trainer.data.table import TableWriter

_DELIMITERS = (",", ";", "\t")
_BITS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "false": 0, "true": 1}


def read_csv(stream: BinaryIO, columns: Columns, writer: TableWriter, faults: Faults, first_line: int = 1) -> int:
    """Reads all rows, each named by the line it begins on, and returns the number after the last line."""
    csv.field_size_limit(MAX_ROW)
    lines = _Lines(stream, first_line, faults)
    header_line = next((line for line in lines if line.strip()), None)
    if header_line is None:
        return lines.number + 1
    first_line = lines.number
    delimiter = _delimiter(header_line, columns)
    reader = csv.reader(_chained(header_line, lines), delimiter=delimiter, strict=True)
    rows = _Rows(writer.completions)
    begin = first_line
    while True:
        try:
            cells = next(reader, None)
        except csv.Error as error:
            # After a broken quote there is no telling where the next row begins.
            faults.add(begin, f"is not CSV ({error}): double a quote inside a quoted text")
            break
        if cells is None:
            break
        if rows.names is None:
            if fault := rows.header([cell.strip() for cell in cells], columns):
                faults.add(begin, fault)
                break
        elif cells and begin not in lines.broken:
            try:
                writer.add(begin, *rows.take(cells))
            except RowError as error:
                faults.add(begin, str(error))
        begin = first_line + reader.line_num
    return lines.number + 1


class _Lines(Iterator[str]):
    """Decoded lines with their ends; one that is no UTF-8 is a fault and stands with its bad bytes replaced."""

    def __init__(self, stream: BinaryIO, first_line: int, faults: Faults) -> None:
        self.number = first_line - 1
        self.broken: set[int] = set()
        self._stream = stream
        self._faults = faults

    def __next__(self) -> str:
        raw = self._stream.readline(MAX_ROW)
        if not raw:
            raise StopIteration
        if self.number == 0:
            raw = raw.removeprefix(BOM)
        self.number += 1
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError as error:
            self._faults.add(self.number, f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8")
            self.broken.add(self.number)
            return raw.decode("utf-8", errors="replace")


def _chained(first: str, rest: Iterator[str]) -> Iterator[str]:
    yield first
    yield from rest


def _delimiter(header: str, columns: Columns) -> str:
    """The first usual one under which the header has all columns, else a comma."""
    for delimiter in _DELIMITERS:
        try:
            cells = [cell.strip() for cell in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            continue
        if not missing(find_names(columns, cells), cells):
            return delimiter
    return ","


class _Rows:
    """Takes the cells of a row apart."""

    def __init__(self, completions: Completions) -> None:
        self.names: Names | None = None
        self._completions = completions
        self._width = 0
        self._prompt = self._completion = 0
        self._labels: list[tuple[str, int]] = []

    def header(self, cells: Sequence[str], columns: Columns) -> str:
        """Takes the header; returns what is wrong with it."""
        names = find_names(columns, cells)
        if fault := missing(names, cells):
            return fault
        if twice := [name for name in names.needed if cells.count(name) > 1]:
            return f"names the column {shown(twice[0])} twice"
        self.names, self._width = names, len(cells)
        self._prompt = cells.index(names.prompt)
        if names.labels is None:
            self._completion = cells.index(names.completion)
        else:
            self._labels = [(label, cells.index(label)) for label in names.labels]
        return ""

    def take(self, cells: Sequence[str]) -> tuple[str, list[int], int]:
        """The text of a row, the columns of its labels, and how many labels it names."""
        if len(cells) != self._width:
            raise RowError(
                f"has {len(cells)} columns, but the header has {self._width}: quote a text that holds the separator"
            )
        prompt = cells[self._prompt]
        if not self._labels:
            return prompt, *self._completions.parse(cells[self._completion])
        # Every label gets its column in the order of the configuration, whatever the first rows hold.
        columns = [self._completions.column(label) for label, _ in self._labels]
        ones, named = [], 0
        for (label, at), column in zip(self._labels, columns, strict=True):
            text = cells[at].strip().lower()
            if not text:
                continue
            if text not in _BITS:
                raise RowError(f"has the value {shown(cells[at])} for label {shown(label)}: write 0 or 1")
            named += 1
            if _BITS[text]:
                ones.append(column)
        return prompt, ones, named
