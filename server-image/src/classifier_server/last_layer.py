"""The last layer of a packed model, of which the head takes one token a text.

Keys and values are needed of all tokens; what comes behind them, most of the layer, of those tokens alone. With six
layers an eighth of all products is saved.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from classifier_server.packed_rows import Row, StoppedError, current


class LastLayer(nn.Module):
    """In the place of any architecture's last layer."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, hidden: torch.Tensor, *args: Any, **options: Any) -> Any:
        """Hidden states [1, kept tokens, size] of all [1, tokens, size]."""
        row = current.row
        if row is None or row.kept is None:
            return self.layer(hidden, *args, **options)
        try:
            current.stops = True
            self.layer(hidden, *args, **options)
        except StoppedError:
            current.stops = False
            return self.layer(_kept(hidden, row), *_kept(args, row), **_kept(options, row))
        finally:
            current.stops, current.keys_and_values = False, None
        raise NotImplementedError("a layer without attention")


def _kept(value: Any, row: Row) -> Any:
    """Of everything that holds something for each token what it holds for the kept ones."""
    if isinstance(value, tuple):
        return tuple(_kept(part, row) for part in value)
    if isinstance(value, dict):
        return {name: _kept(part, row) for name, part in value.items()}
    if isinstance(value, torch.Tensor) and value.ndim > 1 and value.shape[1] == row.ids.shape[1]:
        return value[:, row.kept]
    return value
