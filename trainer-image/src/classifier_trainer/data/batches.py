"""Which rows stand together in an update."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

WINDOW = 8
"""Updates among which rows are sorted by length."""


class Updates(Sequence[list[int]]):
    """The rows of each update of an epoch; four bytes a row, however many rows there are."""

    def __init__(self, order: npt.NDArray[np.int32], batch_size: int) -> None:
        self._order = order
        self._size = batch_size

    def __len__(self) -> int:
        return -(-len(self._order) // self._size)

    def __getitem__(self, index: int) -> list[int]:  # type: ignore[override]  # slices are of no use here
        if not 0 <= index < len(self):
            raise IndexError(index)
        found: list[int] = self._order[index * self._size : (index + 1) * self._size].tolist()
        return found


def updates(lengths: Sequence[int] | npt.NDArray[np.integer], batch_size: int, seed: int, epoch: int) -> Updates:
    """Indices of the rows of each update of an epoch, from (seed, epoch) alone.

    Rows are shuffled, sorted by length inside a window of 8 updates, and cut into updates of `batch_size` rows, whose
    order in the window is shuffled: rows of about one length stand together, so that little is padded, and the order
    of the training stays random. The rows that fill no update come last, of any length.
    """
    generator = np.random.default_rng([seed, epoch])
    sizes = np.asarray(lengths)
    order = generator.permutation(len(sizes)).astype(np.int32)
    whole = len(order) - len(order) % batch_size
    for start in range(0, whole, WINDOW * batch_size):
        window = order[start : min(start + WINDOW * batch_size, whole)]
        window = window[np.argsort(sizes[window], kind="stable")].reshape(-1, batch_size)
        order[start : start + window.size] = window[generator.permutation(len(window))].ravel()
    return Updates(order, batch_size)


def stratified_sample(targets: Sequence[bytes], size: int, seed: int) -> list[int]:
    """Ascending indices of at most `size` rows in the natural balance of their targets (any hashable key a row).

    Every kind of row is there once before any is there by its share, as far as `size` goes.
    """
    order = list(range(len(targets)))
    if len(order) <= size:
        return order
    random.Random(seed).shuffle(order)  # noqa: S311  # no secret depends on it
    seen: dict[bytes, int] = {}
    totals: dict[bytes, int] = {}
    for index in order:
        totals[targets[index]] = totals.get(targets[index], 0) + 1
    ranked: list[tuple[float, int, int]] = []
    for index in order:
        rank = seen.get(targets[index], 0)
        seen[targets[index]] = rank + 1
        # Position of the row inside its kind as a share: taking the smallest takes every kind evenly.
        ranked.append((rank / totals[targets[index]] if rank else -1.0, len(ranked), index))
    return sorted(index for _, _, index in sorted(ranked)[:size])
