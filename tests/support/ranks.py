"""What the processes of a test with several of them do; each leaves a JSON file, `rank-N.json`, or weights."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Sequence
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from classifier_trainer import distributed
from classifier_trainer.errors import Terminated
from classifier_trainer.model.full import train_all
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.lora import add_adapter
from classifier_trainer.model.trained import Trained
from classifier_trainer.train import sharded, state
from classifier_trainer.train.loop import Loop, MemoryExitError
from support.tiny_training import Classifier, budget, tiny_loop

Work = Callable[..., dict[str, Any]]


def as_rank(work: Work) -> Callable[..., None]:
    """Joins the others, works, and writes what the work found."""

    @wraps(work)
    def run(rank: int, folder: Path, *arguments: Any) -> None:
        torch.set_num_threads(1)
        distributed.start()
        try:
            found = work(folder, *arguments)
        finally:
            distributed.stop()
        (folder / f"rank-{rank}.json").write_text(json.dumps(found))

    return run


def found_by(folder: Path, ranks: int) -> list[dict[str, Any]]:
    """What each rank wrote."""
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(ranks)]


@as_rank
def agree_on_things(_folder: Path) -> dict[str, Any]:
    """Each of the functions by which ranks agree."""
    rank = distributed.rank()
    tensors = [torch.full((3,), float(rank + 1)), torch.full((2, 2), 10.0 * (rank + 1)), torch.tensor([rank + 1])]
    distributed.add_up(tensors)
    copied = [torch.full((2, 3), float(rank)).T]
    distributed.copy_from_main(copied)
    distributed.barrier()
    return {
        "rank": rank,
        "size": distributed.world_size(),
        "main": distributed.is_main(),
        "largest": distributed.agree(rank, 5 - rank),
        "object": distributed.broadcast_object({"from": rank}),
        "sums": [tensor.flatten().tolist() for tensor in tensors],
        "copied": copied[0].flatten().tolist(),
    }


@as_rank
def train_together(folder: Path, dropout: float, updates: int | None, signalled: int | None) -> dict[str, Any]:
    """The tiny training; `signalled` is the update before which rank 1 gets SIGTERM."""
    signal.signal(signal.SIGTERM, _terminate)
    rank, model = distributed.rank(), Classifier(dropout)
    if rank:
        with torch.no_grad():  # another start, as from another random state: rank 0's counts
            for parameter in model.parameters():
                parameter.add_(rank)
    loop = tiny_loop(model, budget(60))
    rows = _seen_rows(loop)
    steps, ended = [], False
    try:
        for step in islice(loop, updates):
            steps.append({"loss": step.loss, "norm": step.grad_norm, "rows": step.rows, "tokens": step.tokens})
            if step.step == signalled and rank == 1:
                os.kill(os.getpid(), signal.SIGTERM)
    except Terminated:
        ended = True
    torch.save(model.state_dict(), folder / f"weights-{rank}.pt")
    if distributed.is_main():
        state.save(folder / "state", loop.state(), {})
    return {"steps": steps, "seen": rows, "ended": ended, "done": loop.done}


@as_rank
def run_out_of_memory(folder: Path) -> dict[str, Any]:
    """Rank 1's device bears less than rank 0's: both must halve their budget alike."""
    loop = tiny_loop(Classifier(), budget(400, tight=True))
    forward, rank = loop._gradients.forward, distributed.rank()

    def limited(ids: Sequence[Sequence[int]]) -> torch.Tensor:
        if len(ids) * max(map(len, ids)) > (400, 60)[rank]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return forward(ids)

    object.__setattr__(loop._gradients, "forward", limited)
    losses = [step.loss for step in loop]
    return {"losses": losses, "budget": loop.token_budget}


def trained_on(base: Path, method: str, dtype: torch.dtype = torch.float32) -> tuple[Backbone, Trained]:
    """A tiny base model with a head for three labels, made ready for the method; the same in every process."""
    torch.manual_seed(3)
    backbone = load_backbone(base, "pvc://m/x", task="Multiclass", labels=["a", "b", "c"], max_length=None, dtype=dtype)
    with torch.no_grad():
        backbone.head.weight.copy_(torch.randn_like(backbone.head.weight))
    if method == "Full":
        return backbone, train_all(backbone)
    return backbone, add_adapter(backbone, rank=4, alpha=8, dropout=0, target_modules=None)


def loop_for(trained: Trained, dtype: torch.dtype = torch.float32) -> Loop:
    """The loop over the tiny rows."""
    return tiny_loop(trained.model, budget(60, dtype=dtype), body=trained.body, head=trained.head)


@as_rank
def train_sharded(folder: Path, base: Path, method: str, dtype: torch.dtype, stop: int) -> dict[str, Any]:
    """Trains in shards, saves and goes on after `stop` updates in a second model, and writes a checkpoint."""
    losses: list[float] = []
    held = 0.0
    for limit in (stop, None):
        _, trained = trained_on(base, method, torch.float32 if method == "Full" else dtype)
        sharded.shard(trained.model, trained.new_modules(), budget(60, dtype=dtype))
        loop = loop_for(trained, dtype)
        saved = state.find(folder / "state")
        if saved is not None:
            loop.restore(saved.tensors())
        local = sum(part.to_local().numel() for part in trained.parameters() if isinstance(part, DTensor))
        held = local / sum(part.numel() for part in trained.parameters())
        losses += [step.loss for step in islice(loop, limit)]
        tensors = loop.state()
        if distributed.is_main() and limit is not None:
            state.save(folder / "state", tensors, {})
        distributed.barrier()
    frozen = {name for name, part in trained.model.named_parameters() if not part.requires_grad}
    whole = sharded.whole({name: part for name, part in trained.model.state_dict().items() if name not in frozen})
    if distributed.is_main():
        trained.save(folder / "checkpoint", whole)
    head = trained.new_modules()[-1]
    formats = {str(part.dtype) for part in head.parameters() if part.requires_grad}
    return {"losses": losses, "held": held, "formats": sorted(formats), "whole": len(whole)}


@as_rank
def exit_for_memory(folder: Path, base: Path) -> dict[str, Any]:
    """A sharded model cannot go on when one rank is out of memory: it says what the next attempt may try."""
    _, trained = trained_on(base, "LoRA")
    sharded.shard(trained.model, trained.new_modules(), budget(60))
    loop = loop_for(trained)

    def none_left(_ids: Sequence[Sequence[int]]) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory.")

    object.__setattr__(loop._gradients, "forward", none_left)
    try:
        next(iter(loop))
    except MemoryExitError as error:
        return {"budget": error.token_budget, "message": str(error)}
    return {}


def _seen_rows(loop: Loop) -> list[list[int]]:
    """Fills up with the rows of which this rank computes gradients, an update at a time."""
    seen: list[list[int]] = []
    batches = loop._gradients.batches

    def noted(rows: Sequence[int], tokens: int) -> list[list[int]]:
        seen.append(list(rows))
        return batches(rows, tokens)

    object.__setattr__(loop._gradients, "batches", noted)
    return seen


def _terminate(_signal: int, _frame: Any) -> None:
    raise Terminated
