"""The loop: an update is the same however it is cut, and a run is the same twice."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from classifier_artifacts.classifier_json import Task
from classifier_trainer.priors import class_weights, training_offset
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.gradients import draws_numbers, side_by_side
from classifier_trainer.train.loop import Settings, Step
from classifier_trainer.train.schedule import default_learning_rate, default_rates, factor
from support.row_weights import row_weights
from support.tiny_training import SETTINGS, Classifier, budget, tiny_loop


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not worth two, which wait for each other on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def run(
    model: Classifier,
    tokens: int,
    exclusive: bool = True,
    settings: Settings = SETTINGS,
    stop: int | None = None,
    workers: int = 1,
) -> list[Step]:
    loop = tiny_loop(model, budget(tokens, workers=workers), exclusive=exclusive, settings=settings)
    return list(islice(loop, stop))


def same(first: nn.Module, second: nn.Module) -> bool:
    others = dict(second.named_parameters())
    return all(torch.equal(parameter, others[name]) for name, parameter in first.named_parameters())


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("exclusive", [True, False])
def test_accumulation_is_exactly_one_large_batch(exclusive: bool, workers: int) -> None:
    whole, cut = Classifier(), Classifier()
    cut.load_state_dict(whole.state_dict())
    large, small = run(whole, 100_000, exclusive), run(cut, 30, exclusive, workers=workers)
    assert [step.loss for step in small] == pytest.approx([step.loss for step in large], rel=1e-5)
    assert [step.grad_norm for step in small] == pytest.approx([step.grad_norm for step in large], rel=1e-5)
    for name, parameter in whole.named_parameters():
        torch.testing.assert_close(parameter, dict(cut.named_parameters())[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("dropout", "workers"), [(0.3, 1), (0.3, 3), (0.0, 3)])
def test_two_runs_are_bitwise_the_same(dropout: float, workers: int) -> None:
    first, second = Classifier(dropout), Classifier(dropout)
    one = run(first, 100, workers=workers)
    torch.manual_seed(99)  # whatever happened before
    two = run(second, 100, workers=workers)
    assert [step.loss for step in one] == [step.loss for step in two]
    assert same(first, second)


def test_threads_only_where_nothing_is_drawn_and_memory_suffices() -> None:
    model = Classifier()
    trained = list(model.parameters())
    assert side_by_side(model, trained, budget(1, workers=3)) == 3
    assert side_by_side(Classifier(0.1), trained, budget(1, workers=3)) == 1
    huge = [nn.Parameter(torch.empty(2**50, device="meta"))]
    assert side_by_side(model, huge, budget(1, workers=3)) == 1
    assert not draws_numbers(model)
    # A rate that is no module: what a Llama's attention is called with.
    model.backbone.layers[0].self_attn.attention_dropout = 0.1
    assert draws_numbers(model)


def test_an_error_in_a_thread_is_the_loops() -> None:
    loop = tiny_loop(Classifier(), budget(30, workers=2))

    def broken(*_: object) -> torch.Tensor:
        raise ZeroDivisionError

    object.__setattr__(loop._gradients, "forward", broken)
    with pytest.raises(ZeroDivisionError):
        next(iter(loop))
    assert loop.done == 0


def test_what_the_caller_does_between_updates_changes_nothing() -> None:
    first, second = Classifier(0.3), Classifier(0.3)
    plain = run(first, 100, stop=6)
    losses = []
    for step in tiny_loop(second, budget(100)):
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


@pytest.mark.parametrize("exclusive", [True, False])
def test_loss_in_parts_is_the_loss_of_the_whole(exclusive: bool) -> None:
    generator = np.random.default_rng(3)
    logits = torch.from_numpy(generator.normal(size=(9, 4)))
    targets = np.eye(4)[generator.integers(0, 4, 9)] if exclusive else (generator.random((9, 4)) > 0.6).astype(float)
    whole = Goal(targets, exclusive)
    rows = list(range(9))
    if exclusive:
        wanted = functional.cross_entropy(logits, torch.from_numpy(targets.argmax(axis=1)))
    else:
        wanted = functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets))
    assert float(whole.loss(logits, rows)) / whole.total(rows) == pytest.approx(float(wanted))

    # Weights, as torch has them; and an offset is added to the logits.
    counts = targets.sum(axis=0).astype(np.int64)
    task: Task = "Multiclass" if exclusive else "Multilabel"
    weights = class_weights(counts, 9, task)
    each = torch.from_numpy(row_weights(weights, targets.astype(np.int8), task))
    offset = np.array([0.5, -0.2, 0.0, 1.0])
    goal = Goal(targets, exclusive, weights, offset)
    shifted = logits + torch.from_numpy(offset)
    if exclusive:
        wanted = functional.cross_entropy(
            shifted, torch.from_numpy(targets.argmax(axis=1)), weight=torch.from_numpy(weights)
        )
    else:
        losses = functional.binary_cross_entropy_with_logits(shifted, torch.from_numpy(targets), reduction="none")
        wanted = (losses * each).sum() / each.sum()
    parts = sum(float(goal.loss(logits[part], part)) for part in ([0, 4, 5], [1], [2, 3, 6, 7, 8]))
    assert parts / goal.total(rows) == pytest.approx(float(wanted))


def test_raw_logits_are_right_for_the_natural_prior() -> None:
    """A bias alone, trained on balanced rows with the offset, learns the frequencies of the world."""
    counts, rows, natural = np.array([50, 50]), 100, np.array([90, 10])
    targets = np.eye(2)[np.repeat([0, 1], 50)]
    goal = Goal(targets, True, None, training_offset((counts, rows), (natural, 100), "Multiclass"))
    bias = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([bias], max_iter=100, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = goal.loss(bias.expand(rows, 2), list(range(rows))) / goal.total(list(range(rows)))
        value.backward()  # type: ignore[no-untyped-call]  # untyped in torch
        return value

    optimizer.step(loss)  # type: ignore[arg-type, no-untyped-call, unused-ignore]
    assert torch.softmax(bias.detach(), 0).tolist() == pytest.approx([0.9, 0.1], abs=1e-4)


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


def test_full_takes_a_tenth_and_its_head_the_rate_of_lora() -> None:
    assert default_rates(576, full=False, learning_rate=None, head_learning_rate=None) == pytest.approx((5e-4, 1e-3))
    assert default_rates(576, full=True, learning_rate=None, head_learning_rate=None) == pytest.approx((5e-5, 1e-3))
    assert default_rates(576, full=False, learning_rate=1e-2, head_learning_rate=None) == (1e-2, 2e-2)
    assert default_rates(576, full=True, learning_rate=1e-3, head_learning_rate=1e-4) == (1e-3, 1e-4)
