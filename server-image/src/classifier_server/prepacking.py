"""Weights of linear layers in the layout that oneDNN computes with, laid out once instead of in every product.

Measured on one core of an EPYC 9004, all 36 products of MiniLM, float32: 8 tokens take 3.9 ms instead of 6.6, 70 tokens
16 instead of 21, 512 tokens 102 instead of 117; with bfloat16 weights 2.6 instead of 3.6, 8.4 instead of 10.5 and 50
instead of 55.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable

import torch
from torch import nn

from classifier_artifacts.bfloat16 import CompensatedLinear, RoundingLinear

logger = logging.getLogger(__name__)

# Rows that the layout is made for; it was as good for any other number.
_ROWS = 256
_TOLERANCE = 1e-2

_reorder: Callable[[torch.Tensor, int], torch.Tensor] = torch.ops.mkldnn._reorder_linear_weight
_product: Callable[..., torch.Tensor] = torch.ops.mkldnn._linear_pointwise


def prepack(model: nn.Module) -> int:
    """Changes the linear layers of a model on a CPU in place; returns how many.

    They give up their plain weights, so that memory holds each once; the model can neither be saved nor trained after
    it. Layers whose weights something else uses too stay, and all where this build of torch cannot do it.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]  # torch does not annotate it
        return 0
    users = Counter(id(parameter) for _, parameter in model.named_parameters(remove_duplicate=False))
    changed = 0
    with torch.no_grad():
        for module in list(model.modules()):
            kind = _PACKED.get(type(module))
            if kind is None or not isinstance(module, nn.Linear) or users[id(module.weight)] > 1:
                continue
            if changed == 0 and not _works(module.weight):
                logger.info("linear layers stay as they are: oneDNN does not take them here")
                return 0
            # No buffer: it has no storage that could be saved or moved.
            object.__setattr__(module, "packed", _reorder(module.weight, _ROWS))
            module.weight.data = torch.empty(0, dtype=module.weight.dtype)
            module.__class__ = kind
            changed += 1
    return changed


def _works(weight: torch.Tensor) -> bool:
    rows = torch.linspace(-1, 1, weight.shape[1], dtype=torch.float32).to(weight.dtype).unsqueeze(0)
    try:
        found = _product(rows, _reorder(weight, _ROWS), None, "none", [], "")
    except (RuntimeError, AttributeError) as error:
        logger.debug("%s", error)
        return False
    expected = torch.nn.functional.linear(rows, weight)
    scale = max(float(expected.abs().max()), 1.0)
    return float((found - expected).abs().max()) <= _TOLERANCE * scale


class _PackedLinear(nn.Linear):
    packed: torch.Tensor

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return _product(input, self.packed, self.bias, "none", [], "")


class _PackedRounding(RoundingLinear):
    packed: torch.Tensor

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return self.shown(_product(input.to(torch.bfloat16), self.packed, self.bias, "none", [], ""))


class _PackedCompensated(nn.Linear):
    packed: torch.Tensor

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rounded = input.to(torch.bfloat16)
        rest = (input - rounded).to(torch.bfloat16)
        whole = _product(rounded, self.packed, self.bias, "none", [], "").float()
        return whole.add_(_product(rest, self.packed, None, "none", [], ""))


_PACKED: dict[type[nn.Module], type[nn.Linear]] = {
    nn.Linear: _PackedLinear,
    RoundingLinear: _PackedRounding,
    CompensatedLinear: _PackedCompensated,
}
