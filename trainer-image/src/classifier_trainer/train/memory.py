"""How much memory a training takes, before it is tried."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

_ACTIVATIONS = 34
"""Bytes that a layer keeps of each token for the way back, a unit of width, in bf16 (Korthikanti et al. 2022, 4.1)."""
_SPARE = 0.9
"""Of the device's memory; the rest is fragments and the libraries' own."""


def training_bytes(model: nn.Module, trained: Sequence[nn.Parameter], *, layers: int, width: int, tokens: int) -> int:
    """An estimate of what training takes on one device.

    The weights as they are kept; for what is trained a gradient and two moments of Adam in fp32, and a copy in bf16
    while it is computed; and the activations of one row of `tokens` with all layers kept. Longer batches are cut to
    what is left.
    """
    weights = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
    numbers = sum(parameter.numel() for parameter in trained)
    return weights + numbers * (4 + 8 + 2) + layers * width * tokens * _ACTIVATIONS


def must_be_sharded(needed: int, device: int) -> bool:
    """Whether `needed` bytes are too many for a device of that many."""
    return needed > _SPARE * device
