"""How a model computes in bfloat16, and how that keeps its probabilities near those of float32.

bfloat16 has 8 significant bits. Measured with SmolLM2-135M and a linear head on 250 texts of R8, one thread, against
float32: everything in bfloat16 is 2.1 times as fast and moves a probability by up to .064, which changes a label that
led by .09. Nearly all of it comes from rounding activations, most in the first layers, whose errors the later ones
amplify. So on a CPU, where additions and memory cost little beside the matrix products, only these take bfloat16 inputs
(1.9 times as fast, .034), and in the first third of the layers the rounding error is a second product: 1.4 times as
fast, .018, no label changed. A shallow encoder needs no second product (MiniLM, trained on R8, 1,000 texts: .013, no
label that led by .01 changed), which is tried with a few random texts.

The trainer calibrates and tests on what is served, so both go through here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  # as everyone calls it
from torch import nn
from transformers import PreTrainedModel

from classifier_artifacts.trial_texts import trial_texts

_COMPENSATED_SHARE = 1 / 3
_TRIED_LENGTHS = (8, 12, 16, 24, 32, 40, 48, 64)
# Larger models are deeper, need it, and would take long to be tried.
_TRIED_PARAMETERS = 100_000_000
# Of a logit. The texts of R8 differed by up to 1.6 times as much as random ones, and a probability by a sixth of that.
_TOLERANCE = 0.06

Logits = Callable[[Sequence[Sequence[int]]], torch.Tensor]
"""[texts, labels] of the token ids of each text."""


def to_bfloat16(model: PreTrainedModel, device: torch.device, logits: Logits | None = None) -> None:
    """Makes the fp32 `model` (or one cast by `cast_backbone`) compute in bfloat16, in place.

    Its head stays in float32, for a head is tiny and the logits' last bits decide. `logits` computes them, where that
    is not a call of the model.
    """
    heads = head_modules(model)
    if device.type == "cuda":
        cast_backbone(model, torch.bfloat16)
        for head in heads:
            head.register_forward_pre_hook(_to_float32)
        return
    excluded = {id(module) for head in heads for module in head.modules()}
    # Subclasses of Linear may compute something else; they stay as they are.
    linears = [module for module in model.modules() if type(module) is nn.Linear and id(module) not in excluded]
    cast(model, torch.float32, {id(part) for linear in linears for part in linear.parameters()})
    compute = logits or _alone(model)
    small = sum(linear.weight.numel() for linear in linears) <= _TRIED_PARAMETERS
    wide = all(linear.weight.dtype == torch.float32 for linear in linears)
    texts = trial_texts(model, _TRIED_LENGTHS) if small and wide else []
    with torch.no_grad():
        expected = compute(texts) if texts else None
        for linear in linears:
            linear.to(torch.bfloat16)
            linear.__class__ = RoundingLinear
        if expected is None or float((compute(texts) - expected).abs().max()) > _TOLERANCE:
            for linear in linears[: math.ceil(_COMPENSATED_SHARE * len(linears))]:
                linear.__class__ = CompensatedLinear


def _alone(model: Any) -> Logits:
    def logits(texts: Sequence[Sequence[int]]) -> torch.Tensor:
        rows = [torch.tensor([list(text)], device=model.device) for text in texts]
        return torch.cat([model(input_ids=row, attention_mask=torch.ones_like(row)).logits for row in rows])

    return logits


def head_modules(model: PreTrainedModel) -> list[nn.Module]:
    """What stands beside the backbone: the classification head."""
    return [child for name, child in model.named_children() if name != model.base_model_prefix]


def cast_backbone(model: PreTrainedModel, dtype: torch.dtype) -> None:
    """Casts the weights to `dtype`, in place; the head is float32 whatever that is."""
    heads = [parameter for head in head_modules(model) for parameter in head.parameters()]
    for parameter in heads:
        parameter.data = parameter.data.float()
    cast(model, dtype, {id(parameter) for parameter in heads})


def cast(model: nn.Module, dtype: torch.dtype, but: Collection[int] = ()) -> None:
    """Casts the floating-point parameters and stored buffers, except those whose `id` is in `but`.

    Buffers that are computed and not stored stay: a rotary embedding's frequencies, rounded to bfloat16, would place
    the tokens of a long text wrongly.
    """
    stored = set(model.state_dict(keep_vars=True))
    named = [*model.named_parameters(), *((name, buffer) for name, buffer in model.named_buffers() if name in stored)]
    for _, tensor in named:
        if tensor.is_floating_point() and id(tensor) not in but:
            tensor.data = tensor.data.to(dtype)


def keep_bfloat16(linear: nn.Linear) -> None:
    """Lets `linear`, once it is a RoundingLinear, answer in the format of its product, because what comes next rounds
    to it anyway."""
    linear.__dict__["keeps_bfloat16"] = True


class RoundingLinear(nn.Linear):
    """A product in bfloat16 between activations in float32."""

    keeps_bfloat16 = False

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.shown(F.linear(input.to(torch.bfloat16), self.weight, self.bias))

    def shown(self, product: torch.Tensor) -> torch.Tensor:
        """The product as it is answered."""
        return product if self.keeps_bfloat16 else product.float()


class CompensatedLinear(nn.Linear):
    """The same with twice the significant bits in its input, the rounded input and what rounding took from it; its
    answer is always in float32."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rounded = input.to(torch.bfloat16)
        rest = (input - rounded).to(torch.bfloat16)
        return F.linear(rounded, self.weight, self.bias).float() + F.linear(rest, self.weight)


def _to_float32(_: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.float() if torch.is_tensor(value) and value.is_floating_point() else value for value in inputs)
