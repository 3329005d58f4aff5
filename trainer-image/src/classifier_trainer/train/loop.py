"""The training loop. An update is one optimizer step over `batchSize` rows, however it is cut into micro-batches."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from classifier_trainer.batching import even_batches, pad_batch
from classifier_trainer.compute import Compute
from classifier_trainer.train.schedule import factor


@dataclass(frozen=True)
class Settings:
    """Hyperparameters with their defaults filled in."""

    epochs: int
    learning_rate: float
    head_learning_rate: float
    scheduler: Literal["Linear", "Cosine", "Constant"]
    warmup_ratio: float
    weight_decay: float
    max_grad_norm: float
    seed: int


@dataclass(frozen=True)
class Step:
    """What one update did."""

    epoch: int
    """From 1."""
    step: int
    """From 1, over all epochs."""
    steps: int
    last_of_epoch: bool
    loss: float
    """Mean over the update's rows."""
    learning_rate: float
    grad_norm: float
    """Before clipping."""
    rows: int
    tokens: int
    """Without padding."""
    seconds: float


def train(
    model: nn.Module,
    adapter_parameters: Sequence[nn.Parameter],
    head_parameters: Sequence[nn.Parameter],
    ids: Sequence[Sequence[int]],
    targets: npt.NDArray[np.float64],
    *,
    exclusive: bool,
    pad: int,
    updates_of: Callable[[int], list[list[int]]],
    compute: Compute,
    settings: Settings,
) -> Iterator[Step]:
    """Trains in place and yields after every update; what the caller does between two updates changes nothing.

    Args:
        model: called with `input_ids` and `attention_mask`, answers with `.logits` [rows, k].
        ids: token ids of each row, without padding.
        targets: [n, k] of 0 and 1; exactly one a row if `exclusive` (cross-entropy), else binary cross-entropy.
        pad: the id that rows are padded with.
        updates_of: the rows of each update of an epoch (from 1).
    """
    rates = [settings.learning_rate, settings.head_learning_rate]
    groups = [
        {"params": list(parameters), "lr": rate}
        for parameters, rate in zip((adapter_parameters, head_parameters), rates, strict=True)
        if parameters
    ]
    optimizer = torch.optim.AdamW(groups, weight_decay=settings.weight_decay)
    base_rates = [float(group["lr"]) for group in optimizer.param_groups]
    trained = [*adapter_parameters, *head_parameters]
    goals = torch.from_numpy(targets).float()
    lengths = [len(row) for row in ids]
    epochs = [updates_of(epoch) for epoch in range(1, settings.epochs + 1)]
    steps = sum(len(updates) for updates in epochs)
    # Dropout draws from one generator, which batches that are computed side by side would share.
    random = any(isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0 for part in model.modules())
    step = 0
    for epoch, updates in enumerate(epochs, start=1):
        for number, rows in enumerate(updates, start=1):
            start = time.perf_counter()
            model.train()
            share = factor(settings.scheduler, step, steps, settings.warmup_ratio)
            for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
                group["lr"] = rate * share
            batches = even_batches(rows, lengths, compute.token_budget, 1 if random else compute.workers)
            one = _Update(model, trained, ids, goals, exclusive, pad, compute, len(rows), (settings.seed, step))
            parts = map(one, enumerate(batches)) if random else compute.map(one, list(enumerate(batches)))
            loss = 0.0
            for part, gradients in parts:
                loss += part
                # Added in the order of the batches, whoever is ready first: the sum is the same in every run.
                _add(trained, gradients)
            norm = nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            step += 1
            yield Step(
                epoch=epoch,
                step=step,
                steps=steps,
                last_of_epoch=number == len(updates),
                loss=loss,
                learning_rate=base_rates[0] * share,
                grad_norm=float(norm),
                rows=len(rows),
                tokens=sum(lengths[row] for row in rows),
                seconds=time.perf_counter() - start,
            )


@dataclass(frozen=True)
class _Update:
    """The gradients of the micro-batches of one update; called from several threads."""

    model: nn.Module
    trained: Sequence[nn.Parameter]
    ids: Sequence[Sequence[int]]
    goals: torch.Tensor
    exclusive: bool
    pad: int
    compute: Compute
    rows: int
    seed: tuple[int, int]

    def __call__(self, numbered: tuple[int, list[int]]) -> tuple[float, Sequence[torch.Tensor | None]]:
        """The share of the update's loss and gradients that a micro-batch (number, rows) brings."""
        number, batch = numbered
        # Dropout depends on the place in the run alone, not on what was computed before.
        torch.manual_seed(hash((*self.seed, number)) & 0x7FFF_FFFF_FFFF_FFFF)
        inputs = pad_batch([self.ids[row] for row in batch], self.pad, self.compute.device)
        with self.compute.autocast():
            logits = self.model(**inputs).logits
        # Divided by the rows of the whole update: the sum over micro-batches is the mean of one large batch.
        goals = self.goals[batch].to(self.compute.device)
        part = _loss_sum(logits.float(), goals, self.exclusive) / self.rows
        return float(part.detach()), torch.autograd.grad(part, list(self.trained), allow_unused=True)


def _add(parameters: Sequence[nn.Parameter], gradients: Sequence[torch.Tensor | None]) -> None:
    for parameter, gradient in zip(parameters, gradients, strict=True):
        if gradient is not None:
            parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)


def _loss_sum(logits: torch.Tensor, targets: torch.Tensor, exclusive: bool) -> torch.Tensor:
    """Sum over rows; a multilabel row counts with the mean of its labels, as transformers does it."""
    if exclusive:
        return functional.cross_entropy(logits, targets.argmax(dim=1), reduction="sum")
    return functional.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(dim=1).sum()
