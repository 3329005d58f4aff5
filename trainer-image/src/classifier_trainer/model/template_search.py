"""Chooses the template of a decoder: what stands behind a text decides how well its last token sums the text up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from transformers import PreTrainedTokenizerBase

from classifier_trainer.batching import micro_batches, pad_batch
from classifier_trainer.compute import Compute, linear_algebra
from classifier_trainer.model import closed_form
from classifier_trainer.model.features import Progress, head_inputs
from classifier_trainer.model.load import Backbone
from classifier_trainer.model.template import PROMPT, UnsupportedTokenizerError, added_tokens, with_template

DEFAULT = PROMPT
CANDIDATES = (DEFAULT, f"{PROMPT}\nIn one word:", f"{PROMPT}\nCategory:", f"{PROMPT}\nTopic:", f"{PROMPT} =>")
"""Neutral as to the task; the last carries no language. The default comes first."""
MAX_ROWS = 1000
_CHECKED = 3
_SAME = 0.05
"""Largest relative difference between features by way of the cache and plain ones (bf16 rounds differently)."""

Features = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Choice:
    """The template, and the features of the rows it was chosen on, for the start of the head."""

    template: str
    tokenizer: PreTrainedTokenizerBase
    features: Features
    losses: dict[str, float]
    """Mean out-of-fold log loss of each candidate."""


def choose(
    backbone: Backbone,
    compute: Compute,
    prompts: Sequence[str],
    targets: npt.NDArray[np.float64],
    *,
    exclusive: bool,
    seed: int,
    progress: Progress,
) -> Choice:
    """Chooses among the candidates on a few rows with targets [n, k], one forward pass a row and little more.

    A candidate displaces the default (no suffix) only when its out-of-fold log loss is lower by more than one standard
    error of the difference.
    """
    tokenizers: dict[str, PreTrainedTokenizerBase] = {}
    for template in CANDIDATES:
        try:
            tokenizer = with_template(backbone.tokenizer, template)
        except UnsupportedTokenizerError:
            continue
        if added_tokens(tokenizer) < backbone.max_length // 2:
            tokenizers[template] = tokenizer
    features = _features(backbone, compute, prompts, tokenizers, progress)
    with linear_algebra(backbone.head.in_features):
        losses = {template: _losses(found, targets, exclusive, seed) for template, found in features.items()}
    best = DEFAULT
    for template, found in losses.items():
        gain = losses[DEFAULT] - found
        error = float(gain.std(ddof=1)) / np.sqrt(len(gain)) if len(gain) > 1 else np.inf
        if gain.mean() > error and found.mean() < losses[best].mean():
            best = template
    means = {template: float(found.mean()) for template, found in losses.items()}
    return Choice(best, tokenizers[best], features[best], means)


def _losses(features: Features, targets: npt.NDArray[np.float64], exclusive: bool, seed: int) -> closed_form.Array:
    logits = closed_form.out_of_fold(features, targets, exclusive=exclusive, seed=seed)
    scale, _ = closed_form.best_scale(logits, targets, exclusive=exclusive)
    return closed_form.log_losses(logits * scale, targets, exclusive)


def _features(
    backbone: Backbone,
    compute: Compute,
    prompts: Sequence[str],
    tokenizers: dict[str, PreTrainedTokenizerBase],
    progress: Progress,
) -> dict[str, Features]:
    """The features [n, width] of every candidate."""
    pad = int(backbone.tokenizer.pad_token_id)
    most = max(added_tokens(tokenizer) for tokenizer in tokenizers.values())
    encoded: dict[str, list[list[int]]] = {}
    for template, tokenizer in tokenizers.items():
        # The text is cut where the longest candidate cuts it, so that all share it.
        length = backbone.max_length - most + added_tokens(tokenizer)
        rows = tokenizer(list(prompts), truncation=True, max_length=length)["input_ids"]
        encoded[template] = [row or [pad] for row in rows]  # an empty text
    result = {template: np.zeros((len(prompts), backbone.head.in_features), np.float32) for template in tokenizers}
    lengths = [len(row) + most for row in encoded[DEFAULT]]
    batches = micro_batches(range(len(prompts)), lengths, compute.token_budget)

    def ids_of(batch: list[int]) -> dict[str, list[list[int]]]:
        return {template: [found[index] for index in batch] for template, found in encoded.items()}

    # A few rows tell whether this model's cache does what is expected of it.
    few = ids_of(batches[0][:_CHECKED])
    by_cache = _by_cache(backbone, compute, few, pad)
    cached = by_cache is not None and _agree(by_cache, _plain(backbone, compute, few, pad))

    def of(batch: list[int]) -> dict[str, Features] | None:
        return _by_cache(backbone, compute, ids_of(batch), pad) if cached else None

    for batch, found in zip(batches, compute.map(of, batches), strict=True):
        ids = ids_of(batch)
        for template, values in (found or _plain(backbone, compute, ids, pad)).items():
            result[template][batch] = values
        progress(sum(len(row) for row in ids[DEFAULT]))
    return result


def _plain(backbone: Backbone, compute: Compute, ids: dict[str, list[list[int]]], pad: int) -> dict[str, Features]:
    return {
        template: head_inputs(
            backbone.model,
            backbone.head,
            rows,
            pad=pad,
            compute=compute,
            progress=lambda _tokens: None,
        )
        for template, rows in ids.items()
    }


def _by_cache(
    backbone: Backbone, compute: Compute, ids: dict[str, list[list[int]]], pad: int
) -> dict[str, Features] | None:
    """All candidates over one pass of the text and one of all that stands behind it; None if the model cannot do so.

    Every candidate's end sees the text's keys and values and itself, but not the others: so the ends stand side by
    side in one sequence, each counted from the end of the text, under a mask of our own.
    """
    starts = [_shared(rows) for rows in zip(*ids.values(), strict=True)]
    ends = {name: [row[start:] for row, start in zip(rows, starts, strict=True)] for name, rows in ids.items()}
    lengths = {name: len(rows[0]) for name, rows in ends.items()}
    if min(starts) < 1 or any(len(row) != lengths[name] for name, rows in ends.items() for row in rows):
        return None
    prefix = pad_batch([row[:start] for row, start in zip(ids[DEFAULT], starts, strict=True)], pad, compute.device)
    body: Any = backbone.model.base_model
    at = torch.arange(len(starts), device=compute.device)
    text_ends = torch.tensor(starts, device=compute.device)
    result: dict[str, Features] = {}
    try:
        with torch.inference_mode():
            seen = body(**prefix, use_cache=True)
            for name in [name for name, length in lengths.items() if length == 0]:
                result[name] = _numpy(seen.last_hidden_state[at, text_ends - 1])
            spans = [(name, length) for name, length in lengths.items() if length]
            if spans:
                tail = torch.tensor(
                    [[token for name, _ in spans for token in ends[name][row]] for row in range(len(starts))]
                )
                steps = torch.cat([torch.arange(length) for _, length in spans]).to(compute.device)
                hidden = body(
                    input_ids=tail.to(compute.device),
                    attention_mask=_side_by_side(
                        prefix["attention_mask"], [length for _, length in spans], compute.dtype
                    ),
                    position_ids=text_ends[:, None] + steps,
                    past_key_values=seen.past_key_values,
                    use_cache=True,
                ).last_hidden_state
                last = -1
                for name, length in spans:
                    last += length
                    result[name] = _numpy(hidden[:, last])
    except (AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
        return None  # not every decoder has such a cache or takes such a mask: the plain way always works
    return result


def _side_by_side(text_mask: torch.Tensor, lengths: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """Additive mask [rows, 1, ends, text + ends]: an end's token sees the text and what stands before it in its end."""
    total = sum(lengths)
    blocks = [torch.ones(length, length).tril() for length in lengths]
    own = torch.block_diag(*blocks).bool().to(text_mask.device)  # type: ignore[no-untyped-call]
    rows = text_mask.shape[0]
    text = text_mask.bool()[:, None, None, :].expand(rows, 1, total, -1)
    allowed = torch.cat([text, own.expand(rows, 1, total, total)], dim=-1)
    return torch.zeros(allowed.shape, dtype=dtype, device=allowed.device).masked_fill(~allowed, torch.finfo(dtype).min)


def _numpy(values: torch.Tensor) -> Features:
    found: Features = values.float().cpu().numpy()
    return found


def _shared(rows: Sequence[Sequence[int]]) -> int:
    """Tokens that all candidates of a row begin with."""
    shortest = min(rows, key=len)
    for at, token in enumerate(shortest):
        if any(row[at] != token for row in rows):
            return at
    return len(shortest)


def _agree(found: dict[str, Features], plain: dict[str, Features]) -> bool:
    for template, values in found.items():
        difference = np.linalg.norm(values - plain[template], axis=1)
        if (difference > _SAME * np.linalg.norm(plain[template], axis=1)).any():
            return False
    return True
