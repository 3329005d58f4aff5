"""Merges a LoRA adapter into its base model from the safetensors file alone, so that the server needs no peft.

Format: as peft 0.21 writes it. The update of a module is W += scale * B @ A, with scale alpha / r (or alpha / sqrt(r)
under rank-stabilised LoRA); modules in `modules_to_save` and trained biases stand there whole.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classifier_artifacts.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import nn

CONFIG_NAME = "adapter_config.json"
WEIGHTS_NAME = "adapter_model.safetensors"
_PREFIX = "base_model.model."
_FACTOR = re.compile(r"(?P<module>.+)\.lora_(?P<embedding>embedding_)?(?P<side>[AB])(?:\.weight)?")
# Options that change what the factors mean; none of them is written by this project.
_UNSUPPORTED = {
    "use_dora": "DoRA",
    "use_qalora": "QALoRA",
    "use_bdlora": "block-diagonal LoRA",
    "layer_replication": "layer replication",
    "target_parameters": "target_parameters",
    "trainable_token_indices": "trainable tokens",
    "lora_bias": "LoRA biases",
    "alora_invocation_tokens": "activated LoRA",
}


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """Reads adapter_config.json of a LoRA adapter.

    Raises:
        UserError: unreadable, or a kind of adapter that cannot be merged here.
    """
    try:
        config = json.loads((folder / CONFIG_NAME).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(f"{CONFIG_NAME} of the checkpoint cannot be read: {error}.") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise UserError(
            f"{CONFIG_NAME} of the checkpoint is not of a LoRA adapter: merge it with peft and save it whole."
        )
    for option, name in _UNSUPPORTED.items():
        if config.get(option):
            raise UserError(f"the checkpoint's adapter uses {name}: merge it with peft and save it whole.")
    return config


def merge_adapter(model: nn.Module, folder: Path) -> set[str]:
    """Merges the adapter in `folder` into `model`, in place; returns the names of the parameters it set whole.

    The sums are in fp32 whatever the format of the model, and rounded to it once.

    Raises:
        UserError: the adapter does not fit the model.
    """
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers.pytorch_utils import Conv1D

    config = read_adapter_config(folder)
    try:
        tensors = load_file(folder / WEIGHTS_NAME)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{WEIGHTS_NAME} of the checkpoint cannot be read: {error}.") from error
    factors: dict[str, dict[str, torch.Tensor]] = {}
    whole: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        name = key.removeprefix(_PREFIX)
        if match := _FACTOR.fullmatch(name):
            # An embedding's factors are stored transposed: delta = (B @ A).T
            side = match["side"] + ("T" if match["embedding"] else "")
            factors.setdefault(match["module"], {})[side] = tensor
        else:
            whole[name.replace(".base_layer.", ".")] = tensor
    parameters = dict(model.named_parameters())
    buffers = dict(model.named_buffers())
    with torch.no_grad():
        for name, tensor in whole.items():
            _assign(parameters.get(name, buffers.get(name)), tensor, name)
        for module, sides in factors.items():
            delta = _delta(sides, module)
            weight = parameters.get(f"{module}.weight")
            if weight is not None and isinstance(model.get_submodule(module), Conv1D):
                delta = delta.T  # GPT-2's layers keep their weight as [in, out]
            _add(weight, delta, _scale(config, module), module)
    return set(whole)


def _assign(target: torch.Tensor | None, value: torch.Tensor, name: str) -> None:
    if target is None or target.shape != value.shape:
        raise UserError(
            f"the checkpoint's adapter does not fit the base model at '{name}': use the base it was trained from."
        )
    target.copy_(value)


def _delta(sides: Mapping[str, torch.Tensor], module: str) -> torch.Tensor:
    if {"A", "B"} <= sides.keys():
        return sides["B"].float() @ sides["A"].float()
    if {"AT", "BT"} <= sides.keys():
        return (sides["BT"].float() @ sides["AT"].float()).T
    raise UserError(f"the checkpoint's adapter is incomplete at '{module}': save it again.")


def _add(weight: torch.Tensor | None, delta: torch.Tensor, scale: float, module: str) -> None:
    if weight is None or weight.shape != delta.shape:
        raise UserError(
            f"the checkpoint's adapter does not fit the base model at '{module}': use the base it was trained from."
        )
    weight.copy_(weight.float().add_(delta, alpha=scale))


def _scale(config: Mapping[str, Any], module: str) -> float:
    rank = _pattern(config.get("rank_pattern") or {}, module, config["r"])
    alpha = _pattern(config.get("alpha_pattern") or {}, module, config["lora_alpha"])
    return float(alpha) / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _pattern(patterns: Mapping[str, float], module: str, default: float) -> float:
    """The first pattern that matches the end of the module's name decides, as in peft's get_pattern_key."""
    for pattern, value in patterns.items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default
