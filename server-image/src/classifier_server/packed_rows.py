"""Rows of texts one behind another, and attention within each text of a row."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from transformers.integrations.sdpa_attention import sdpa_attention_forward

# What would have to be known about other texts' tokens, or is another attention altogether.
_UNKNOWN = ("sliding_window", "softcap", "position_bias", "cache", "s_aux", "block_table")
_ROWS_STEP = 8


@dataclass(frozen=True, slots=True)
class Run:
    """Neighbouring texts of one length."""

    start: int
    """Their first token."""
    texts: int
    length: int

    @property
    def tokens(self) -> slice:
        """Their place in the row."""
        return slice(self.start, self.start + self.texts * self.length)


@dataclass(frozen=True, slots=True)
class Row:
    """Texts one behind another; the last run may be a text of nobody's, see rounded_rows."""

    ids: torch.Tensor
    """Token ids [1, tokens]."""
    positions: torch.Tensor
    """[1, tokens], of each token within its text."""
    runs: tuple[Run, ...]
    pooled: torch.Tensor
    """The token of each text [texts] whose hidden state the head takes."""
    kept: torch.Tensor | None = None
    """The tokens that leave the last layer: those of `pooled`, the last one repeated up to rounded_rows; None: all."""

    def texts(self) -> Iterator[tuple[Run, slice]]:
        """The runs of somebody's texts, and which texts they are."""
        done = 0
        for run in self.runs:
            if done < len(self.pooled):
                yield run, slice(done, done + run.texts)
            done += run.texts


class Current(threading.local):
    """What this thread computes."""

    row: Row | None = None
    stops: bool = False
    """Whether attention keeps keys and values, and goes no further."""
    keys_and_values: tuple[torch.Tensor, torch.Tensor] | None = None
    """Of all tokens, where queries come from the kept tokens alone."""


current = Current()


class StoppedError(Exception):
    """Attention has kept keys and values."""


def rounded_rows(rows: int) -> int:
    """The next of few numbers of rows: 8, 16 … 256, 272 … 512, 544 and so on, sixteen from a power of two to the next.

    oneDNN makes machine code for each number of rows that it meets, and keeps it: half a megabyte for every shape of
    weights. Measured with MiniLM, rows of any number up to 512 took a gigabyte after a few hundred batches.
    """
    step = max(_ROWS_STEP, 1 << max((rows - 1).bit_length() - 5, 0))
    return -(-rows // step) * step


def attention(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Attention of each text by itself; shapes as transformers has them: [1, heads, tokens, size] in, [1, tokens,
    heads, size] out."""
    row = current.row
    if row is None or attention_mask is not None or any(options.get(name) is not None for name in _UNKNOWN):
        raise NotImplementedError("another attention than packed texts have")
    if current.stops:
        current.keys_and_values = key, value
        raise StoppedError
    if current.keys_and_values is not None:
        return _of_kept(module, query, row, *current.keys_and_values, scaling), None
    if len(row.runs) == 1 and row.runs[0].texts == 1:
        return sdpa_attention_forward(module, query, key, value, None, scaling=scaling, is_causal=is_causal)
    found = []
    for run in row.runs:
        queries, keys, values = (_texts_of(run, whole) for whole in (query, key, value))
        one, _ = sdpa_attention_forward(module, queries, keys, values, None, scaling=scaling, is_causal=is_causal)
        found.append(one.flatten(0, 1))
    return torch.cat(found).unsqueeze(0), None


def _of_kept(
    module: nn.Module, query: torch.Tensor, row: Row, key: torch.Tensor, value: torch.Tensor, scaling: float | None
) -> torch.Tensor:
    """Attention of one token [1, heads, kept, size] a text to the whole text; [1, kept, heads, size]."""
    found = []
    queries = query[0].transpose(0, 1).unsqueeze(2)
    for run, those in row.texts():
        keys, values = (_texts_of(run, whole) for whole in (key, value))
        one, _ = sdpa_attention_forward(module, queries[those], keys, values, None, scaling=scaling, is_causal=False)
        found.append(one.squeeze(1))
    filling = query.shape[2] - len(row.pooled)
    found.append(found[-1].new_zeros(filling, *found[-1].shape[1:]))
    return torch.cat(found).unsqueeze(0)


def _texts_of(run: Run, whole: torch.Tensor) -> torch.Tensor:
    """[1, heads, tokens, size] as [texts, heads, length, size]."""
    heads, size = whole.shape[1], whole.shape[3]
    tokens = whole[0, :, run.tokens]
    return tokens.view(heads, run.texts, run.length, size).transpose(0, 1)
