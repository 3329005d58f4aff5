"""Every weight is trained."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from classifier_trainer.model.load import Backbone
from classifier_trainer.model.trained import State, Trained


def train_all(backbone: Backbone) -> Trained:
    """Makes every parameter trainable, in fp32: small updates would vanish in bf16.

    The backbone must have been loaded in fp32, or its weights are those that bf16 left of them.
    """
    model: nn.Module = backbone.model
    model.float()
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    names = [name for name, _ in model.named_parameters()]
    head = [name for name in names if _is_new(name, backbone)]

    def save(folder: Path, state: State | None) -> None:
        save_whole(backbone, folder, state)

    return Trained(
        model=model,
        inner=backbone.model,
        head_name=backbone.head_name,
        new_names=backbone.new_modules,
        body=[name for name in names if name not in set(head)],
        head=head,
        save=save,
    )


def save_whole(backbone: Backbone, folder: Path, state: State | None = None) -> None:
    """Writes config.json and model.safetensors: the backbone in the format of its own file, what is new in fp32."""
    found = backbone.model.state_dict() if state is None else state
    rounded = {
        name: tensor.detach().to(torch.float32 if _is_new(name, backbone) else backbone.stored_dtype)
        if tensor.is_floating_point()
        else tensor
        for name, tensor in found.items()
    }
    backbone.model.save_pretrained(folder, state_dict=rounded)


def _is_new(name: str, backbone: Backbone) -> bool:
    return any(name.startswith(f"{module}.") for module in backbone.new_modules)
