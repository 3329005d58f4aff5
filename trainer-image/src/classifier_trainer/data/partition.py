"""Which rows of the train set are trained on, validate, test, or are left out: a byte a row."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from classifier_trainer.data.column import CHUNK, Column
from classifier_trainer.data.duplicates import first_of_equal, repeats, union_sets
from classifier_trainer.data.label_sets import Ids, LabelSets, Mask, find_label_sets, group_by_set
from classifier_trainer.data.split import allocate, apportion
from classifier_trainer.data.table import Table

TRAIN, VALIDATION, TEST, LEFT_OUT = 0, 1, 2, 3


class Partition:
    """All rows are for training at first. Call `limit`, then `find_duplicates`, then `set_aside`, each at most once."""

    def __init__(self, table: Table, folder: Path) -> None:
        self.table = table
        self.sets: LabelSets = find_label_sets(table, folder / "sets")
        self.side = np.zeros(len(table), dtype=np.uint8)
        self.contradicting = 0
        self.contradictions: list[int] = []
        self._folder = folder
        self._first: Column | None = None
        self._ids = self.sets.ids

    @property
    def first(self) -> Column:
        """The first row with the text of each row; see `find_duplicates`."""
        if self._first is None:
            raise RuntimeError("find_duplicates comes first")
        return self._first

    def mask(self, side: int) -> Mask:
        """Which rows are on a side."""
        return np.asarray(self.side == side)

    @property
    def used(self) -> Mask:
        """Which rows are on any side but left out."""
        return np.asarray(self.side != LEFT_OUT)

    def rows(self, side: int) -> Ids:
        """The rows of a side, ascending."""
        # In pieces: the numbers of all rows at once would be eight bytes each.
        starts = range(0, max(1, len(self.side)), CHUNK)
        pieces = ((start, self.side[start : start + CHUNK] == side) for start in starts)
        return np.concatenate([(np.flatnonzero(piece) + start).astype(np.int32) for start, piece in pieces])

    def limit(self, size: int, *, exclusive: bool, seed: int) -> None:
        """Leaves out all but `size` rows, in the natural balance; `exclusive` where each row has one class."""
        everything = self.used
        if len(self.side) <= size:
            return
        counts = self.sets.counts(everything)
        few = (counts > 0).sum() <= (size if exclusive else size // 2)
        wanted = allocate(counts, size, each=bool(few), seed=seed)
        kept = group_by_set(self.sets, self.sets.ids, everything).draw(wanted, seed)
        self.side[:] = LEFT_OUT
        self.side[kept] = TRAIN

    def find_duplicates(self) -> None:
        """Finds the rows of one text, which stay together from now on."""
        self._first = first_of_equal(self.table.hashes, self.used, self._folder / "first")
        self._ids, self.contradicting, self.contradictions = union_sets(self.sets, self._first, self._folder / "united")

    def set_aside(self, side: int, share: float, seed: int, *, at_most: int | None = None) -> int:
        """Moves about `share` of the training rows to a side, stratified; returns how many rows these are."""
        leaders = self._leaders()
        counts = LabelSets(self._ids, self.sets.members).counts(leaders)
        wanted = apportion(self.sets.members, counts, share, seed)
        chosen = group_by_set(self.sets, self._ids, leaders).draw(wanted, seed)
        self.side[chosen] = side
        self._follow()
        if at_most is not None:
            self._give_back(side, chosen, at_most, seed)
        return int((self.side == side).sum())

    def _leaders(self) -> Mask:
        """The training rows that are the first of their text."""
        leaders = self.mask(TRAIN)
        for rows, _ in repeats(self.first):
            leaders[rows] = False
        return leaders

    def _follow(self) -> None:
        for rows, firsts in repeats(self.first):
            self.side[rows] = self.side[firsts]

    def _give_back(self, side: int, chosen: Ids, at_most: int, seed: int) -> None:
        """Many rows of one text count as one when sides are chosen: moves texts back until the rows are few enough."""
        over = int((self.side == side).sum()) - at_most
        if over <= 0:
            return
        size = np.ones(len(chosen), dtype=np.int64)
        order = np.argsort(chosen)
        for rows, firsts in repeats(self.first):
            mine = firsts[self.side[rows] == side]
            np.add.at(size, order[np.searchsorted(chosen, mine, sorter=order)], 1)
        mixed = np.random.default_rng(seed).permutation(len(chosen))
        # As few texts as are enough: those with many rows come first.
        mixed = mixed[np.argsort(-size[mixed], kind="stable")] if size.max() > 1 else mixed
        enough = int(np.searchsorted(np.cumsum(size[mixed]), over)) + 1
        self.side[chosen[mixed[:enough]]] = TRAIN
        self._follow()


def counts_by_side(partition: Partition, labels: int) -> dict[int, npt.NDArray[np.int64]]:
    """How many rows of each side have each label, in the natural balance."""
    return {
        side: partition.sets.label_counts(partition.sets.counts(partition.mask(side)), labels)
        for side in (TRAIN, VALIDATION, TEST)
    }
