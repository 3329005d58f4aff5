"""Computes texts of different lengths together without padding.

The tokens of all texts stand in one row, so that every layer but attention sees one large matrix; attention is computed
for each text by itself. On a CPU padding costs as much as text, and a matrix product needs a hundred rows to be at its
best: measured with MiniLM and nine texts of 9 to 120 tokens, one core, 140 ms instead of 290 in one padded batch.

It works for any architecture that takes its attention from transformers' interface and its positions as an argument. No
list of names says which do: `pack` compares hidden states and logits with those of each text alone, and declines where
they differ, as with learned relative positions, sliding windows or pooling over all tokens.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import Any, Literal

import numpy as np
import torch
from torch import nn
from transformers import AttentionInterface, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPoolingAndCrossAttentions

from classifier_artifacts.trial_texts import trial_texts
from classifier_server.fused_layers import fuse
from classifier_server.last_layer import LastLayer
from classifier_server.packed_rows import Row, Run, attention, current, rounded_rows

logger = logging.getLogger(__name__)

_ATTENTION = "classifier_packed"
_TOLERANCE = 1e-4
_TRIED_LENGTHS = (3, 7, 7, 19)

Pooled = Literal["first", "last"]


class Packed:
    """A model whose texts are packed; `logits` may be called from many threads."""

    def __init__(self, model: PreTrainedModel, pooled: Pooled, first_position: int) -> None:
        self._model: Any = model
        self._pooled = pooled
        self._first_position = first_position
        self._pad = model.config.get_text_config().pad_token_id
        self.shortened = False
        """Whether the last layer is computed for the pooled tokens alone."""

    def logits(self, batch: Sequence[Sequence[int]]) -> torch.Tensor:
        """Logits [texts, labels] of the token ids of each text."""
        order = sorted(range(len(batch)), key=lambda text: len(batch[text]))
        row = self._row([batch[text] for text in order])
        current.row = row
        try:
            # The head's own code sees a batch of texts of one token each.
            found: torch.Tensor = self._model(input_ids=row.ids[0, row.pooled].unsqueeze(1)).logits
        finally:
            current.row = None
        back = torch.empty(len(order), dtype=torch.long)
        back[torch.tensor(order)] = torch.arange(len(order))
        return found[back]

    def _row(self, texts: Sequence[Sequence[int]]) -> Row:
        lengths = np.fromiter(map(len, texts), np.int64, len(texts))
        starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
        ids = np.concatenate([np.asarray(text, np.int64) for text in texts])
        positions = np.arange(len(ids)) - np.repeat(starts, lengths) + self._first_position
        runs: list[Run] = []
        for length, group in groupby(zip(starts.tolist(), lengths.tolist(), strict=True), key=lambda text: text[1]):
            begins = [start for start, _ in group]
            runs.append(Run(begins[0], len(begins), length))
        pooled = starts if self._pooled == "first" else starts + [_last_token(text, self._pad) for text in texts]
        kept = None
        # A token before the last one would not see the whole text in a decoder.
        if self.shortened and (self._pooled == "first" or (pooled == starts + lengths - 1).all()):
            kept = np.concatenate([pooled, np.repeat(pooled[-1:], rounded_rows(len(pooled)) - len(pooled))])
        # A text of nobody's fills the row up, see rounded_rows; one position that every model has is enough for it.
        filling = rounded_rows(len(ids)) - len(ids)
        if filling:
            runs.append(Run(len(ids), 1, filling))
            ids = np.concatenate([ids, np.full(filling, self._pad or 0, np.int64)])
            positions = np.concatenate([positions, np.full(filling, self._first_position)])
        return Row(
            torch.from_numpy(ids).unsqueeze(0), torch.from_numpy(positions).unsqueeze(0), tuple(runs),
            torch.from_numpy(np.asarray(pooled, np.int64)), None if kept is None else torch.from_numpy(kept),
        )  # fmt: skip


def pack(model: PreTrainedModel) -> Packed | None:
    """The fp32 `model` on a CPU with its texts packed, in place; None, and the model as it was, where that would change
    its answers."""
    before = model.config._attn_implementation
    if _has_windows(model.config.get_text_config()):
        return None
    texts = trial_texts(model, _TRIED_LENGTHS)
    try:
        with torch.inference_mode():
            hidden, logits = _alone(model, texts)
            AttentionInterface.register(_ATTENTION, attention)
            model.set_attn_implementation(_ATTENTION)
            packed = next(_fitting(model, texts, hidden, logits), None)
            if packed is not None:
                _hasten(packed, model, texts, logits)
    except Exception as error:  # whatever the code of some architecture raises that was not made for this
        logger.debug("texts are not packed: %s", error)
        packed = None
    if packed is None:
        _unwrap(model)
        model.set_attn_implementation(before)
        logger.info("texts of this architecture are padded, not packed")
    return packed


def _has_windows(config: Any) -> bool:
    """Whether a token sees only those nearby, which the short texts that are tried would not show."""
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    windows = (getattr(config, name, None) for name in ("sliding_window", "attention_chunk_size", "attention_window"))
    return kinds != {"full_attention"} or any(window is not None for window in windows)


def _fitting(
    model: PreTrainedModel, texts: Sequence[Sequence[int]], hidden: Sequence[torch.Tensor], logits: torch.Tensor
) -> Iterator[Packed]:
    """The ways of packing that give the same hidden states and logits."""
    pad = model.config.get_text_config().pad_token_id
    base = model.base_model
    # Where embeddings count positions from the pad token's id on, the first one comes behind it.
    for first_position in dict.fromkeys((0, int(pad or 0) + 1)):
        probe = Packed(model, "first", first_position)
        row = probe._row(texts)
        current.row = row
        try:
            found = base(input_ids=row.ids, position_ids=row.positions).last_hidden_state[0]
        finally:
            current.row = None
        expected = torch.cat(list(hidden))
        if not _close(found[: len(expected)], expected):
            continue
        _wrap(model)
        for pooled in ("first", "last"):
            packed = Packed(model, pooled, first_position)
            if _close(packed.logits(texts), logits):
                yield packed


def _hasten(packed: Packed, model: PreTrainedModel, texts: Sequence[Sequence[int]], logits: torch.Tensor) -> None:
    """Lets the last layer compute the pooled tokens alone, and all layers take fewer steps, as far as that gives the
    same logits."""
    layers = _layers(model)
    if layers is None:
        return
    before = list(layers)
    for change in (fuse, _shorten_last):
        packed.shortened = True
        try:
            if change(layers) and _close(packed.logits(texts), logits):
                return
        except Exception as error:  # as in pack
            logger.debug("layers are computed as they are: %s", error)
        packed.shortened = False
        for place, layer in enumerate(before):
            layers[place] = layer


def _layers(model: PreTrainedModel) -> nn.ModuleList | None:
    count = model.config.get_text_config().num_hidden_layers
    lists = (part for part in model.modules() if isinstance(part, nn.ModuleList) and len(part) == count)
    return next(lists, None)


def _shorten_last(layers: nn.ModuleList) -> bool:
    layers[-1] = LastLayer(layers[-1])
    return True


class _Base(nn.Module):
    """In the place of the base model: computes this thread's row, and gives the head the pooled tokens alone."""

    def __init__(self, base: nn.Module) -> None:
        super().__init__()
        self.base = base

    def forward(self, *_: Any, **__: Any) -> BaseModelOutputWithPoolingAndCrossAttentions:
        row = current.row
        if row is None:
            raise RuntimeError("a packed model computes rows only")
        states = self.base(input_ids=row.ids, position_ids=row.positions).last_hidden_state[0]
        hidden = (states[row.pooled] if row.kept is None else states[: len(row.pooled)]).unsqueeze(1)
        pooler: Callable[[torch.Tensor], torch.Tensor] | None = getattr(self.base, "pooler", None)
        return BaseModelOutputWithPoolingAndCrossAttentions(
            last_hidden_state=hidden, pooler_output=None if pooler is None else pooler(hidden)
        )


def _wrap(model: PreTrainedModel) -> None:
    base = getattr(model, model.base_model_prefix)
    if not isinstance(base, _Base):
        setattr(model, model.base_model_prefix, _Base(base))


def _unwrap(model: PreTrainedModel) -> None:
    base = getattr(model, model.base_model_prefix)
    if isinstance(base, _Base):
        setattr(model, model.base_model_prefix, base.base)


def _alone(model: Any, texts: Sequence[Sequence[int]]) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Hidden states [tokens, size] of each text and logits [texts, labels], each text computed by itself."""
    hidden, logits = [], []
    for text in texts:
        ids = torch.tensor([list(text)])
        mask = torch.ones_like(ids)
        hidden.append(model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state[0])
        logits.append(model(input_ids=ids, attention_mask=mask).logits)
    return hidden, torch.cat(logits)


def _close(found: torch.Tensor, expected: torch.Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    return float((found - expected).abs().max()) <= _TOLERANCE * max(1.0, float(expected.abs().max()))


def _last_token(text: Sequence[int], pad: int | None) -> int:
    """The rightmost token that is not the pad token, as transformers finds it."""
    return next((place for place in range(len(text) - 1, -1, -1) if text[place] != pad), 0)
