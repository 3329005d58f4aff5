"""Texts in an Arrow file, of which only what is asked for comes into memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from classifier_trainer.data.column import Column, Memory, OnDisk

BATCH_ROWS = 4096
BATCH_CHARACTERS = 1 << 21
"""A batch of the file ends at either, so that one batch is never much memory."""
_SCHEMA = pa.schema([("prompt", pa.large_utf8())])

Rows = npt.NDArray[np.integer[Any]]


class ArrowWriter:
    """Writes batches of texts and takes the digest of all of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, _SCHEMA)
        self._starts = [0]
        self._digest = hashlib.blake2b(digest_size=16)

    def write(self, texts: Sequence[str]) -> None:
        """Adds a batch.

        Raises:
            UnicodeEncodeError: a text with half a surrogate pair.
        """
        array = pa.array(texts, type=pa.large_utf8())
        _, offsets, data = array.buffers()
        self._digest.update(offsets)
        if data is not None:
            self._digest.update(data)
        self._writer.write_batch(pa.record_batch([array], schema=_SCHEMA))
        self._starts.append(self._starts[-1] + len(texts))

    def close(self) -> ArrowFile:
        """The finished file; closing it again does nothing more."""
        if not self._sink.closed:
            self._writer.close()
            self._sink.close()
        return ArrowFile(self._path, np.array(self._starts, dtype=np.int64), self._digest.hexdigest())


class ArrowFile:
    """Texts of a whole file; `starts` is the first row of each batch and the number of rows, [batches + 1]."""

    def __init__(self, path: Path, starts: npt.NDArray[np.int64], digest: str) -> None:
        self.path = path
        self.digest = digest
        self._starts = starts
        self._reader: Any = None
        self._latest: tuple[int, Any] = (-1, None)

    def __len__(self) -> int:
        return int(self._starts[-1])

    def batches(self) -> Iterator[list[str]]:
        """All texts in order, a batch of the file at a time."""
        for number in range(len(self._starts) - 1):
            yield self._batch(number).to_pylist()

    def one(self, row: int) -> str:
        """The text of a row."""
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        return str(self._batch(number)[row - int(self._starts[number])].as_py())

    def at(self, rows: Rows) -> list[str]:
        """The texts of `rows`, in their order."""
        result: list[str] = [""] * len(rows)
        numbers = np.searchsorted(self._starts, rows, side="right") - 1
        order = np.argsort(numbers, kind="stable")
        edges = np.flatnonzero(np.diff(numbers[order])) + 1
        for part in np.split(order, edges) if len(rows) else []:
            number = int(numbers[part[0]])
            inside = pa.array(rows[part].astype(np.int64) - self._starts[number])
            for place, text in zip(part.tolist(), self._batch(number).take(inside).to_pylist(), strict=True):
                result[place] = text
        return result

    def _batch(self, number: int) -> Any:
        # Read rather than mapped: pages of a mapped file count as memory of the process for as long as it is mapped.
        if self._latest[0] != number:
            if self._reader is None:
                self._reader = pa.ipc.open_file(pa.OSFile(str(self.path), "rb"))
            self._latest = number, self._reader.get_batch(number).column(0)
        return self._latest[1]

    def __getstate__(self) -> dict[str, Any]:
        # Another process opens the file for itself.
        return {**self.__dict__, "_reader": None, "_latest": (-1, None)}


class Texts(OnDisk[str]):
    """Some rows of an Arrow file as a sequence; rows may repeat. `rows` is an array or a column on disk."""

    def __init__(self, file: ArrowFile, rows: Column) -> None:
        self.file = file
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def one(self, row: int) -> str:
        """The text at a place of this sequence."""
        return self.file.one(int(self.rows.read(row, row + 1)[0]))

    def some(self, rows: range) -> list[str]:
        """The texts at some places of this sequence."""
        if rows.step != 1:
            return self.at(np.arange(rows.start, rows.stop, rows.step))
        return self.file.at(self.rows.read(rows.start, rows.stop))

    def __iter__(self) -> Iterator[str]:
        for chunk in self.chunks():
            yield from chunk

    def at(self, rows: Rows) -> list[str]:
        """The texts at some places of this sequence, in their order."""
        return self.file.at(self.rows.at(rows))

    def chunks(self, size: int = BATCH_ROWS) -> Iterator[list[str]]:
        """All texts in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def take(self, rows: Rows) -> Texts:
        """The texts at some places of this sequence as a sequence; places may repeat."""
        return Texts(self.file, Memory(self.rows.at(rows)))

    def digest(self) -> str:
        """The same for the same texts in the same order, with all but certainty."""
        found = hashlib.blake2b(self.file.digest.encode(), digest_size=16)
        for _, rows in self.rows.chunks():
            found.update(rows.astype(np.int64).tobytes())
        return found.hexdigest()
