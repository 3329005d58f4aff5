"""Adapters on the backbone; what is new is trained whole."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from peft.helpers import disable_input_dtype_casting
from torch import nn
from transformers.pytorch_utils import Conv1D

from classifier_trainer.compute import Compute
from classifier_trainer.errors import UserError
from classifier_trainer.model.load import PEFT_HEADS, Backbone

_SHORT = 256
"""Tokens of the longest row up to which plain attention is the faster one on a CPU."""


@dataclass(frozen=True)
class Adapted:
    """The backbone with adapters, ready to train."""

    model: PeftModel
    adapter_parameters: list[nn.Parameter]
    head_parameters: list[nn.Parameter]
    """Everything that is new, the head's parameters among it; they get the head's learning rate."""


def add_adapter(
    backbone: Backbone, *, rank: int, alpha: float, dropout: float, target_modules: Sequence[str] | None
) -> Adapted:
    """Puts LoRA on the linear layers (None: all of them but what is new) and makes what is new trainable.

    Raises:
        UserError: `target_modules` names a layer that the model does not have.
    """
    linear = [name for name, part in backbone.model.named_modules() if isinstance(part, nn.Linear | Conv1D)]
    frozen = [name for name in linear if not _within(name, backbone.new_modules)]
    chosen = _suffixes(frozen, [name for name in linear if name not in frozen])
    if target_modules is not None:
        chosen = list(target_modules)
        for target in chosen:
            if not any(name == target or name.endswith(f".{target}") for name in frozen):
                known = ", ".join(sorted({name.rpartition(".")[2] for name in frozen}))
                raise UserError(
                    f"hyperparameters.lora.targetModules: '{backbone.uri}' has no layer '{target}': it has {known}."
                )
    config = LoraConfig(
        task_type=TaskType.SEQ_CLS,
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type]  # peft divides it, and takes any number
        lora_dropout=dropout,
        target_modules=chosen,
        exclude_modules=_exclude(chosen, backbone.new_modules, linear),
        # peft adds these two itself.
        modules_to_save=[name for name in backbone.new_modules if name not in PEFT_HEADS] or None,
    )
    model = get_peft_model(backbone.model, config)
    # The head would stay in the backbone's bf16, in which small updates vanish.
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    return Adapted(
        model=model,
        adapter_parameters=[parameter for name, parameter in named if ".lora_" in name],
        head_parameters=[parameter for name, parameter in named if ".lora_" not in name],
    )


@contextmanager
def prepared_for_training(adapted: Adapted, compute: Compute, longest: int) -> Iterator[None]:
    """Sets, for the time of the training, what makes the same computation cheaper."""
    model: Any = adapted.model.get_base_model()
    before = model.config._attn_implementation
    if compute.device.type == "cpu" and longest <= _SHORT and before == "sdpa":
        # torch's fused attention is slower backwards than plain products on short rows: 25 to 8 ms at 64 tokens.
        model.set_attn_implementation("eager")
    try:
        # Autocast casts anyway; peft would cast every input to fp32 first.
        with disable_input_dtype_casting(adapted.model):
            yield
    finally:
        model.set_attn_implementation(before)


def save_adapter(adapted: Adapted, folder: Path, base_uri: str) -> None:
    """Writes adapter_config.json and adapter_model.safetensors."""
    config = adapted.model.peft_config["default"]
    # The path of this pod would mean nothing elsewhere.
    config.base_model_name_or_path = re.sub(r"^hf://", "", base_uri).partition("@")[0]
    # "auto" would ask the hub for the base model's vocabulary; it never changes here.
    adapted.model.save_pretrained(str(folder), save_embedding_layers=False)
    # peft adds a README that has nothing but blanks to fill in.
    (folder / "README.md").unlink(missing_ok=True)


def _within(name: str, modules: Sequence[str]) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in modules)


def _suffixes(wanted: Sequence[str], others: Sequence[str]) -> list[str]:
    """Last parts of the names where those say enough, else whole names: the checkpoint stays readable."""
    taken = {name.rpartition(".")[2] for name in others}
    return sorted({last if (last := name.rpartition(".")[2]) not in taken else name for name in wanted})


def _exclude(targets: Sequence[str], new_modules: Sequence[str], linear: Sequence[str]) -> list[str] | None:
    """New layers whose names end like a target's."""
    hit = [
        name
        for name in linear
        if _within(name, new_modules) and any(name == target or name.endswith(f".{target}") for target in targets)
    ]
    return hit or None
