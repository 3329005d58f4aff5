"""FSDP2: a model whose training does not fit on one device is cut into shards, one a process.

Source: torch.distributed.fsdp.fully_shard; a group of parameters is gathered just before it is used and let go after.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from classifier_trainer import distributed
from classifier_trainer.compute import Compute


def shard(model: nn.Module, own: Sequence[nn.Module], compute: Compute) -> None:
    """Cuts the model in place; together. Names of parameters stay, the parameters themselves are new ones.

    Each block of the longest list of layers is a group that is gathered in the format it is computed in. The modules
    of `own` (the head) are a group each, in the fp32 in which they are trained.
    """
    mesh = init_device_mesh(compute.device.type, (distributed.world_size(),))
    blocks = MixedPrecisionPolicy(param_dtype=compute.dtype, reduce_dtype=torch.float32)
    whole = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    for module in own:
        fully_shard(module, mesh=mesh, mp_policy=whole)
    for block in _blocks(model):
        fully_shard(block, mesh=mesh, mp_policy=blocks)
    fully_shard(model, mesh=mesh, mp_policy=blocks)
    for part in model.modules():
        if isinstance(part, FSDPModule):
            # The loss is divided by the rows of all ranks already.
            part.set_gradient_divide_factor(1.0)
            part.set_force_sum_reduction_for_comms(True)  # gloo knows no other


def is_sharded(model: nn.Module) -> bool:
    """Whether `shard` was called on it."""
    return isinstance(model, FSDPModule)


def whole(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Copies on the CPU, sharded tensors put together; together. Empty on other ranks than 0.

    Rank 0's memory must hold them all: 4 bytes a trained number, and 8 more for the state of its optimizer.
    """
    result = {}
    for name, tensor in tensors.items():
        found: Any = tensor.detach()
        if isinstance(found, DTensor):
            found = found.full_tensor()
        if distributed.is_main():
            result[name] = found.to("cpu", copy=True)
    return result


def like(found: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """A copy of the whole tensor as `place` is kept: its device, and its shard; together if it is sharded."""
    moved = found.to(place.device, copy=True)
    if isinstance(place, DTensor):
        return distribute_tensor(moved, place.device_mesh, place.placements, src_data_rank=None)
    return moved


def _blocks(model: nn.Module) -> list[nn.Module]:
    lists = [list(part) for part in model.modules() if isinstance(part, nn.ModuleList)]
    return max(lists, key=len, default=[])
