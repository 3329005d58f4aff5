"""A stratified split for every kind of task, in which identical texts stay on one side."""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np

from classifier_trainer.data.rows import Split

_REST = -1


def split_indices(rows: Split, share: float, seed: int) -> tuple[list[int], list[int]]:
    """Indices of the rows that stay and of those set aside, both ascending; about `share` of them are set aside.

    Iterative stratification (Sechidis, Tsoumakas and Vlahavas 2011): the rarest label first, each of its rows to the
    side that still lacks most of it. A label with one row stays, one with two is on both sides. Rows of one text count
    as one, and rows without a label as a label of their own, so Binary and Multiclass are the usual stratified split.
    """
    groups: dict[str, list[int]] = defaultdict(list)
    for index, prompt in enumerate(rows.prompts):
        groups[prompt].append(index)
    members = list(groups.values())
    labels = [_labels(rows, member) for member in members]
    waiting: dict[int, set[int]] = defaultdict(set)
    for group, found in enumerate(labels):
        for label in found:
            waiting[label].add(group)
    wanted = {label: _wanted(len(found), share) for label, found in waiting.items()}
    room = [(1 - share) * len(members), share * len(members)]
    generator = random.Random(seed)  # noqa: S311  # no secret depends on it
    side = [0] * len(members)
    while waiting:
        rarest = min(waiting, key=lambda label: (len(waiting[label]), label))
        queue = sorted(waiting[rarest])
        generator.shuffle(queue)
        for group in queue:
            chosen = _choose(wanted[rarest], room, generator)
            side[group] = chosen
            room[chosen] -= 1
            for label in labels[group]:
                wanted[label][chosen] -= 1
                waiting[label].discard(group)
        waiting = {label: found for label, found in waiting.items() if found}
    kept = sorted(index for group, member in enumerate(members) if side[group] == 0 for index in member)
    aside = sorted(index for group, member in enumerate(members) if side[group] == 1 for index in member)
    return kept, aside


def _labels(rows: Split, member: list[int]) -> list[int]:
    found = np.flatnonzero(rows.targets[member].any(axis=0))
    return [int(label) for label in found] or [_REST]


def _wanted(count: int, share: float) -> list[float]:
    aside = 0.0 if count < 2 else min(max(count * share, 1.0), count - 1.0)
    return [count - aside, aside]


def _choose(wanted: list[float], room: list[float], generator: random.Random) -> int:
    if wanted[0] != wanted[1]:
        return int(wanted[1] > wanted[0])
    if room[0] != room[1]:
        return int(room[1] > room[0])
    return generator.randrange(2)
