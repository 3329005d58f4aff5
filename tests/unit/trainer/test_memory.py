"""Memory that runs out: the same update in smaller pieces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
import torch
from torch import nn

from classifier_trainer.batching import padded_forward
from classifier_trainer.errors import UserError
from classifier_trainer.train.loop import Loop
from classifier_trainer.train.memory import must_be_sharded, training_bytes
from support.tiny_training import PAD, Classifier, budget, tiny_loop


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not worth two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Device:
    """A model on a device that bears so many padded tokens at a time."""

    def __init__(self, model: nn.Module, bears: int) -> None:
        self.model, self.bears = model, bears
        self.calls: list[int] = []
        self.failed = 0

    def __call__(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        tokens = len(rows) * max(map(len, rows))
        logits = padded_forward(self.model, PAD, torch.device("cpu"))(rows)
        if tokens > self.bears:
            self.failed += 1
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB.")
        self.calls.append(tokens)
        return logits


def loop_on(model: Classifier, device: Device, tokens: int, **more: Any) -> Loop:
    loop = tiny_loop(model, budget(tokens, tight=True), **more)
    object.__setattr__(loop._gradients, "forward", device)
    return loop


def test_longest_batch_is_tried_before_the_first_update_and_changes_nothing() -> None:
    plain, tried = Classifier(), Classifier()
    wanted = [step.loss for step in tiny_loop(plain, budget(64))]
    device = Device(tried, 64)
    loop = loop_on(tried, device, 1000)
    found = [step.loss for step in loop]
    assert loop.token_budget == 62  # 1000, halved until it fits
    # Once for each half that was too large, all of it before the first update.
    assert device.failed == 4
    assert found == pytest.approx(wanted, rel=1e-6)
    assert max(device.calls) <= 64
    assert not loop.saves_memory


def test_later_it_replays_the_whole_update_with_half_the_budget() -> None:
    plain, cut = Classifier(), Classifier()
    wanted = [step.loss for step in tiny_loop(plain, budget(1000))]
    device = Device(cut, 1000)
    loop = loop_on(cut, device, 1000)
    found = []
    for step in loop:
        found.append(step.loss)
        if step.step == 3:
            # From here on a part of each update is computed before memory runs out.
            device.bears = 100
    assert found == pytest.approx(wanted, rel=1e-6)
    assert loop.token_budget == 62
    assert device.failed == 4
    for name, parameter in plain.named_parameters():
        torch.testing.assert_close(parameter, dict(cut.named_parameters())[name], rtol=1e-6, atol=1e-9)


def test_activations_are_computed_twice_only_when_one_row_does_not_fit() -> None:
    model = Classifier()
    device = Device(model, 10)
    asked = []

    def save_memory() -> None:
        asked.append(loop.token_budget)
        device.bears = 40

    loop = loop_on(model, device, 100, save_memory=save_memory)
    step = next(iter(loop))
    assert step.step == 1
    # Not before a row stood alone; and then larger batches are tried once more.
    assert asked == [25] or asked == [12]
    assert loop.saves_memory
    assert loop.token_budget == 25

    fits = Device(Classifier(), 19)
    loop = loop_on(Classifier(), fits, 100, save_memory=save_memory)
    next(iter(loop))
    assert not loop.saves_memory


def test_a_row_that_never_fits_is_the_users_to_mend() -> None:
    loop = loop_on(Classifier(), Device(Classifier(), 2), 100, save_memory=lambda: None)
    with pytest.raises(UserError, match=r"hyperparameters\.maxLength: not even one row .* lower maxLength"):
        next(iter(loop))
    assert loop.done == 0


def test_estimate_of_memory() -> None:
    model = nn.Linear(1000, 1000, bias=False)
    whole = training_bytes(model, list(model.parameters()), layers=0, width=0, tokens=0)
    assert whole == 18 * 1_000_000  # weight, gradient, two moments in fp32, and a copy in bf16
    # A model of 8e9 parameters: in full not on 80 GiB, with adapters easily.
    with torch.device("meta"):
        large = nn.Linear(90_000, 90_000, bias=False)
        adapter = nn.Linear(5750, 5750, bias=False)
    shape = {"layers": 36, "width": 2560, "tokens": 1024}
    assert must_be_sharded(training_bytes(large, list(large.parameters()), **shape), 80 * 2**30)
    large.to(torch.bfloat16)
    assert not must_be_sharded(training_bytes(large, list(adapter.parameters()), **shape), 80 * 2**30)
