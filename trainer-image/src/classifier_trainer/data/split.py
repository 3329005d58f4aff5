"""Stratified draws for every kind of task: how many rows of each label set go where."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_REST = -1
Counts = npt.NDArray[np.int64]


def apportion(members: Sequence[tuple[int, ...]], counts: Counts, share: float, seed: int) -> Counts:
    """How many of the `counts[s]` rows of each label set are set aside, so that about `share` of each label's are.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011) over label-set counts: what is whole in a set's
    share is decided by the set alone; of the row that is left over the rarest label decides first, for the side that
    lacks most of it. A label with one row stays, one with two is on both sides. Rows without a label are a label of
    their own, so that Binary and Multiclass are the usual stratified split.
    """
    aside = np.floor(counts * share).astype(np.int64)
    left = counts - aside - np.floor(counts - counts * share).astype(np.int64)
    totals: dict[int, int] = defaultdict(int)
    given: dict[int, int] = defaultdict(int)
    kept: dict[int, int] = defaultdict(int)
    waiting: dict[int, list[int]] = defaultdict(list)
    for found in np.flatnonzero(counts).tolist():
        for label in members[found] or (_REST,):
            totals[label] += int(counts[found])
            given[label] += int(aside[found])
            kept[label] += int(counts[found] - aside[found] - left[found])
            if left[found]:
                waiting[label].append(found)
    wanted = {label: _wanted(total, share, given[label], kept[label]) for label, total in totals.items()}
    rows, gone = int(counts.sum()), int(aside.sum())
    room = [(1 - share) * rows - (rows - gone - int(left.sum())), share * rows - gone]
    generator = random.Random(seed)  # noqa: S311  # no secret depends on it
    done: set[int] = set()
    for label in sorted(waiting, key=lambda label: (totals[label], label)):
        queue = [found for found in waiting[label] if found not in done]
        generator.shuffle(queue)
        for found in queue:
            done.add(found)
            chosen = _choose(wanted[label], room, generator)
            aside[found] += chosen
            room[chosen] -= 1
            for each in members[found] or (_REST,):
                wanted[each][chosen] -= 1
    return np.asarray(aside)


def _wanted(count: int, share: float, given: int, kept: int) -> list[float]:
    aside = 0.0 if count < 2 else min(max(count * share, 1.0), count - 1.0)
    return [count - aside - kept, aside - given]


def _choose(wanted: list[float], room: list[float], generator: random.Random) -> int:
    if wanted[0] != wanted[1]:
        return int(wanted[1] > wanted[0])
    if room[0] != room[1]:
        return int(room[1] > room[0])
    return generator.randrange(2)


def allocate(counts: Counts, size: int, *, each: bool, seed: int) -> Counts:
    """`size` of all rows in the balance of their label sets; with `each` one of every set first, as far as it goes."""
    if counts.sum() <= size:
        return np.asarray(counts.copy())
    quota = counts * (size / counts.sum())
    result = np.floor(quota).astype(np.int64)
    if each and (counts > 0).sum() <= size:
        result = np.maximum(result, counts > 0)
        while result.sum() > size:
            result[result.argmax()] -= 1
    # The largest remainders take what is missing; equal ones by chance.
    remainders = np.where(counts > result, quota - result, -np.inf)
    order = np.lexsort((np.random.default_rng(seed).random(len(counts)), -remainders))
    result[order[: size - int(result.sum())]] += 1
    return np.asarray(result)


def validation_share(rows: int) -> float:
    """A tenth of the training rows, but at least 100 and at most 5,000 of them; 0 where they are too few to do without.

    `rows` are the training rows without those of the test.
    """
    if rows < MIN_ROWS:
        return 0.0
    return min(max(0.1 * rows, MIN_VALIDATION), MAX_VALIDATION) / rows


MIN_ROWS = 500
MIN_VALIDATION = 100
MAX_VALIDATION = 5000
