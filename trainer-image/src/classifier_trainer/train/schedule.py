"""The learning rate over a run."""

from __future__ import annotations

import math
from typing import Literal


def factor(scheduler: Literal["Linear", "Cosine", "Constant"], update: int, updates: int, warmup_ratio: float) -> float:
    """The share of the learning rate for `update` (from 0) of `updates`: a linear rise, then the schedule down to 0."""
    warmup = math.ceil(warmup_ratio * updates)
    if update < warmup:
        # The first update already learns something.
        return (update + 1) / (warmup + 1)
    done = (update - warmup) / max(1, updates - warmup)
    match scheduler:
        case "Constant":
            return 1.0
        case "Linear":
            return 1.0 - done
        case "Cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))


def default_learning_rate(width: int) -> float:
    """LoRA's rate by the width of the backbone: 5e-4 at 576, 2e-4 at 2560, a power law between and beyond."""
    exponent = math.log(5e-4 / 2e-4) / math.log(2560 / 576)
    return min(1e-3, max(5e-5, 5e-4 * float((576 / width) ** exponent)))


def default_rates(
    width: int, *, full: bool, learning_rate: float | None, head_learning_rate: float | None
) -> tuple[float, float]:
    """The rates of the body and of the head, with the defaults filled in: Full takes a tenth, but not for its head."""
    lora = default_learning_rate(width)
    rate = learning_rate or (lora / 10 if full else lora)
    return rate, head_learning_rate or 2 * (lora if full else rate)
