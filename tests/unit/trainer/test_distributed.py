"""Two processes over gloo do what one does."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from classifier_trainer import distributed
from classifier_trainer.data.batches import updates
from classifier_trainer.train import state
from support.children import ranks
from support.ranks import (
    agree_on_things,
    exit_for_memory,
    found_by,
    loop_for,
    run_out_of_memory,
    train_sharded,
    train_together,
    trained_on,
)
from support.tiny_models import Kind
from support.tiny_training import SETTINGS, Classifier, budget, data, tiny_loop

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not worth two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_alone_everything_is_the_obvious(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    distributed.start()
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    assert distributed.agree(3, 4) == [3, 4]
    assert distributed.broadcast_object("x") == "x"
    tensor = torch.ones(2)
    distributed.add_up([tensor])
    distributed.copy_from_main([tensor])
    assert tensor.tolist() == [1, 1]
    distributed.barrier()
    distributed.stop()


def test_ranks_agree(tmp_path: Path) -> None:
    ranks(2, agree_on_things, tmp_path)
    for rank, found in enumerate(found_by(tmp_path, 2)):
        assert found == {
            "rank": rank,
            "size": 2,
            "main": rank == 0,
            "largest": [1, 5],
            "object": {"from": 0},
            "sums": [[3.0] * 3, [30.0] * 4, [3]],
            "copied": [0.0] * 6,
        }


def weights(folder: Path, rank: int) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = torch.load(folder / f"weights-{rank}.pt")
    return found


def test_two_processes_do_the_same_updates_as_one(tmp_path: Path) -> None:
    one = Classifier()
    wanted = list(tiny_loop(one, budget(60)))
    ranks(2, train_together, tmp_path, 0.0, None, None)
    first, second = found_by(tmp_path, 2)
    # Whatever the number of processes, `batchSize` rows an update, and the same ones.
    lengths = [len(row) for row in data()[0]]
    plan = [rows for epoch in (1, 2) for rows in updates(lengths, 16, SETTINGS.seed, epoch)]
    assert [sorted(a + b) for a, b in zip(first["seen"], second["seen"], strict=True)] == [
        sorted(rows) for rows in plan
    ]
    assert [step["rows"] for step in first["steps"]] == [16, 16, 16, 2] * 2
    for found in (first, second):
        assert [step["loss"] for step in found["steps"]] == pytest.approx([step.loss for step in wanted], rel=1e-6)
        assert [step["norm"] for step in found["steps"]] == pytest.approx([step.grad_norm for step in wanted], rel=1e-5)
        assert [step["tokens"] for step in found["steps"]] == [step.tokens for step in wanted]
    own, other = weights(tmp_path, 0), weights(tmp_path, 1)
    for name, value in one.state_dict().items():
        assert torch.equal(own[name], other[name])
        torch.testing.assert_close(own[name], value, rtol=1e-5, atol=1e-7)


def test_another_number_of_processes_goes_on_with_the_same_updates(tmp_path: Path) -> None:
    wanted = [step.loss for step in tiny_loop(Classifier(), budget(60))]
    ranks(2, train_together, tmp_path, 0.0, 3, None)
    saved = state.find(tmp_path / "state")
    assert saved is not None
    assert saved.update == 3
    loop = tiny_loop(Classifier(), budget(60))
    loop.restore(saved.tensors())
    losses = [step["loss"] for step in found_by(tmp_path, 2)[0]["steps"]] + [step.loss for step in loop]
    assert losses == pytest.approx(wanted, abs=1e-3)


def test_dropout_differs_by_rank_and_repeats_itself(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ranks(2, train_together, tmp_path / name, 0.3, 3, None)
    losses = [found_by(tmp_path / name, 2)[0]["steps"] for name in ("a", "b")]
    assert losses[0] == losses[1]


def test_sigterm_of_one_ends_all_at_one_update(tmp_path: Path) -> None:
    ranks(2, train_together, tmp_path, 0.0, None, 2)
    first, second = found_by(tmp_path, 2)
    assert (first["ended"], second["ended"]) == (True, True)
    assert first["done"] == second["done"] == 2
    own, other = weights(tmp_path, 0), weights(tmp_path, 1)
    assert all(torch.equal(own[name], other[name]) for name in own)


def test_ranks_halve_their_budget_together(tmp_path: Path) -> None:
    wanted = [step.loss for step in tiny_loop(Classifier(), budget(60))]
    ranks(2, run_out_of_memory, tmp_path)
    first, second = found_by(tmp_path, 2)
    assert first == second
    assert first["budget"] == 50
    assert first["losses"] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.parametrize(
    ("method", "dtype", "near"),
    [
        ("Full", torch.float32, 1e-3),
        ("LoRA", torch.float32, 1e-3),
        ("Full", torch.bfloat16, 0.05),
        ("LoRA", torch.bfloat16, 0.05),
    ],
)
def test_shards_train_as_the_whole(
    tmp_path: Path, base_models: dict[Kind, Path], method: str, dtype: torch.dtype, near: float
) -> None:
    base = base_models["qwen3"]
    _, trained = trained_on(base, method, torch.float32 if method == "Full" else dtype)
    wanted = [step.loss for step in loop_for(trained, dtype)]
    trained.save(tmp_path / "wanted", None)
    ranks(2, train_sharded, tmp_path, base, method, dtype, 3)
    first, second = found_by(tmp_path, 2)
    # At this rate what bf16 rounds away grows with every update.
    compared = 8 if dtype == torch.float32 else 2
    assert first["losses"][:compared] == pytest.approx(wanted[:compared], abs=near)
    assert second["losses"] == first["losses"]
    # Each holds its share, the head is in fp32, and the checkpoint is put together on rank 0 alone.
    assert 0.4 < first["held"] < 0.6
    assert first["formats"] == ["torch.float32"]
    assert first["whole"] > 0
    assert second["whole"] == 0
    name = "model.safetensors" if method == "Full" else "adapter_model.safetensors"
    found, expected = (load_file(tmp_path / folder / name) for folder in ("checkpoint", "wanted"))
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        assert found[key].dtype == value.dtype
        if dtype == torch.float32:
            torch.testing.assert_close(found[key], value, rtol=1e-3, atol=1e-4)


def test_shards_exit_when_memory_runs_out(tmp_path: Path, base_models: dict[Kind, Path]) -> None:
    ranks(2, exit_for_memory, tmp_path, base_models["qwen3"])
    for found in found_by(tmp_path, 2):
        assert found["budget"] == 30
        assert "the next attempt computes at most 30 tokens" in found["message"]
