"""What the logits are held against: targets, the weights of rows or labels, and what is added to the logits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Goal:
    """The loss of rows; it can be taken part by part, and divided by `total` of the whole update."""

    targets: npt.NDArray[np.float64]
    """[n, L] of 0 and 1."""
    exclusive: bool
    """Exactly one 1 a row: cross-entropy. Else binary cross-entropy, each row with the mean of its labels."""
    weights: Floats | None = None
    """If exclusive, the weight of a row by its class, [L]; else of each pair of row and label without and with the
    label, [2, L]."""
    offset: Floats | None = None
    """Added to the logits, [L], so that without it they are right for other class frequencies than those trained on."""

    def total(self, rows: Sequence[int]) -> float:
        """What the sum of the rows' losses is divided by: their number, or the sum of their weights."""
        if self.weights is None:
            return float(len(rows))
        weights = self.weights_of(np.asarray(self.targets[list(rows)]))
        return float(weights.sum() if self.exclusive else weights.mean(axis=1).sum())

    def loss(self, logits: torch.Tensor, rows: Sequence[int]) -> torch.Tensor:
        """The sum of the rows' losses, for their logits [rows, L]."""
        wanted = np.asarray(self.targets[list(rows)])
        targets = torch.from_numpy(wanted).to(logits)
        if self.offset is not None:
            logits = logits + torch.from_numpy(self.offset).to(logits)
        if self.exclusive:
            losses = functional.cross_entropy(logits, targets.argmax(dim=1), reduction="none")
        else:
            losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        if self.weights is not None:
            losses = losses * torch.from_numpy(self.weights_of(wanted)).to(logits)
        return losses.sum() if self.exclusive else losses.mean(dim=1).sum()

    def weights_of(self, targets: Floats) -> Floats:
        """The weights of rows [rows] if exclusive, else of pairs [rows, L], by their targets [rows, L]."""
        assert self.weights is not None  # noqa: S101  # for the type checker
        if self.exclusive:
            return np.asarray(self.weights[targets.argmax(axis=1)])
        return np.asarray(np.where(targets > 0, self.weights[1], self.weights[0]))
