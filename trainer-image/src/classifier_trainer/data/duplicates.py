"""Rows with the same text, found by 64-bit hashes without a table of all texts in memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_trainer.data.column import Column, ColumnWriter, write_column
from classifier_trainer.data.label_sets import LabelSets, Mask

_BUCKET = 1 << 20
"""About as many hashes are sorted at once."""


def first_of_equal(hashes: Column, chosen: Mask, path: Path) -> Column:
    """For each chosen row the first chosen one with its hash, [rows] int32; a row that is not chosen has its own."""
    first = np.arange(len(hashes), dtype=np.int32)
    for rows, values in _buckets(hashes, chosen):
        order = np.argsort(values, kind="stable")  # stable: the first of equal ones is the first in the file
        values, rows = values[order], rows[order]
        begins = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
        first[rows] = np.repeat(rows[begins], np.diff(np.append(begins, len(rows))))
    return write_column(path, first)


def count_known(hashes: Column, known: Column, chosen: Mask, shown: int) -> tuple[int, list[int]]:
    """How many rows have a hash that one of the chosen rows of `known` has, and the first `shown` of these rows."""
    found = 0
    rows: list[int] = []
    everything = np.ones(len(hashes), dtype=np.bool_)
    parts = _parts(max(len(hashes), len(known)))
    for number in range(parts):
        here, values = _bucket(hashes, everything, number, parts)
        _, there = _bucket(known, chosen, number, parts)
        both = here[np.isin(values, there)]
        found += len(both)
        rows = sorted([*rows, *both[:shown].tolist()])[:shown]
    return found, rows


def union_sets(sets: LabelSets, first: Column, path: Path) -> tuple[Column, int, list[int]]:
    """The numbers of the label sets, with the union of all of a text's labels at its first row.

    Also returns how many rows have other labels than the first row of their text, and the first few of these.
    """
    unions: dict[int, set[int]] = {}
    contradicting = 0
    examples: list[int] = []
    for rows, firsts in repeats(first):
        mine, other = sets.ids.at(rows), sets.ids.at(firsts)
        for at in np.flatnonzero(mine != other).tolist():
            union = unions.setdefault(int(firsts[at]), set(sets.members[other[at]]))
            union.update(sets.members[mine[at]])
            contradicting += 1
            if len(examples) < 20:
                examples.append(int(rows[at]))
    numbers: dict[tuple[int, ...], int] = {}
    changed = {}
    for row, union in unions.items():
        key = tuple(sorted(union))
        if key not in numbers:
            numbers[key] = sets.add(key)
        changed[row] = numbers[key]
    if not changed:
        return sets.ids, contradicting, examples
    heads = np.array(sorted(changed), dtype=np.int64)
    values = np.array([changed[row] for row in heads.tolist()], dtype=np.int32)
    writer = ColumnWriter(path, np.int32)
    for start, ids in sets.ids.chunks():
        low, high = np.searchsorted(heads, [start, start + len(ids)])
        ids[heads[low:high] - start] = values[low:high]
        writer.extend(ids)
    return writer.close(), contradicting, examples


def repeats(first: Column) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pieces of the rows whose text stands in an earlier row: the rows, and those first ones."""
    for start, found in first.chunks():
        here = np.flatnonzero(found != np.arange(start, start + len(found)))
        if len(here):
            yield here + start, found[here].astype(np.int64)


def _parts(rows: int) -> int:
    # A power of two, so that the upper bits of a hash are the number of its bucket.
    return 1 << max(0, (rows - 1) // _BUCKET).bit_length()


def _buckets(hashes: Column, chosen: Mask) -> Iterator[tuple[npt.NDArray[np.int32], npt.NDArray[Any]]]:
    parts = _parts(len(hashes))
    for number in range(parts):
        rows, values = _bucket(hashes, chosen, number, parts)
        if len(rows):
            yield rows, values


def _bucket(hashes: Column, chosen: Mask, number: int, parts: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[Any]]:
    """The chosen rows whose hash begins with the bits of `number`: the file is read once for each bucket."""
    shift = 64 - (parts.bit_length() - 1)
    rows, values = [np.empty(0, dtype=np.int32)], [np.empty(0, dtype=np.int64)]
    for start, found in hashes.chunks():
        inside = chosen[start : start + len(found)]
        if parts > 1:
            inside = inside & (found.view(np.uint64) >> np.uint64(shift) == number)
        here = np.flatnonzero(inside)
        rows.append((here + start).astype(np.int32))
        values.append(found[here])
    return np.concatenate(rows), np.concatenate(values)
