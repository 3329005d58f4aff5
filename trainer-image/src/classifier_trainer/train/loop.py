"""The training loop. An update is one optimizer step over `batchSize` rows, however it is cut into micro-batches.

With several processes an update is composed for all of them, and each computes its share; the gradients are added up
by hand once an update. Wrapping the model would add them up in each backward pass and divide by the processes, which a
loss that is divided by the rows of the whole update must then undo; and the threads of a CPU need gradients apart.
"""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch.distributed.tensor import DTensor

from classifier_trainer import distributed
from classifier_trainer.batching import Forward, shard
from classifier_trainer.compute import Compute
from classifier_trainer.errors import Terminated, TransientError, UserError
from classifier_trainer.train import sharded
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.gradients import Gradients, side_by_side
from classifier_trainer.train.interrupt import Deferred, deferred
from classifier_trainer.train.schedule import factor

_FITS, _TOO_LARGE, _ROW_TOO_LARGE = range(3)


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
class Trainable:
    """A model, which of its parameters are trained, and how it is called."""

    model: nn.Module
    body: Sequence[str]
    """Names of the parameters that are trained at the learning rate."""
    head: Sequence[str]
    """Names of those that are trained at the head's."""
    forward: Forward
    padded: bool = True
    """Whether `forward` pads rows to the longest of their batch."""
    save_memory: Callable[[], None] | None = None
    """Turns on what computes longer and keeps less (activation checkpointing)."""


@dataclass(frozen=True)
class Rows:
    """What is trained on."""

    ids: Sequence[Sequence[int]]
    """Token ids of each row, without padding."""
    lengths: Sequence[int]
    goal: Goal
    updates_of: Callable[[int], Sequence[Sequence[int]]]
    """The rows of each update of an epoch (from 1), the same number in each."""


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


class MemoryExitError(TransientError):
    """A sharded model ran out of memory: no process can go on without the others, so all must start again."""

    def __init__(self, token_budget: int) -> None:
        super().__init__(f"out of memory: the next attempt computes at most {token_budget} tokens at a time.")
        self.token_budget = token_budget


