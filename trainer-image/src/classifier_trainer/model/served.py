"""A checkpoint's model, opened as the server opens it; and what is saved so that it can be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedModel

from classifier_artifacts.adapter import merge_adapter
from classifier_artifacts.bfloat16 import cast, to_bfloat16
from classifier_artifacts.folder import ModelFolder
from classifier_trainer.compute import Compute
from classifier_trainer.model.load import Backbone

Floats = npt.NDArray[np.float32]


def load_served(opened: ModelFolder, compute: Compute) -> PreTrainedModel:
    """The model in the number format and on the device of `compute`, by the same way as in the server."""
    narrow = compute.dtype == torch.bfloat16
    # On a GPU it needs no copy in fp32, which 4e9 parameters would make 16 GB.
    model = opened.load_model(torch.bfloat16 if narrow and compute.device.type == "cuda" else torch.float32)
    if narrow:
        to_bfloat16(model, compute.device)
    module: nn.Module = model  # transformers hides the type of to() behind its decorator
    module.to(compute.device)
    return model


def give_head(model: PreTrainedModel, name: str, weight: Floats, bias: Floats | None) -> None:
    """Writes weight [k, d] and bias [k] into the layer `name`."""
    head = model.get_submodule(name)
    assert isinstance(head, nn.Linear)  # noqa: S101  # for the type checker
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(weight))
        if bias is not None:
            head.bias.copy_(torch.from_numpy(bias))


def merged(backbone: Backbone, adapter: Path) -> PreTrainedModel:
    """The backbone, loaded once more, with the adapter in the folder `adapter` merged into it in fp32.

    It is in the number format of the base model's own file, but for what is new, which keeps every bit.
    """
    # Weights that stand in no file (a base model and an adapter) must not be rounded twice.
    nested = backbone.continued is not None and backbone.continued.is_adapter
    model = _again(backbone, torch.float32 if nested else backbone.stored_dtype)
    for name in backbone.new_modules:
        model.get_submodule(name).float()
    merge_adapter(model, adapter)
    kept = {id(part) for name, part in model.named_parameters() if _within(name, backbone.new_modules)}
    cast(model, backbone.stored_dtype, kept)
    return model


def save_head_only(backbone: Backbone, folder: Path) -> None:
    """Saves a backbone of which only the new modules were trained, each weight as its own file has it."""
    model = backbone.model
    if model.dtype != backbone.stored_dtype:
        # Loaded anew, for what was rounded for computing must not be what is saved.
        trained = dict(model.named_parameters())
        model = _again(backbone, backbone.stored_dtype)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if _within(key, backbone.new_modules):
                    parameter.data = trained[key].detach().float().cpu()
    model.save_pretrained(folder)


def _again(backbone: Backbone, dtype: torch.dtype) -> PreTrainedModel:
    assert backbone.again is not None  # noqa: S101  # load_backbone sets it
    return backbone.again(dtype).model


def _within(name: str, modules: Sequence[str]) -> bool:
    return any(name.startswith(f"{module}.") for module in modules)
