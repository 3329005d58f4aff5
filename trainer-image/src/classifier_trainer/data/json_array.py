"""One JSON array of rows, read piece by piece: it need not fit in memory."""

from __future__ import annotations

import codecs
import json
from typing import Any, BinaryIO

from classifier_trainer.config import Columns
from classifier_trainer.data.completion import unique
from classifier_trainer.data.faults import Faults, RowError
from classifier_trainer.data.jsonl import MAX_ROW, RowReader
from classifier_trainer.data.table import TableWriter

_BLOCK = 1 << 20
_SPACE = " \t\n\r"
_DECODER = json.JSONDecoder(object_pairs_hook=unique)


class _BrokenError(Exception):
    """The rest of the file cannot be read: there is no telling where the next row begins."""


def read_json(stream: BinaryIO, columns: Columns, writer: TableWriter, faults: Faults, first_line: int = 1) -> int:
    """Reads all rows, each named by the line it begins on, and returns the number after the last line."""
    text = _Text(stream, first_line)
    rows = RowReader(columns, writer.completions)
    try:
        if text.next() == "":
            return text.line + 1
        text.expect("[", 'is not an array: write [{"prompt": …, "completion": …}, …]')
        if text.next() == "]":
            text.skip()
        else:
            while True:
                text.next()
                line = text.line
                try:
                    row = text.value()
                    writer.add(line, *rows.take(row))
                except RowError as error:
                    faults.add(line, str(error))
                if text.next() == "]":
                    text.skip()
                    break
                text.expect(",", "has no ',' or ']' after a row")
        if text.next() != "":
            raise _BrokenError("has more after the end of the array: write one array")
    except _BrokenError as error:
        faults.add(text.line, str(error))
    except UnicodeDecodeError:
        faults.add(text.line_of_end(), "is not UTF-8: save the file as UTF-8")
    return text.line + 1


class _Text:
    """The decoded text from a place on, as far as it was needed."""

    def __init__(self, stream: BinaryIO, line: int) -> None:
        self.line = line
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self._text = ""
        self._at = 0
        self._ended = False

    def next(self) -> str:
        """Skips space and returns the character there, without taking it; empty at the end."""
        while True:
            while self._at < len(self._text):
                character = self._text[self._at]
                if character not in _SPACE:
                    return character
                self.line += character == "\n"
                self._at += 1
            if not self._more():
                return ""

    def skip(self) -> None:
        """Takes one character."""
        self._at += 1

    def expect(self, character: str, otherwise: str) -> None:
        """Takes this character, the next one but for space."""
        if self.next() != character:
            raise _BrokenError(otherwise)
        self.skip()

    def value(self) -> Any:
        """Takes a whole JSON value.

        Raises:
            RowError: a name stands twice in it; the value is taken.
        """
        wanted = _BLOCK
        while True:
            begin = self._at
            try:
                found, end = _parse(self._text, begin)
            except json.JSONDecodeError as error:
                # Broken, or not here to its end yet.
                if not self._more():
                    raise _BrokenError(f"has a row that is not JSON ({error.msg}): the rest was not read") from None
            except (ValueError, RecursionError):
                raise _BrokenError("has a row that cannot be read (a number too long or nested too deep)") from None
            else:
                # A number or a word may go on in what is not here yet.
                if end < len(self._text) or not self._more():
                    self.line += self._text.count("\n", begin, end)
                    self._at = end
                    if isinstance(found, RowError):
                        raise found
                    return found
            while len(self._text) - self._at < wanted and self._more():
                pass
            wanted *= 2
            if len(self._text) - self._at > MAX_ROW:
                raise _BrokenError(f"has a row that is not JSON, or longer than {MAX_ROW >> 20} MiB")

    def line_of_end(self) -> int:
        """The line of the last character that could be decoded."""
        return self.line + self._text.count("\n", self._at)

    def _more(self) -> bool:
        if self._ended:
            return False
        block = self._stream.read(_BLOCK)
        self._ended = not block
        self._text = self._text[self._at :] + self._decoder.decode(block, final=self._ended)
        self._at = 0
        return not self._ended


def _parse(text: str, at: int) -> tuple[Any, int]:
    """A value and where it ends; a name that stands twice is returned as the error."""
    try:
        return _DECODER.raw_decode(text, at)
    except RowError as error:
        return error, json.JSONDecoder().raw_decode(text, at)[1]
