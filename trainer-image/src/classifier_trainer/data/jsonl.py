"""Rows a line: {"prompt": text, "completion": {label: 0 | 1, ...}}."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

from classifier_trainer.config import Columns
from classifier_trainer.data.completion import Completions, encodable, unique, zero_or_one
from classifier_trainer.data.faults import Faults, RowError, shown
from classifier_trainer.data.names import Names, find_names
from classifier_trainer.data.source import BOM
from classifier_trainer.data.table import TableWriter

_BLOCK = 1 << 20
MAX_ROW = 1 << 26
"""Bytes of a row: a longer one is no text to classify, and would have to fit in memory."""
_SHOWN = 5
_SCAN: Callable[[str, int], tuple[Any, int]] = json.JSONDecoder().scan_once  # type: ignore[attr-defined]  # undocumented


def read_jsonl(stream: BinaryIO, columns: Columns, writer: TableWriter, faults: Faults, first_line: int = 1) -> int:
    """Reads all lines, numbered from `first_line`, and returns the number after the last."""
    rows = RowReader(columns, writer.completions)
    for number, block in _blocks(stream, first_line, faults):
        if b"\r" in block:
            block = block.replace(b"\r\n", b"\n").removesuffix(b"\r")
        try:
            lines = block.decode("utf-8").split("\n")
        except UnicodeDecodeError:
            for offset, raw in enumerate(block.split(b"\n")):
                _slow(raw, number + offset, rows, writer, faults)
            continue
        for offset, line in enumerate(lines):
            try:
                row, end = _SCAN(line, 0)
            except (StopIteration, ValueError, RecursionError):
                end, row = -1, None
            # As many colons as there are names: none stands twice, and there is nothing to be looked at more closely.
            if end == len(line) and rows.plain(row, line):
                try:
                    prompt, ones, named = rows.take(row)
                except RowError as error:
                    faults.add(number + offset, str(error))
                else:
                    writer.add(number + offset, prompt, ones, named)
            elif line:
                _slow(line.encode("utf-8"), number + offset, rows, writer, faults)
        first_line = number + len(lines)
    return first_line


class RowReader:
    """Takes parsed rows apart; the first row decides how the columns are called where the configuration does not."""

    def __init__(self, columns: Columns, completions: Completions) -> None:
        self._columns = columns
        self._completions = completions
        self._names: Names | None = None

    def plain(self, row: Any, line: str) -> bool:
        """Whether the line holds no name twice, seen without parsing it again."""
        if row.__class__ is not dict or self._names is None:
            return False
        completion = row.get(self._names.completion)
        names = len(row) + (len(completion) if completion.__class__ is dict else 0)
        return line.count(":") == names

    def take(self, row: Any) -> tuple[str, list[int], int]:
        """The text of a row, the columns of its labels, and how many labels it names.

        Raises:
            RowError: what is wrong with it.
        """
        if not isinstance(row, dict):
            raise RowError('is not an object: write {"prompt": …, "completion": …}')
        if self._names is None:
            self._names = find_names(self._columns, row)
        names = self._names
        prompt = row.get(names.prompt)
        if not isinstance(prompt, str):
            found = f"a {names.prompt} that is not a text" if names.prompt in row else f"no {names.prompt}"
            raise RowError(f"has {found}")
        if not encodable(prompt):
            raise RowError(
                f"has a {names.prompt} with half a surrogate pair (\\ud800 to \\udfff): write the whole character"
            )
        if names.labels is not None:
            return prompt, *self._a_column_a_label(row, names.labels)
        completion = row.get(names.completion)
        if completion.__class__ is dict:
            return prompt, *self._completions.of_object(completion)
        if completion is None and names.completion not in row:
            raise RowError(f"has no {names.completion}")
        return prompt, *self._completions.parse(completion)

    def _a_column_a_label(self, row: dict[str, Any], labels: list[str]) -> tuple[list[int], int]:
        given = [label for label in labels if row.get(label) is not None]
        if not given:
            some = ", ".join(shown(label) for label in labels[:_SHOWN])
            raise RowError(f"has none of the columns {some} of columns.labels")
        # Every label gets its column in the order of the configuration, whatever the first rows hold.
        columns = {label: self._completions.column(label) for label in labels}
        return [columns[label] for label in given if zero_or_one(row[label], label)], len(given)


def _blocks(stream: BinaryIO, number: int, faults: Faults) -> Iterator[tuple[int, bytes]]:
    """Whole lines, about a megabyte at a time, each with the number of its first line."""
    rest, first = b"", True
    while block := stream.read(_BLOCK):
        if first:
            block, first = block.removeprefix(BOM), False
        rest += block
        cut = rest.rfind(b"\n")
        if cut < 0:
            if len(rest) > MAX_ROW:
                faults.add(number, f"is longer than {MAX_ROW >> 20} MiB: is the file JSONL, a row a line?")
                return
            continue
        yield number, rest[:cut]
        number += rest.count(b"\n", 0, cut + 1)
        rest = rest[cut + 1 :]
    if rest:
        yield number, rest


def _slow(raw: bytes, number: int, rows: RowReader, writer: TableWriter, faults: Faults) -> None:
    """A line that is blank or odd: says what is wrong with it."""
    line = raw.rstrip(b"\r")
    if not line.strip():
        return
    try:
        # Only the bytes say where a character is broken.
        row = json.loads(line.decode("utf-8"), object_pairs_hook=unique)
        writer.add(number, *rows.take(row))
    except UnicodeDecodeError as error:
        faults.add(number, f"is not UTF-8 (byte {error.start + 1}): save the file as UTF-8")
    except RowError as error:
        faults.add(number, str(error))
    except json.JSONDecodeError as error:
        faults.add(number, f"is not JSON ({error.msg} at column {error.colno})")
    except (ValueError, RecursionError):
        faults.add(number, "is not JSON that can be read (a number too long or nested too deep)")
