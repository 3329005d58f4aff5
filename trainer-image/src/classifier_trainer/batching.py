"""Rows of token ids as padded batches under a budget of tokens. Every room may import this."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def micro_batches(rows: Sequence[int], lengths: Sequence[int], token_budget: int) -> list[list[int]]:
    """Cuts rows (indices into `lengths`) into batches that, padded, hold at most `token_budget` tokens (or one row).

    The longest come first, so that memory runs out at once or never.
    """
    result: list[list[int]] = []
    for row in sorted(rows, key=lambda index: -lengths[index]):
        # The first row of a batch is its longest, to which the others are padded.
        if result and lengths[result[-1][0]] * (len(result[-1]) + 1) <= token_budget:
            result[-1].append(row)
        else:
            result.append([row])
    return result


def even_batches(rows: Sequence[int], lengths: Sequence[int], token_budget: int, multiple: int) -> list[list[int]]:
    """As `micro_batches`, but their number is a multiple of `multiple` (if there are rows enough) and about one size."""
    count = -(-len(micro_batches(rows, lengths, token_budget)) // multiple) * multiple
    ordered = sorted(rows, key=lambda index: -lengths[index])
    longest = [lengths[index] for index in ordered]
    total, parts = sum(longest), min(count, len(ordered))
    result: list[list[int]] = [[]]
    done = 0
    for at, row in enumerate(ordered):
        # A new part where the tokens so far have used up this one's share, or the rows left are needed one a part.
        full = result[-1] and (done >= total * len(result) / parts or len(ordered) - at <= parts - len(result))
        if full and len(result) < parts:
            result.append([])
        result[-1].append(row)
        done += longest[at]
    # Uneven lengths may leave a part above the budget.
    return [batch for part in result for batch in micro_batches(part, lengths, token_budget)]


def pad_batch(rows: Sequence[Sequence[int]], pad: int, device: torch.device) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` [rows, longest], padded on the right."""
    longest = max(len(row) for row in rows)
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = torch.tensor(row, dtype=torch.long)
        mask[index, : len(row)] = 1
    return {"input_ids": ids.to(device), "attention_mask": mask.to(device)}
