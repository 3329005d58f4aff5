"""Which rows stand together in an update, and how an update is cut into micro-batches."""

from __future__ import annotations

import random
from collections.abc import Sequence

WINDOW = 8
"""Updates among which rows are sorted by length."""


def updates(lengths: Sequence[int], batch_size: int, seed: int, epoch: int) -> list[list[int]]:
    """Indices of the rows of each update of an epoch, from (seed, epoch) alone.

    Rows are shuffled, sorted by length inside a window of 8 updates, and cut into updates of `batch_size` rows, whose
    order in the window is shuffled: rows of about one length stand together, so that little is padded, and the order
    of the training stays random.
    """
    generator = random.Random(f"{seed}/{epoch}")  # noqa: S311  # no secret depends on it
    order = list(range(len(lengths)))
    generator.shuffle(order)
    result: list[list[int]] = []
    for start in range(0, len(order), WINDOW * batch_size):
        window = sorted(order[start : start + WINDOW * batch_size], key=lambda index: lengths[index])
        chunks = [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
        generator.shuffle(chunks)
        result += chunks
    return result


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
