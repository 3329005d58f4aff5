"""Rows of token ids as batches under a budget of tokens. Every room may import this."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

Forward = Callable[[Sequence[Sequence[int]]], torch.Tensor]
"""Logits [rows, k] of rows of token ids."""

Lengths = Sequence[int] | Mapping[int, int]
"""Tokens of each row, by its index."""


def micro_batches(rows: Sequence[int], lengths: Lengths, token_budget: int, *, padded: bool = True) -> list[list[int]]:
    """Cuts rows (indices into `lengths`) into batches of at most `token_budget` tokens (or one row).

    The tokens of a padded batch are those of its longest row times its rows, else the sum. The longest come first, so
    that memory runs out at once or never.
    """
    result: list[list[int]] = []
    tokens = 0
    for row in sorted(rows, key=lambda index: -lengths[index]):
        # The first row of a batch is its longest, to which the others are padded.
        tokens += lengths[result[-1][0]] if padded and result else lengths[row]
        if result and tokens <= token_budget:
            result[-1].append(row)
        else:
            result.append([row])
            tokens = lengths[row]
    return result


def even_batches(
    rows: Sequence[int], lengths: Lengths, token_budget: int, multiple: int, *, padded: bool = True
) -> list[list[int]]:
    """As `micro_batches`, but a multiple of `multiple` in number (if there are rows enough) and about one size."""
    count = -(-len(micro_batches(rows, lengths, token_budget, padded=padded)) // multiple) * multiple
    ordered = sorted(rows, key=lambda index: -lengths[index])
    total, parts = sum(lengths[index] for index in ordered), min(count, len(ordered))
    result: list[list[int]] = []
    done = 0
    for at, row in enumerate(ordered):
        # A new part where the tokens so far have used up this one's share, or the rows left are needed one a part.
        full = not result or done >= total * len(result) / parts or len(ordered) - at <= parts - len(result)
        if full and len(result) < parts:
            result.append([])
        result[-1].append(row)
        done += lengths[row]
    # Uneven lengths may leave a part above the budget.
    return [batch for part in result for batch in micro_batches(part, lengths, token_budget, padded=padded)]


def shard(rows: Sequence[int], lengths: Lengths, rank: int, ranks: int) -> list[int]:
    """The rows that one of several processes computes: about as many rows and tokens as each of the others."""
    if ranks == 1:
        return list(rows)
    ordered = sorted(rows, key=lambda index: (-lengths[index], index))
    # Dealt there and back: 0 1 2 2 1 0 0 1 2 ...
    return [row for at, row in enumerate(ordered) if rank in (at % (2 * ranks), 2 * ranks - 1 - at % (2 * ranks))]


def pad_batch(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` [rows, longest], padded on the right."""
    longest = max(len(row) for row in rows)
    ids = np.full((len(rows), longest), pad, dtype=np.int64)
    mask = np.zeros((len(rows), longest), dtype=np.int64)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return {"input_ids": torch.from_numpy(ids).to(device), "attention_mask": torch.from_numpy(mask).to(device)}


def padded_forward(model: Callable[..., Any], pad: int, device: torch.device) -> Forward:
    """The logits of a model that takes `input_ids` and `attention_mask` and answers with `.logits`."""

    def forward(rows: Sequence[Sequence[int]]) -> torch.Tensor:
        logits: torch.Tensor = model(**pad_batch(rows, pad, device)).logits
        return logits

    return forward
