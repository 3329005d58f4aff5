"""Logits of a finished model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_trainer.batching import micro_batches, pad_batch
from classifier_trainer.compute import Compute

_WINDOW = 65_536
"""Rows that are sorted by length at a time."""


def predict(
    model: nn.Module, ids: Sequence[Sequence[int]], *, pad: int, compute: Compute, progress: Callable[[int], None]
) -> npt.NDArray[np.float64]:
    """Logits [n, k] of rows of token ids; the model is used as it is, in its own number format.

    Args:
        ids: of each row, without padding; may lie on disk, and is taken a window at a time.
        progress: told the padded tokens that were done since the last call.
    """
    model.eval()

    def of(batch: list[int]) -> tuple[npt.NDArray[np.float64], int]:
        inputs = pad_batch([ids[row] for row in batch], pad, compute.device)
        with torch.inference_mode():
            return model(**inputs).logits.double().cpu().numpy(), inputs["input_ids"].numel()

    result: npt.NDArray[np.float64] | None = None
    for start in range(0, len(ids), _WINDOW):
        window = range(start, min(start + _WINDOW, len(ids)))
        lengths = {row: len(ids[row]) for row in window}
        batches = micro_batches(window, lengths, compute.token_budget)
        for batch, (logits, tokens) in zip(batches, compute.map(of, batches), strict=True):
            if result is None:
                result = np.zeros((len(ids), logits.shape[1]))
            result[batch] = logits
            progress(tokens)
    if result is None:
        raise ValueError("no rows to predict")
    return result
