"""Batches without padding: rows one behind the other, each attending to itself alone.

Only for decoders, and only where a test on the spot finds the same logits as one row at a time: an encoder attends
across packed rows without a word, and so would any layer that does not call the attention function registered here. On
CUDA it is torch's variable-length attention, which is the kernel of flash-attn, so that package is not needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import AttentionInterface

from classifier_trainer.batching import Forward, padded_forward
from classifier_trainer.compute import Compute
from classifier_trainer.model.trained import Trained

_NAME = "packed_rows"
_TOLERANCE = 0.05
"""Largest difference of logits in bf16, relative to the largest of them."""
_CHECKED = (3, 5, 17)
"""Lengths of the rows that are compared, beside a long one."""


def packed_forward(trained: Trained, compute: Compute) -> Forward:
    """The logits of rows that are packed into one sequence; the model must use the attention of `packed_attention`."""
    head = trained.inner.get_submodule(trained.head_name)

    def forward(rows: Sequence[Sequence[int]]) -> torch.Tensor:
        sizes = np.array([len(row) for row in rows], dtype=np.int32)
        ends = torch.from_numpy(np.concatenate([[0], sizes.cumsum()]).astype(np.int32))
        places = np.concatenate([np.arange(size, dtype=np.int64) for size in sizes])
        ids = np.concatenate([np.asarray(row, dtype=np.int64) for row in rows])
        seen: list[torch.Tensor] = []
        # The model itself pools one token a sequence; its head's output has them all.
        handle = head.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
        try:
            trained.model(
                input_ids=torch.from_numpy(ids)[None].to(compute.device),
                position_ids=torch.from_numpy(places)[None].to(compute.device),
                row_ends=ends.to(compute.device),
                longest_row=int(sizes.max()),
            )
        finally:
            handle.remove()
        return seen[0][0, (ends[1:] - 1).long().to(compute.device)]

    return forward


@contextmanager
def packed_attention(trained: Trained) -> Iterator[None]:
    """Lets the model's layers attend inside rows, by `row_ends`, for the time of the block."""
    AttentionInterface.register(_NAME, _attend)
    model: Any = trained.inner
    before = model.config._attn_implementation
    model.set_attn_implementation(_NAME)
    try:
        yield
    finally:
        model.set_attn_implementation(before)


def is_exact(trained: Trained, compute: Compute, *, pad: int, longest: int) -> bool:
    """Whether packed rows give the logits of single ones; False as well where the model cannot be called so."""
    if getattr(trained.inner.config.get_text_config(), "attention_dropout", 0):
        return False
    vocabulary = int(trained.inner.config.get_text_config().vocab_size)
    rows = [[(7 * at + size) % vocabulary for at in range(size)] for size in (*_CHECKED, min(longest, 600))]
    # The pad id is no text: a plain model would pool the token before it.
    rows = [[token if token != pad else (token + 1) % vocabulary for token in row] for row in rows]
    plain = padded_forward(trained.model, pad, compute.device)
    trained.model.eval()
    with torch.no_grad(), compute.autocast():
        wanted = torch.cat([plain([row]) for row in rows]).float()
        try:
            with packed_attention(trained):
                found = packed_forward(trained, compute)(rows).float()
        except (RuntimeError, TypeError, ValueError, AttributeError, LookupError):
            return False
    tolerance = _TOLERANCE if compute.dtype == torch.bfloat16 else 1e-3
    return found.shape == wanted.shape and bool((found - wanted).abs().max() <= tolerance * wanted.abs().max())


def _attend(
    _module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    _mask: torch.Tensor | None,
    *,
    scaling: float | None = None,
    dropout: float = 0.0,
    sliding_window: int | None = None,
    row_ends: torch.Tensor | None = None,
    longest_row: int | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention inside rows: query [1, heads, tokens, size], `row_ends` [rows + 1] from 0.

    `sliding_window` is how many tokens each one sees, itself among them.
    """
    if row_ends is None or longest_row is None or dropout or any(more.get(name) is not None for name in _UNKNOWN):
        raise NotImplementedError("no packed attention for this model")
    attend: _Attend = _fused if query.device.type == "cuda" else _by_mask
    parts = query[0].transpose(0, 1), key[0].transpose(0, 1), value[0].transpose(0, 1)
    found = attend(*parts, row_ends, longest_row, sliding_window, scaling)
    return found[None], None


_UNKNOWN = ("softcap", "s_aux", "position_bias", "is_causal")
"""What some models' attention has beyond the plain one."""

_Attend = Callable[
    [torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor, int, int | None, float | None], torch.Tensor
]


def _fused(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    row_ends: torch.Tensor,
    longest_row: int,
    window: int | None,
    scaling: float | None,
) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    # Autocast does not know this operation; the rotated query and key may be wider than the value.
    query, key = query.to(value.dtype), key.to(value.dtype)
    found = varlen_attn(
        query,
        key,
        value,
        row_ends,
        row_ends,
        longest_row,
        longest_row,
        scale=scaling,
        window_size=(-1 if window is None else window - 1, 0),
        enable_gqa=query.shape[1] != key.shape[1],
    )
    assert isinstance(found, torch.Tensor)  # noqa: S101  # for the type checker
    return found


def _by_mask(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    row_ends: torch.Tensor,
    _longest: int,
    window: int | None,
    scaling: float | None,
) -> torch.Tensor:
    """The same with a mask of all pairs of tokens: right everywhere, and quadratic in the tokens of the batch."""
    tokens = torch.arange(query.shape[0], device=query.device)
    row = torch.searchsorted(row_ends[1:].to(tokens.dtype), tokens, right=True)
    mask = (row[:, None] == row[None]) & (tokens[:, None] >= tokens[None])
    if window is not None:
        mask &= tokens[:, None] - tokens[None] < window
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
    found = functional.scaled_dot_product_attention(
        query.transpose(0, 1)[None],
        key.to(query.dtype).transpose(0, 1)[None],
        value.to(query.dtype).transpose(0, 1)[None],
        attn_mask=mask,
        scale=scaling,
    )
    return found[0].transpose(0, 1)
