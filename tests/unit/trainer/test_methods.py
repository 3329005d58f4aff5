"""Whole trainings, killed where it hurts: what was trained stays trained, what was tested stays tested."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from support.children import child, ranks
from support.small_run import Place, run_as_rank, run_here
from support.tiny_models import Kind, multiclass

Runs = dict[str, Any]


def go(found: Runs, kill: Place | None = None, number: int = signal.SIGKILL) -> int | None:
    process = child(run_here, found, kill, number)
    process.join(timeout=120)
    return process.exitcode


def lines(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for line in found:
        line.pop("tokensPerSecond", None)
    return found


def same_weights(first: Path, second: Path) -> bool:
    one, other = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return multiclass(tmp_path_factory.mktemp("rows") / "train.jsonl", 100)


@pytest.fixture(scope="module")
def make(base_models: dict[Kind, Path], rows: Path) -> Any:
    """A configuration of 60 training rows, four updates an epoch."""

    def found(output: Path, more: dict[str, Any] | None = None, **hyperparameters: Any) -> Runs:
        values = {"epochs": 2, "template": "{prompt}", "stateEvery": "1h", "precision": "Float32", **hyperparameters}
        return {
            "baseModel": {"uri": f"file://{base_models['qwen3']}"},
            "trainDataset": {"uri": f"file://{rows}"},
            "testDataset": {"split": 0.2},
            "validation": {"split": 0.2},
            "hyperparameters": {name: value for name, value in values.items() if value is not None},
            "output": {"uri": f"file://{output}"},
            **(more or {}),
        }

    return found


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, make: Any) -> Path:
    """What a training leaves that nobody kills."""
    folder = tmp_path_factory.mktemp("whole")
    assert go(make(folder)) == 0
    return folder


@pytest.mark.parametrize(
    ("kill", "number", "left"),
    [
        (("update", 3), signal.SIGTERM, 3),
        (("update", 6), signal.SIGKILL, 4),  # in epoch 2: what was saved at the end of epoch 1
        (("test", 3), signal.SIGKILL, 8),  # epoch-2 is trained, and its validation rows are under way
        (("test", 4), signal.SIGTERM, 8),
        (("save", 2), signal.SIGKILL, 4),
    ],
    ids=str,
)
def test_killed_training_ends_as_if_nothing_had_happened(
    tmp_path: Path, make: Any, whole: Path, kill: Place, number: int, left: int
) -> None:
    cut = tmp_path / "cut"
    assert go(make(cut), kill, number) == (143 if number == signal.SIGTERM else -number)
    states = list((cut / "state").glob("update-*"))
    assert [int(path.name.removeprefix("update-")) for path in states] == [left]
    tested = {path.name: path.stat().st_mtime_ns for path in (cut / "checkpoints").glob("epoch-*")}
    assert sorted(tested) == (["epoch-1"] if left >= 4 else [])
    assert go(make(cut)) == 0
    # What was tested is not tested again, and the log has no seam.
    for name, when in tested.items():
        assert (cut / "checkpoints" / name).stat().st_mtime_ns == when
    assert lines(cut) == lines(whole)
    assert [line["step"] for line in lines(cut) if "loss" in line] == list(range(1, 9))
    assert same_weights(cut / "model", whole / "model")
    records = [json.loads((folder / "run.json").read_text()) for folder in (cut, whole)]
    assert records[0]["checkpoints"] == records[1]["checkpoints"]
    assert records[0]["progress"]["checkpoints"] == records[1]["progress"]["checkpoints"]
    assert records[0]["best"] == records[1]["best"]


def test_another_configuration_goes_on_from_nothing(tmp_path: Path, make: Any) -> None:
    assert go(make(tmp_path), ("update", 3), signal.SIGTERM) == 143
    assert go(make(tmp_path, learningRate=1e-3), ("update", 1), signal.SIGTERM) == 143
    assert [line["step"] for line in lines(tmp_path)] == [1]


@pytest.mark.parametrize("kill", [None, ("update", 7)])
def test_early_stopping_hears_the_validation_rows_also_of_epochs_before_a_kill(
    tmp_path: Path, make: Any, kill: Place | None
) -> None:
    # A rate of nothing: no epoch is better than the first.
    found = make(tmp_path, epochs=6, earlyStopping={"patience": 2}, learningRate=1e-12, headLearningRate=1e-12)
    if kill is not None:
        assert go(found, kill) == -signal.SIGKILL
    assert go(found) == 0
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["epoch-1", "epoch-2", "epoch-3"]
    assert json.loads((tmp_path / "run.json").read_text())["best"] == "epoch-1"


def test_full_is_saved_whole(tmp_path: Path, make: Any, base_models: dict[Kind, Path]) -> None:
    assert go(make(tmp_path, method="Full", epochs=2, learningRate=1e-3)) == 0
    best = json.loads((tmp_path / "run.json").read_text())["best"]
    assert same_weights(tmp_path / "checkpoints" / best, tmp_path / "model")
    losses = [line["loss"] for line in lines(tmp_path) if "loss" in line]
    assert sum(losses[4:]) < sum(losses[:4])
    found, base = (
        load_file(tmp_path / "model" / "model.safetensors"),
        load_file(base_models["qwen3"] / "model.safetensors"),
    )
    assert not any(torch.equal(value, found[name]) for name, value in base.items() if name in found)


def test_head_only_trains_no_update(tmp_path: Path, make: Any) -> None:
    assert go(make(tmp_path, method="HeadOnly", epochs=None)) == 0
    assert [sorted(line) for line in lines(tmp_path)] == [["checkpoint", "epoch", "step", "test", "validation"]]
    assert not (tmp_path / "state").exists()


def test_two_processes_leave_what_one_leaves(tmp_path: Path, make: Any, whole: Path) -> None:
    """Only rank 0 writes, and the weights are those of one process but for the order of sums."""
    ranks(2, run_as_rank, tmp_path, make(tmp_path / "out"))
    names = [json.loads((tmp_path / f"rank-{rank}.json").read_text()) for rank in range(2)]
    assert names == [["epoch-1", "epoch-2"], []]
    found, wanted = lines(tmp_path / "out"), lines(whole)
    assert [line["step"] for line in found] == [line["step"] for line in wanted]
    losses = [[line["loss"] for line in each if "loss" in line] for each in (found, wanted)]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)
    one, other = (load_file(folder / "model" / "model.safetensors") for folder in (tmp_path / "out", whole))
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], rtol=1e-2, atol=1e-3)