class Loop:
    """Trains in place, an update at a time, and yields after each; what the caller does in between changes nothing.

    The caller may stop between two updates, save `state()`, and have another loop go on from there: it does then what
    this one would have done. An update that is cut off by an exception leaves the state as it was before it.
    """

    def __init__(self, trainable: Trainable, rows: Rows, settings: Settings, compute: Compute) -> None:
        self._trainable, self._rows, self._settings, self._compute = trainable, rows, settings, compute
        self.sharded = sharded.is_sharded(trainable.model)
        named = dict(trainable.model.named_parameters())
        self._names = [*trainable.body, *trainable.head]
        self._trained = [named[name] for name in self._names]
        self._rank, self._ranks = distributed.rank(), distributed.world_size()
        if not self.sharded:
            distributed.copy_from_main([parameter.data for parameter in self._trained])
        self._optimizer = torch.optim.AdamW(
            [
                {"params": [named[name] for name in names], "lr": rate}
                for names, rate in (
                    (trainable.body, settings.learning_rate),
                    (trainable.head, settings.head_learning_rate),
                )
                if names
            ],
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self._rates = [float(group["lr"]) for group in self._optimizer.param_groups]
        workers = 1 if self.sharded else side_by_side(trainable.model, self._trained, compute)
        self._gradients = Gradients(
            trainable.forward, self._trained, rows.ids, rows.lengths, rows.goal, compute, trainable.padded, workers
        )
        self._epoch = 1
        self._updates = rows.updates_of(1)
        self._tried = False
        self.updates_an_epoch = len(self._updates)
        self.steps = self.updates_an_epoch * settings.epochs
        """Updates of the whole run."""
        self.done = 0
        """Updates so far."""
        self.last: Step | None = None
        """What the last of them did; None if it was done by the loop that this one goes on from."""
        self.token_budget = compute.token_budget
        self.saves_memory = False

    def __iter__(self) -> Iterator[Step]:
        """Goes on from where the loop is to the end of the last epoch; together."""
        if not self._tried and self._compute.memory_is_tight:
            self._try_out()
        self._tried = True
        if self._ranks == 1:
            while self.done < self.steps:
                yield self._update(None)
            return
        # All finish an update or none does, so SIGTERM waits, also between two, for the place where they agree on it.
        with deferred() as signal:
            while self.done < self.steps:
                yield self._update(signal)

    def state(self) -> dict[str, Any]:
        """Everything that a loop over the same rows needs to go on; together. Tensors only on rank 0, on the CPU."""
        moments: dict[str, dict[str, torch.Tensor]] = {}
        for name, parameter in zip(self._names, self._trained, strict=True):
            moments[name] = sharded.whole(self._optimizer.state.get(parameter, {}))
        return {
            "done": self.done,
            "tokenBudget": self.token_budget,
            "savesMemory": self.saves_memory,
            "random": torch.get_rng_state(),
            "trained": sharded.whole(dict(zip(self._names, self._trained, strict=True))),
            "moments": moments,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from a `state()`; together, each rank with the whole of it."""
        self.done = state["done"]
        self.token_budget = min(state["tokenBudget"], self._compute.token_budget)
        self._tried = True
        if state["savesMemory"]:
            self._save_memory()
        torch.set_rng_state(state["random"])
        kept = self._optimizer.state_dict()
        moments = {}
        with torch.no_grad():
            for index, (name, parameter) in enumerate(zip(self._names, self._trained, strict=True)):
                parameter.copy_(sharded.like(state["trained"][name], parameter))
                found = state["moments"][name]
                if found:
                    moments[index] = {
                        key: value.clone() if key == "step" else sharded.like(value, parameter)
                        for key, value in found.items()
                    }
        self._optimizer.load_state_dict({"state": moments, "param_groups": kept["param_groups"]})

    def _update(self, signal: Deferred | None) -> Step:
        start = time.perf_counter()
        epoch, number = divmod(self.done, self.updates_an_epoch)
        if self._epoch != epoch + 1:
            self._epoch, self._updates = epoch + 1, self._rows.updates_of(epoch + 1)
        rows, lengths = self._updates[number], self._rows.lengths
        self._trainable.model.train()
        share = factor(self._settings.scheduler, self.done, self.steps, self._settings.warmup_ratio)
        for group, rate in zip(self._optimizer.param_groups, self._rates, strict=True):
            group["lr"] = rate * share
        mine = shard(rows, lengths, self._rank, self._ranks)
        total = self._rows.goal.total(rows)
        loss = self._compute_gradients(mine, total)
        if signal is not None:
            if distributed.agree(signal.pending)[0]:
                self._discard()
                raise Terminated
            loss = self._add_up(loss)
        tokens = sum(int(lengths[row]) for row in rows)
        with deferred():
            norm = self._step()
            self.last = Step(
                epoch=epoch + 1,
                step=self.done,
                steps=self.steps,
                last_of_epoch=number + 1 == self.updates_an_epoch,
                loss=loss,
                learning_rate=self._rates[0] * share,
                grad_norm=norm,
                rows=len(rows),
                tokens=tokens,
                seconds=time.perf_counter() - start,
            )
        return self.last

    def _compute_gradients(self, rows: Sequence[int], total: float) -> float:
        """This rank's share of the update's loss; its gradients are there then. Replayed whole, if memory ran out."""
        while True:
            loss, trouble = self._attempt(rows, total)
            trouble = distributed.agree(trouble)[0]
            if trouble == _FITS:
                return loss
            self._discard()
            self._shrink(trouble)

    def _attempt(self, rows: Sequence[int], total: float) -> tuple[float, int]:
        batches = self._gradients.batches(rows, self.token_budget)
        if self.sharded:
            # Every pass gathers weights from all ranks: those with fewer batches make empty ones.
            batches += [[]] * (distributed.agree(len(batches))[0] - len(batches))
        # Nobody sees the gradients of an attempt that a signal cut off.
        self._discard()
        try:
            return self._gradients.add(batches, total, (self._settings.seed, self.done, self._rank)), _FITS
        except torch.OutOfMemoryError:
            if self.sharded:
                raise MemoryExitError(max(1, self.token_budget // 2)) from None
            return 0.0, _ROW_TOO_LARGE if all(len(batch) == 1 for batch in batches) else _TOO_LARGE

    def _try_out(self) -> None:
        """Finds the budget that the longest micro-batch of the run leaves, before anything depends on it."""
        lengths = self._rows.lengths
        rows = heapq.nlargest(-(-len(self._updates[0]) // self._ranks), range(len(lengths)), key=lengths.__getitem__)
        self._trainable.model.train()
        while True:
            # Sorted by length, so the first is the largest, or nearly so.
            batch = self._gradients.batches(rows, self.token_budget)[0]
            spare = self._room_for_moments()
            _, trouble = self._attempt(batch, 1.0)
            del spare
            self._discard()
            trouble = distributed.agree(trouble)[0]
            if trouble == _FITS:
                return
            self._shrink(trouble)

    def _room_for_moments(self) -> list[torch.Tensor]:
        """As much memory as the optimizer will take with its first step."""
        return [torch.empty_like(parameter) for parameter in self._trained for _ in range(2)]

    def _shrink(self, trouble: int) -> None:
        """Makes micro-batches smaller, on all ranks alike."""
        if self._compute.device.type == "cuda":
            torch.cuda.empty_cache()
        if trouble == _TOO_LARGE:
            self.token_budget = max(1, self.token_budget // 2)
            return
        if self.saves_memory or self._trainable.save_memory is None:
            raise UserError(
                "hyperparameters.maxLength: not even one row of the longest fits into the memory of the device: "
                "lower maxLength, write method: LoRA or HeadOnly, or take a larger device."
            )
        self._save_memory()
        self.token_budget = self._compute.token_budget

    def _save_memory(self) -> None:
        self.saves_memory = True
        if self._trainable.save_memory is not None:
            self._trainable.save_memory()

    def _add_up(self, loss: float) -> float:
        """Adds up the gradients of all ranks, and returns the sum of their shares of the loss; together."""
        if not self.sharded:
            for parameter in self._trained:
                if parameter.grad is None:  # a rank without rows
                    parameter.grad = torch.zeros_like(parameter)
            distributed.add_up([parameter.grad for parameter in self._trained if parameter.grad is not None])
        sum_of_losses = torch.tensor([loss], dtype=torch.float64)
        distributed.add_up([sum_of_losses])
        return float(sum_of_losses)

    def _step(self) -> float:
        """The optimizer's step; the norm of the gradients before they were clipped."""
        norm = nn.utils.clip_grad_norm_(self._trained, self._settings.max_grad_norm)
        if isinstance(norm, DTensor):
            norm = norm.full_tensor()
        self._optimizer.step()
        self._discard()
        self.done += 1
        return float(norm)

    def _discard(self) -> None:
        self._optimizer.zero_grad(set_to_none=True)
