"""Numbers of rows on disk, read in chunks or at single rows, so that no set of data has to fit in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar, overload

import numpy as np
import numpy.typing as npt

CHUNK = 1 << 17
"""Rows that are worked on at once."""
_DENSE = 16

Array = npt.NDArray[Any]
Item = TypeVar("Item")


class OnDisk(Sequence[Item]):
    """A sequence of rows of which only what is asked for comes into memory."""

    @abstractmethod
    def one(self, row: int) -> Item:
        """The row at `row`, which is there."""

    @abstractmethod
    def some(self, rows: range) -> list[Item]:
        """The rows at `rows`, which are all there."""

    @overload
    def __getitem__(self, index: int) -> Item: ...
    @overload
    def __getitem__(self, index: slice) -> list[Item]: ...
    def __getitem__(self, index: int | slice) -> Item | list[Item]:
        if isinstance(index, slice):
            return self.some(range(*index.indices(len(self))))
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(index)
        return self.one(row)


class Column:
    """A file of numbers of one type, one or `width` of them a row."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, width: int | None = None) -> None:
        self.path = path
        self.dtype = np.dtype(dtype)
        self.width = width
        self._bytes = self.dtype.itemsize * (1 if width is None else width)
        self._rows = path.stat().st_size // self._bytes

    def __len__(self) -> int:
        return self._rows

    def read(self, start: int = 0, stop: int | None = None) -> Array:
        """A copy of the rows from `start` to `stop`."""
        count = max(0, min(len(self) if stop is None else stop, len(self)) - start)
        numbers = count * (1 if self.width is None else self.width)
        found = np.fromfile(self.path, self.dtype, numbers, offset=start * self._bytes)
        return np.asarray(found if self.width is None else found.reshape(count, self.width))

    def chunks(self, size: int = CHUNK) -> Iterator[tuple[int, Array]]:
        """Copies of all rows in pieces, each with the number of its first row."""
        for start in range(0, len(self), size):
            yield start, self.read(start, start + size)

    def at(self, rows: Array) -> Array:
        """A copy of some rows, in the order of `rows`."""
        if len(rows) == 0:
            return self.read(0, 0)
        low, high = int(rows.min()), int(rows.max()) + 1
        if high - low <= _DENSE * len(rows):
            return np.asarray(self.read(low, high)[rows - low])
        # Mapped for this moment only: pages of a file that stays mapped count as memory of the process.
        return np.array(self.mapped()[rows])

    def mapped(self) -> Array:
        """The whole column as an array that the file stands behind."""
        if len(self) == 0:
            return self.read()
        shape = (len(self),) if self.width is None else (len(self), self.width)
        return np.memmap(self.path, self.dtype, "r", shape=shape)


class Memory(Column):
    """A column that is an array in memory: for few rows."""

    def __init__(self, values: Array) -> None:
        self._values = np.asarray(values)
        self.dtype = self._values.dtype
        self.width = self._values.shape[1] if self._values.ndim == 2 else None

    def __len__(self) -> int:
        return len(self._values)

    def read(self, start: int = 0, stop: int | None = None) -> Array:
        """A copy of the rows from `start` to `stop`."""
        return np.array(self._values[start:stop])

    def at(self, rows: Array) -> Array:
        """A copy of some rows, in the order of `rows`."""
        return np.array(self._values[rows])

    def mapped(self) -> Array:
        """The array itself."""
        return self._values


class ColumnWriter:
    """Writes a column piece by piece."""

    def __init__(self, path: Path, dtype: npt.DTypeLike, width: int | None = None) -> None:
        self._path, self._dtype, self._width = path, np.dtype(dtype), width
        self._file = path.open("wb")

    def extend(self, values: npt.ArrayLike) -> None:
        """Adds numbers at the end."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).tobytes())

    def close(self) -> Column:
        """The finished column; closing it again does nothing more."""
        self._file.close()
        return Column(self._path, self._dtype, self._width)


def write_column(path: Path, values: Array) -> Column:
    """A column of an array, one-dimensional or a row a line."""
    writer = ColumnWriter(path, values.dtype, values.shape[1] if values.ndim == 2 else None)
    for start in range(0, len(values), CHUNK):
        writer.extend(values[start : start + CHUNK])
    return writer.close()
