"""The inputs of the head: one vector a row."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_trainer.batching import micro_batches, pad_batch
from classifier_trainer.compute import Compute

_WINDOW = 65_536
"""Rows that are sorted by length at a time."""

Progress = Callable[[int], None]
"""Told the tokens that were done since the last call."""


def last_token(ids: torch.Tensor, pad: int) -> torch.Tensor:
    """Index of the token that decoders pool, [rows]: the last one that is not the pad id, as transformers does it."""
    positions = torch.arange(ids.shape[1], device=ids.device)
    return ((ids != pad).int() * positions).argmax(dim=-1)


def head_inputs(
    model: nn.Module,
    head: nn.Linear,
    ids: Sequence[Sequence[int]],
    *,
    pad: int,
    compute: Compute,
    progress: Progress,
    into: Path | None = None,
) -> npt.NDArray[np.float32]:
    """The head's inputs [rows, width] for rows of token ids; the backbone is run once a row.

    With `into` they are mapped from that file (.npy) and never in memory as a whole. Rows are taken a window at a time,
    sorted by length inside it.
    """
    shape = (len(ids), head.in_features)
    result = (
        np.zeros(shape, dtype=np.float32)
        if into is None
        else np.lib.format.open_memmap(into, mode="w+", dtype=np.float32, shape=shape)
    )
    seen = threading.local()  # several batches are on their way at a time
    handle = head.register_forward_pre_hook(lambda _module, inputs: setattr(seen, "hidden", inputs[0].detach()))
    model.eval()

    def of(batch: list[int]) -> tuple[npt.NDArray[np.float32], int]:
        inputs = pad_batch([ids[index] for index in batch], pad, compute.device)
        with torch.inference_mode(), compute.autocast():
            model(**inputs)
            hidden: torch.Tensor = seen.hidden
            if hidden.dim() == 3:
                at = torch.arange(len(batch), device=hidden.device)
                hidden = hidden[at, last_token(inputs["input_ids"], pad)]
            return hidden.float().cpu().numpy(), inputs["input_ids"].numel()

    try:
        for start in range(0, len(ids), _WINDOW):
            window = range(start, min(start + _WINDOW, len(ids)))
            lengths = {row: len(ids[row]) for row in window}
            batches = micro_batches(window, lengths, compute.token_budget)
            for batch, (found, tokens) in zip(batches, compute.map(of, batches), strict=True):
                result[batch] = found
                progress(tokens)
    finally:
        handle.remove()
    return result


def pools_last_token(model: nn.Module, head: nn.Linear, pad: int, compute: Compute) -> bool:
    """Whether the head sees every token and the last one is pooled (decoders), or one vector a row (encoders)."""
    shapes: list[int] = []
    handle = head.register_forward_pre_hook(lambda _module, inputs: shapes.append(inputs[0].dim()))
    token = 0 if pad != 0 else 1
    try:
        with torch.inference_mode(), compute.autocast():
            model.eval()
            model(**pad_batch([[token, token]], pad, compute.device))
    finally:
        handle.remove()
    return shapes[-1] == 3


def set_head(head: nn.Linear, weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64]) -> None:
    """Writes weight [k, d] and, where the layer has one, bias [k] into the head."""
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        if head.bias is not None:
            head.bias.copy_(torch.from_numpy(bias))
