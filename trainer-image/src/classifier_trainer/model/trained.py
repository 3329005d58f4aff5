"""A model that is ready to be trained, whatever of it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.helpers import disable_input_dtype_casting
from torch import nn
from transformers import PreTrainedModel

from classifier_trainer.compute import Compute

_SHORT = 256
"""Tokens of the longest row up to which plain attention is the faster one on a CPU."""

State = Mapping[str, torch.Tensor]
"""Whole parameters by their names in `Trained.model`."""


@dataclass(frozen=True)
class Trained:
    """A model, and which of its parameters are trained."""

    model: nn.Module
    """Called with `input_ids` and `attention_mask`; answers with `.logits`."""
    inner: PreTrainedModel
    """The transformers model in it, or itself."""
    head_name: str
    """Name of the head in `inner`."""
    new_names: list[str]
    """Names of the modules in `inner` that are new, the head's among them."""
    body: list[str]
    """Names of the parameters that are trained at the learning rate."""
    head: list[str]
    """Names of those that are new, the head's among them; they have their own rate."""
    save: Callable[[Path, State | None], None]
    """Writes the weights into a folder; from a state, where the model itself is sharded."""

    def parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        named = dict(self.model.named_parameters())
        return [named[name] for name in (*self.body, *self.head)]

    def new_modules(self) -> list[nn.Module]:
        """The modules that are new, the head's among them."""
        return [self.inner.get_submodule(name) for name in self.new_names]

    def checkpoint_activations(self) -> None:
        """Keeps the inputs of each layer only, and computes the rest a second time on the way back."""
        self.inner.activation_checkpointing_enable()


@contextmanager
def prepared_for_training(trained: Trained, compute: Compute, longest: int) -> Iterator[None]:
    """Sets, for the time of the training, what makes the same computation cheaper."""
    model: Any = trained.inner
    before = model.config._attn_implementation
    if compute.device.type == "cpu" and longest <= _SHORT and before == "sdpa":
        # torch's fused attention is slower backwards than plain products on short rows: 25 to 8 ms at 64 tokens.
        model.set_attn_implementation("eager")
    with ExitStack() as stack:
        if isinstance(trained.model, PeftModel):
            # Autocast casts anyway; peft would cast every input to fp32 first.
            stack.enter_context(disable_input_dtype_casting(trained.model))
        try:
            yield
        finally:
            model.set_attn_implementation(before)
