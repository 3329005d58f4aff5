"""Adapters on the backbone; what is new is trained whole."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from peft import LoraConfig, PeftModel, TaskType, get_peft_model
from torch import nn
from transformers.pytorch_utils import Conv1D

from classifier_trainer.errors import UserError
from classifier_trainer.model.load import PEFT_HEADS, Backbone
from classifier_trainer.model.trained import State, Trained


def add_adapter(
    backbone: Backbone, *, rank: int, alpha: float, dropout: float, target_modules: Sequence[str] | None
) -> Trained:
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
    names = [name for name, parameter in model.named_parameters() if parameter.requires_grad]

    def save(folder: Path, state: State | None) -> None:
        save_adapter(model, folder, backbone.uri, state)

    return Trained(
        model=model,
        inner=backbone.model,
        head_name=backbone.head_name,
        new_names=backbone.new_modules,
        body=[name for name in names if ".lora_" in name],
        head=[name for name in names if ".lora_" not in name],
        save=save,
    )


def save_adapter(model: PeftModel, folder: Path, base_uri: str, state: State | None = None) -> None:
    """Writes adapter_config.json and adapter_model.safetensors; the parameters from `state` where it is given."""
    config = model.peft_config["default"]
    # The path of this pod would mean nothing elsewhere.
    config.base_model_name_or_path = re.sub(r"^hf://", "", base_uri).partition("@")[0]
    # "auto" would ask the hub for the base model's vocabulary; it never changes here.
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=state)
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
