"""The processes of a run, as torchrun starts them: one a GPU. Alone, every function does nothing or the obvious.

torchrun says by the environment who is who (RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT).
Only rank 0 writes the output and serves the progress. Every rank must call a function that says "together" the same
number of times, in the same order.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

import torch
from torch import distributed

Value = TypeVar("Value")

_TIMEOUT = timedelta(days=1)
"""Others wait while rank 0 tests a checkpoint; whoever dies closes its connections, and that ends the waiting."""
_BUCKET = 16 * 2**20
"""Numbers that are added up at once: a copy of all gradients of a large model would not fit beside it."""


def start() -> None:
    """Joins the other processes, if torchrun started any; together."""
    if world_size() == 1 or distributed.is_initialized():
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(local_rank())
        # Tensors on the CPU go by gloo: what is agreed on must not wait for the GPU.
        distributed.init_process_group("cpu:gloo,cuda:nccl", timeout=_TIMEOUT)
    else:
        distributed.init_process_group("gloo", timeout=_TIMEOUT)


def stop() -> None:
    """Leaves the other processes."""
    if distributed.is_initialized():
        distributed.destroy_process_group()


def rank() -> int:
    """The number of this process, from 0, over all nodes."""
    return distributed.get_rank() if distributed.is_initialized() else _number("RANK", 0)


def world_size() -> int:
    """The number of processes."""
    return distributed.get_world_size() if distributed.is_initialized() else _number("WORLD_SIZE", 1)


def local_rank() -> int:
    """The number of this process on its node, and that of its GPU."""
    return _number("LOCAL_RANK", 0)


def local_world_size() -> int:
    """The number of processes on this node, which share its CPUs."""
    return _number("LOCAL_WORLD_SIZE", 1)


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return rank() == 0


def barrier() -> None:
    """Waits until every process is here; together."""
    agree(0)


def agree(*values: int) -> list[int]:
    """The largest of each value over all processes, by way of the CPU; together."""
    if not distributed.is_initialized():
        return list(values)
    found = torch.tensor(values, dtype=torch.int64)
    distributed.all_reduce(found, distributed.ReduceOp.MAX)
    return [int(value) for value in found]


def broadcast_object(value: Value) -> Value:
    """Rank 0's value (anything that pickles); together."""
    if not distributed.is_initialized():
        return value
    box = [value]
    distributed.broadcast_object_list(box, src=0, device=torch.device("cpu"))
    return box[0]


def add_up(tensors: Sequence[torch.Tensor]) -> None:
    """Replaces each tensor by its sum over all processes; together."""
    for bucket in _buckets(tensors):
        flat = torch.cat([tensor.reshape(-1) for tensor in bucket])
        distributed.all_reduce(flat)
        parts = torch.split(flat, [tensor.numel() for tensor in bucket])
        for tensor, part in zip(bucket, parts, strict=True):
            tensor.copy_(part.view_as(tensor))


def copy_from_main(tensors: Sequence[torch.Tensor]) -> None:
    """Replaces each tensor by that of rank 0; together."""
    if not distributed.is_initialized():
        return
    for tensor in tensors:
        whole = tensor.contiguous()
        distributed.broadcast(whole, src=0)
        tensor.copy_(whole)


def _buckets(tensors: Sequence[torch.Tensor]) -> list[list[torch.Tensor]]:
    if not distributed.is_initialized():
        return []
    result: list[list[torch.Tensor]] = []
    for tensor in tensors:
        last = result[-1] if result else []
        if last and last[0].dtype == tensor.dtype and sum(part.numel() for part in last) + tensor.numel() <= _BUCKET:
            last.append(tensor)
        else:
            result.append([tensor])
    return result


def _number(name: str, default: int) -> int:
    value = os.environ.get(name, "")
    return int(value) if value.isdigit() else default
