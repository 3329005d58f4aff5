"""Which labels a row has, as one number: rows of one number are alike to whatever draws or splits them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier_trainer.data.column import Column, ColumnWriter
from classifier_trainer.data.table import Table

Ids = npt.NDArray[np.int32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class LabelSets:
    """`ids` [rows] are indices into `members`: 0 is no label, 1 + j label j alone, and beyond are sets of several."""

    ids: Column
    members: list[tuple[int, ...]]

    def counts(self, chosen: Mask) -> npt.NDArray[np.int64]:
        """How many of the chosen rows have each set."""
        result = np.zeros(len(self.members), dtype=np.int64)
        for start, ids in self.ids.chunks():
            result += np.bincount(ids[chosen[start : start + len(ids)]], minlength=len(self.members))
        return result

    def label_counts(self, counts: npt.NDArray[np.int64], labels: int) -> npt.NDArray[np.int64]:
        """How many rows have each label, from the counts of the sets."""
        result = np.zeros(labels, dtype=np.int64)
        for found in np.flatnonzero(counts).tolist():
            for label in self.members[found]:
                result[label] += counts[found]
        return result

    def add(self, labels: Iterable[int]) -> int:
        """The index of a set, a new one if it is not there yet. Slow: for few."""
        wanted = tuple(sorted(labels))
        if len(wanted) < 2:
            return 1 + wanted[0] if wanted else 0
        try:
            return self.members.index(wanted)
        except ValueError:
            self.members.append(wanted)
            return len(self.members) - 1


def find_label_sets(table: Table, path: Path) -> LabelSets:
    """Numbers the sets of all rows and writes the numbers to `path`."""
    width = len(table.labels)
    # Sets of several labels are told apart by sums of random numbers, one a label.
    keys = np.random.default_rng(0).integers(1, 1 << 63, size=width, dtype=np.uint64)
    members: list[tuple[int, ...]] = [(), *((label,) for label in range(width))]
    known: dict[int, int] = {}
    writer = ColumnWriter(path, np.int32)
    for _, counts, ones in table.label_chunks():
        starts = np.cumsum(counts, dtype=np.int64) - counts
        ids = np.zeros(len(counts), dtype=np.int32)
        single = counts == 1
        ids[single] = 1 + ones[starts[single]]
        several = np.flatnonzero(counts > 1)
        if len(several):
            some = np.flatnonzero(counts)
            sums = np.zeros(len(counts), dtype=np.uint64)
            sums[some] = np.add.reduceat(keys[ones], starts[some])
            found, first, inverse = np.unique(sums[several], return_index=True, return_inverse=True)
            numbers = np.empty(len(found), dtype=np.int32)
            for index, (key, at) in enumerate(zip(found.tolist(), several[first].tolist(), strict=True)):
                if key not in known:
                    known[key] = len(members)
                    members.append(tuple(sorted(ones[starts[at] : starts[at] + counts[at]].tolist())))
                numbers[index] = known[key]
            ids[several] = numbers[inverse]
        writer.extend(ids)
    return LabelSets(writer.close(), members)


@dataclass(frozen=True)
class Grouped:
    """Rows by their set: those of set s are `rows[starts[s]:starts[s + 1]]`, ascending until they are drawn from."""

    rows: Ids
    starts: npt.NDArray[np.int64]

    def draw(self, wanted: npt.NDArray[np.int64], seed: int) -> Ids:
        """`wanted[s]` rows of each set at random, in no order; this mixes `rows` inside the sets."""
        generator = np.random.default_rng(seed)
        parts = [self.rows[:0]]
        for found in np.flatnonzero(wanted).tolist():
            part = self.rows[self.starts[found] : self.starts[found + 1]]
            if wanted[found] < len(part):
                generator.shuffle(part)
            parts.append(part[: wanted[found]])
        return np.concatenate(parts)


def group_by_set(sets: LabelSets, ids: Column, chosen: Mask) -> Grouped:
    """The chosen rows by their number in `ids`; four bytes a row in memory."""
    counts = np.zeros(len(sets.members), dtype=np.int64)
    for start, found in ids.chunks():
        counts += np.bincount(found[chosen[start : start + len(found)]], minlength=len(counts))
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    rows = np.empty(int(starts[-1]), dtype=np.int32)
    at = starts[:-1].copy()
    for start, found in ids.chunks():
        here = np.flatnonzero(chosen[start : start + len(found)])
        if not len(here):
            continue
        order = np.argsort(found[here], kind="stable")
        kinds, first, number = np.unique(found[here][order], return_index=True, return_counts=True)
        rows[np.repeat(at[kinds] - first, number) + np.arange(len(here))] = here[order] + start
        at[kinds] += number
    return Grouped(rows, starts)
