"""The rows of one source as they were read: on disk, in the order of the files, before the task is known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from classifier_trainer.data.column import CHUNK, Column, ColumnWriter
from classifier_trainer.data.completion import Completions
from classifier_trainer.data.texts import BATCH_CHARACTERS, BATCH_ROWS, ArrowFile, ArrowWriter
from classifier_trainer.errors import TransientError

_COLUMNS = {"lines": np.int64, "hashes": np.int64, "lengths": np.int32, "named": np.int32, "counts": np.int32}


@dataclass(frozen=True)
class Table:
    """Texts and labels of all rows: `ones` holds the columns at 1 of one row after the other, `counts[i]` of row i."""

    field: str
    """The field of the configuration that names the source, for messages: `trainDataset`."""
    uri: str
    labels: list[str]
    texts: ArrowFile
    lines: Column
    hashes: Column
    """Equal for equal texts of one process; different texts have different ones with all but certainty."""
    lengths: Column
    """Characters without the space around them: 0 is a text of nothing."""
    named: Column
    """How many labels the row names, or -1 where it says all by its own."""
    counts: Column
    ones: Column

    @property
    def where(self) -> str:
        """What messages call it."""
        return f"{self.field} '{self.uri}'"

    def __len__(self) -> int:
        return len(self.lines)

    def label_chunks(self) -> Iterator[tuple[int, npt.NDArray[np.int32], npt.NDArray[np.int32]]]:
        """Pieces of all rows: the first row, the rows' counts of labels, and their labels one after the other."""
        done = 0
        for start, counts in self.counts.chunks():
            total = int(counts.sum(dtype=np.int64))
            yield start, counts, self.ones.read(done, done + total)
            done += total

    def target_chunks(self) -> Iterator[tuple[int, npt.NDArray[np.int8]]]:
        """Pieces of all rows: the first row, and targets [rows, labels]."""
        step = max(1, min(CHUNK, (1 << 24) // max(1, len(self.labels))))
        for start, counts, ones in self.label_chunks():
            ends = np.cumsum(counts, dtype=np.int64)
            for at in range(0, len(counts), step):
                part = counts[at : at + step]
                first = int(ends[at] - counts[at])
                targets = np.zeros((len(part), len(self.labels)), dtype=np.int8)
                targets[np.repeat(np.arange(len(part)), part), ones[first : first + int(part.sum())]] = 1
                yield start + at, targets


class TableWriter:
    """Collects rows and writes them in batches."""

    def __init__(self, folder: Path, completions: Completions, progress: Callable[[int], None] | None = None) -> None:
        """Writes into `folder`; `progress` is told the number of rows after each batch."""
        folder.mkdir(parents=True, exist_ok=True)
        self._progress = progress
        self.completions = completions
        self.rows = 0
        self._arrow = ArrowWriter(folder / "prompts.arrow")
        self._columns = {name: ColumnWriter(folder / name, dtype) for name, dtype in _COLUMNS.items()}
        self._ones = ColumnWriter(folder / "ones", np.int32)
        self._characters = 0
        self._clear()

    def _clear(self) -> None:
        self._prompts: list[str] = []
        self._batch: dict[str, list[int]] = {"lines": [], "named": [], "counts": []}
        self._batch_ones: list[int] = []
        self._characters = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Closes the files, also of a table that will not be finished."""
        self._arrow.close()
        for column in (self._ones, *self._columns.values()):
            column.close()

    def add(self, line: int, prompt: str, ones: Sequence[int], named: int) -> None:
        """A row without faults.

        Raises:
            TransientError: the disk is full.
        """
        batch = self._batch
        batch["lines"].append(line)
        batch["named"].append(named)
        batch["counts"].append(len(ones))
        self._prompts.append(prompt)
        self._batch_ones += ones
        self._characters += len(prompt)
        if self._characters >= BATCH_CHARACTERS or len(self._prompts) >= BATCH_ROWS:
            self._flush()

    def _flush(self) -> None:
        if not self._prompts:
            return
        try:
            self._write_batch()
        except OSError as error:
            raise TransientError(f"the rows cannot be kept on this machine's disk: {error}.") from error
        self._clear()
        if self._progress is not None:
            self._progress(self.rows)

    def _write_batch(self) -> None:
        self._arrow.write(self._prompts)
        self.rows += len(self._prompts)
        # Python's own hash of a text is computed in C, and keyed anew in every process: nobody can choose texts that
        # collide. What is made of it depends only on which are equal.
        values = {
            **self._batch,
            "hashes": list(map(hash, self._prompts)),
            "lengths": [len(prompt.strip()) for prompt in self._prompts],
        }
        for name, column in self._columns.items():
            column.extend(np.array(values[name], dtype=_COLUMNS[name]))
        self._ones.extend(np.array(self._batch_ones, dtype=np.int32))

    def close(self, field: str, uri: str) -> Table:
        """The finished table."""
        self._flush()
        columns = {name: column.close() for name, column in self._columns.items()}
        return Table(field, uri, self.completions.names, self._arrow.close(), ones=self._ones.close(), **columns)
