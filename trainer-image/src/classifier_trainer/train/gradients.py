"""The gradients of one update, however it is cut into micro-batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from classifier_trainer.batching import Forward, even_batches
from classifier_trainer.compute import Compute
from classifier_trainer.train.goal import Goal

_SHARE = 0.25
"""Of the memory that gradients of batches side by side may take."""


@dataclass(frozen=True)
class Gradients:
    """Adds the gradients of rows to what is trained."""

    forward: Forward
    trained: Sequence[nn.Parameter]
    ids: Sequence[Sequence[int]]
    lengths: Sequence[int]
    goal: Goal
    compute: Compute
    padded: bool
    workers: int
    """Micro-batches side by side, each in a thread."""

    def batches(self, rows: Sequence[int], token_budget: int) -> list[list[int]]:
        """The rows as micro-batches within the budget."""
        return even_batches(rows, self.lengths, token_budget, self.workers, padded=self.padded)

    def add(self, batches: Sequence[Sequence[int]], total: float, seed: Sequence[int]) -> float:
        """Adds the gradients of the micro-batches to `.grad`, and returns their share of the update's loss.

        Divided by `total` of the whole update: the sum over micro-batches is that of one large batch. An empty
        micro-batch stands for a row of no weight, where every rank must compute equally often.

        Raises:
            torch.OutOfMemoryError: the gradients are incomplete then.
        """
        losses: list[torch.Tensor] = []

        def part(number: int) -> torch.Tensor:
            # Dropout depends on the place in the run alone, not on what was computed before.
            torch.manual_seed(hash((*seed, number)) & 0x7FFF_FFFF_FFFF_FFFF)
            rows = batches[number] or [self._shortest]
            with self.compute.autocast():
                logits = self.forward([self.ids[row] for row in rows])
            return self.goal.loss(logits.float(), rows) * ((1 / total) if batches[number] else 0.0)

        def apart(number: int) -> tuple[torch.Tensor, Sequence[torch.Tensor | None]]:
            loss = part(number)
            return loss.detach(), torch.autograd.grad(loss, list(self.trained), allow_unused=True)

        if self.workers > 1 and len(batches) > 1:
            # Added in the order of the batches, whoever is ready first: the sum is the same in every run.
            for loss, gradients in self.compute.map(apart, range(len(batches))):
                losses.append(loss)
                for parameter, gradient in zip(self.trained, gradients, strict=True):
                    if gradient is not None:
                        parameter.grad = gradient if parameter.grad is None else parameter.grad.add_(gradient)
        else:
            for number in range(len(batches)):
                loss = part(number)
                loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
                losses.append(loss.detach())
        return sum(float(loss) for loss in losses)

    @cached_property
    def _shortest(self) -> int:
        return min(range(len(self.lengths)), key=self.lengths.__getitem__)


def side_by_side(model: nn.Module, trained: Sequence[nn.Parameter], compute: Compute) -> int:
    """How many micro-batches can be computed in threads of their own.

    One where numbers are drawn, as by dropout: all threads would draw from one generator, in no certain order. One
    where the gradients are so large that several of them would fill the memory.
    """
    if compute.workers == 1 or draws_numbers(model):
        return 1
    size = sum(parameter.numel() * parameter.element_size() for parameter in trained)
    return compute.workers if 2 * compute.workers * size <= _SHARE * compute.memory() else 1


def draws_numbers(model: nn.Module) -> bool:
    """Whether the model has dropout, as a module or as a rate that its functions are called with."""
    for part in model.modules():
        if isinstance(part, nn.modules.dropout._DropoutNd) and part.p > 0:
            return True
        if any("drop" in name and isinstance(value, float) and value > 0 for name, value in vars(part).items()):
            return True
    return False
