"""Texts of nobody's, with which two ways to compute a model are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from transformers import PreTrainedModel

_SEED = 0


def trial_texts(model: PreTrainedModel, lengths: Sequence[int]) -> list[list[int]]:
    """Random token ids of so many tokens each, or half as many as the model takes; none is the pad token."""
    config = model.config.get_text_config()
    draw = np.random.default_rng(_SEED)
    usable = np.setdiff1d(np.arange(config.vocab_size), [config.pad_token_id])
    most = (getattr(config, "max_position_embeddings", None) or 2 * max(lengths)) // 2
    return [draw.choice(usable, min(length, most)).tolist() for length in lengths]
