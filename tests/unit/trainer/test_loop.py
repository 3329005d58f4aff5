"""The loop: an update is the same however it is cut, and a run is the same twice."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from classifier_trainer.batching import padded_forward
from classifier_trainer.compute import Compute
from classifier_trainer.data.batches import updates
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.loop import Loop, Rows, Settings, Step, Trainable
from classifier_trainer.train.schedule import default_learning_rate, factor
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
PAD = 3


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not worth two, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Classifier(nn.Module):
    """A tiny Llama with a head on its last token; in fp64, so that only real differences show."""

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
    """A compute with another token budget."""

    tokens = 0

    @property
    def token_budget(self) -> int:
        return self.tokens


def compute(tokens: int) -> Compute:
    made = Budget(torch.device("cpu"), torch.float32)
    object.__setattr__(made, "tokens", tokens)
    return made


def job(model: Classifier, tokens: int, exclusive: bool = True, settings: Settings = SETTINGS, **goal: Any) -> Loop:
    generator = np.random.default_rng(1)
    ids = [generator.integers(4, 400, size).tolist() for size in generator.integers(3, 20, 50)]
    targets = np.eye(3)[generator.integers(0, 3, 50)]
    lengths = [len(row) for row in ids]
    made = compute(tokens)
    names = [name for name, _ in model.named_parameters()]
    return Loop(
        Trainable(
            model,
            [name for name in names if not name.startswith("head.")],
            [name for name in names if name.startswith("head.")],
            padded_forward(model, PAD, made.device),
        ),
        Rows(ids, lengths, Goal(targets, exclusive, **goal), lambda epoch: updates(lengths, 16, settings.seed, epoch)),
        settings,
        made,
    )


def run(
    model: Classifier, tokens: int, exclusive: bool = True, settings: Settings = SETTINGS, stop: int | None = None
) -> list[Step]:
    return list(islice(job(model, tokens, exclusive, settings), stop))


@pytest.mark.parametrize("exclusive", [True, False])
def test_accumulation_is_exactly_one_large_batch(exclusive: bool) -> None:
    whole, cut = Classifier(), Classifier()
    cut.load_state_dict(whole.state_dict())
    large, small = run(whole, 100_000, exclusive), run(cut, 30, exclusive)
    assert [step.loss for step in small] == pytest.approx([step.loss for step in large], rel=1e-5)
    assert [step.grad_norm for step in small] == pytest.approx([step.grad_norm for step in large], rel=1e-5)
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(parameter, dict(cut.named_parameters())[name], rtol=1e-4, atol=1e-6)


def test_two_runs_are_bitwise_the_same_with_dropout() -> None:
    first, second = Classifier(0.3), Classifier(0.3)
    one = run(first, 100)
    torch.manual_seed(99)  # whatever happened before
    two = run(second, 100)
    assert [step.loss for step in one] == [step.loss for step in two]
    for name, parameter in first.named_parameters():
        assert torch.equal(parameter, dict(second.named_parameters())[name])


def test_what_the_caller_does_between_updates_changes_nothing() -> None:
    first, second = Classifier(0.3), Classifier(0.3)
    plain = run(first, 100, stop=6)
    losses = []
    for step in job(second, 100):
        losses.append(step.loss)
        second.eval()
        torch.rand(7)
        if step.step == 6:
            break
    assert losses == [step.loss for step in plain]


def test_steps_tell_where_the_run_is() -> None:
    steps = run(Classifier(), 1000)
    assert [step.step for step in steps] == list(range(1, 9))
    assert {step.steps for step in steps} == {8}
    assert [step.epoch for step in steps] == [1] * 4 + [2] * 4
    assert [step.step for step in steps if step.last_of_epoch] == [4, 8]
    assert sum(step.rows for step in steps) == 100
    assert steps[-1].loss < steps[0].loss


def test_head_has_its_own_rate_and_clipping_holds() -> None:
    frozen = Classifier()
    before = copy.deepcopy(frozen.state_dict())
    run(frozen, 1000, settings=Settings(1, 0.0, 1e-2, "Constant", 0.0, 0.0, 1.0, 1), stop=1)
    changed = {name for name, value in frozen.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"head.weight", "head.bias"}


def test_schedules() -> None:
    linear = [factor("Linear", update, 10, 0.2) for update in range(10)]
    assert linear[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert linear[2:] == sorted(linear[2:], reverse=True)
    assert linear[-1] == pytest.approx(1 / 8)
    cosine = [factor("Cosine", update, 10, 0.0) for update in range(10)]
    assert cosine[0] == 1.0
    assert cosine[5] == pytest.approx(0.5)
    assert [factor("Constant", update, 10, 0.0) for update in range(10)] == [1.0] * 10
    assert all(0 < factor("Linear", update, 1, 0.03) <= 1 for update in range(1))


@pytest.mark.parametrize(("width", "rate"), [(576, 5e-4), (2560, 2e-4), (32, 1e-3), (100_000, 5e-5)])
def test_learning_rate_by_width(width: int, rate: float) -> None:
    assert default_learning_rate(width) == pytest.approx(rate, rel=1e-6)
