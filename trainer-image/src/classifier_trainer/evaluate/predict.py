"""Logits of a finished model."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_trainer.batching import micro_batches, pad_batch
from classifier_trainer.compute import Compute


def predict(
    model: nn.Module, ids: Sequence[Sequence[int]], *, pad: int, compute: Compute, progress: Callable[[int], None]
) -> npt.NDArray[np.float64]:
    """Logits [n, k] of rows of token ids; the model is used as it is, in its own number format."""
    lengths = [len(row) for row in ids]
    result: npt.NDArray[np.float64] | None = None
    model.eval()
    with torch.inference_mode():
        for batch in micro_batches(range(len(ids)), lengths, compute.token_budget):
            inputs = pad_batch([ids[row] for row in batch], pad, compute.device)
            logits = model(**inputs).logits.double().cpu().numpy()
            if result is None:
                result = np.zeros((len(ids), logits.shape[1]))
            result[batch] = logits
            progress(inputs["input_ids"].numel())
    if result is None:
        raise ValueError("no rows to predict")
    return result
