"""A tiny classifier to be trained by the loop, in fp64, so that only real differences show."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from classifier_trainer.batching import padded_forward
from classifier_trainer.compute import Compute
from classifier_trainer.data.batches import updates
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.loop import Loop, Rows, Settings, Trainable
from support.tiny_models import tiny_model

SETTINGS = Settings(
    epochs=2,
    learning_rate=1e-2,
    head_learning_rate=2e-2,
    scheduler="Linear",
    warmup_ratio=0.1,
    weight_decay=0.01,
    max_grad_norm=1.0,
    seed=5,
)
PAD, ROWS, BATCH = 3, 50, 16


class Classifier(nn.Module):
    """A tiny Llama with a head on its last token."""

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.backbone: Any = tiny_model("llama").base_model.double()
        self.dropout = nn.Dropout(dropout)
        torch.manual_seed(0)
        self.head = nn.Linear(32, 3).double()

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> Any:
        hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        last = attention_mask.sum(dim=1) - 1
        logits = self.head(self.dropout(hidden[torch.arange(len(last)), last]))
        return type("Output", (), {"logits": logits})


class Budget(Compute):
    """A compute with another token budget, and a device that may be too small."""

    tokens = 0
    tight = False

    @property
    def token_budget(self) -> int:
        return self.tokens

    @property
    def memory_is_tight(self) -> bool:
        return self.tight


def budget(tokens: int, *, workers: int = 1, tight: bool = False, dtype: torch.dtype = torch.float32) -> Budget:
    """The CPU with a budget of `tokens`."""
    made = Budget(torch.device("cpu"), dtype, workers)
    object.__setattr__(made, "tokens", tokens)
    object.__setattr__(made, "tight", tight)
    return made


def data() -> tuple[list[list[int]], np.ndarray[Any, np.dtype[np.float64]]]:
    """Token ids of 50 rows, 3 to 19 tokens long, and their targets [50, 3]."""
    generator = np.random.default_rng(1)
    ids = [generator.integers(4, 400, size).tolist() for size in generator.integers(3, 20, ROWS)]
    return ids, np.eye(3)[generator.integers(0, 3, ROWS)]


def trainable(model: nn.Module, *, body: Sequence[str] = (), head: Sequence[str] = (), **more: Any) -> Trainable:
    """The parameters of those names, or everything but the head as the body."""
    names = [name for name, _ in model.named_parameters()]
    return Trainable(
        model,
        body or [name for name in names if not name.startswith("head.")],
        head or [name for name in names if name.startswith("head.")],
        padded_forward(model, PAD, torch.device("cpu")),
        **more,
    )


def tiny_loop(
    model: nn.Module,
    compute: Compute,
    *,
    exclusive: bool = True,
    settings: Settings = SETTINGS,
    goal: dict[str, Any] | None = None,
    **more: Any,
) -> Loop:
    """A loop of 4 updates an epoch."""
    ids, targets = data()
    lengths = [len(row) for row in ids]
    return Loop(
        trainable(model, **more),
        Rows(
            ids,
            lengths,
            Goal(targets, exclusive, **(goal or {})),
            lambda epoch: updates(lengths, BATCH, settings.seed, epoch),
        ),
        settings,
        compute,
    )
