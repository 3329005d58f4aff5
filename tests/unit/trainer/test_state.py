"""A killed training goes on as if nothing had happened."""

from __future__ import annotations

import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import pytest
import torch

from classifier_trainer.errors import Terminated
from classifier_trainer.keeper import begin, cut_log
from classifier_trainer.output.run_json import Record
from classifier_trainer.output.store import FolderStore
from classifier_trainer.train import state
from classifier_trainer.train.early import Patience
from classifier_trainer.train.interrupt import deferred
from classifier_trainer.train.loop import Loop
from support.children import child, lines_of
from support.resumable import train
from support.tiny_training import Classifier, budget, tiny_loop


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny products are not worth two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def fresh(dropout: float = 0.3) -> tuple[Classifier, Loop]:
    model = Classifier(dropout)
    return model, tiny_loop(model, budget(60))


def same(first: Classifier, second: Classifier) -> bool:
    others = second.state_dict()
    return all(torch.equal(value, others[name]) for name, value in first.state_dict().items())


@pytest.mark.parametrize("stops", [[1], [3], [4], [2, 5, 7]], ids=str)
def test_goes_on_bitwise_the_same(tmp_path: Path, stops: list[int]) -> None:
    whole, loop = fresh()
    wanted = [(step.loss, step.grad_norm, step.learning_rate) for step in loop]
    found: list[tuple[float, float, float]] = []
    for stop in [*stops, 8]:
        model, loop = fresh()
        with torch.no_grad():  # nothing of a new start may be left
            for parameter in model.parameters():
                parameter.add_(1.0)
        saved = state.find(tmp_path)
        if saved is not None:
            assert saved.record == {"at": saved.update, "labels": ["ä"]}
            loop.restore(saved.tensors())
        else:
            model, loop = fresh()
        torch.rand(5)  # whatever a new process draws before
        found += [(step.loss, step.grad_norm, step.learning_rate) for step in islice(loop, stop - loop.done)]
        state.save(tmp_path, loop.state(), {"at": loop.done, "labels": ["ä"]})
    assert found == wanted
    assert same(whole, model)
    assert [path.name for path in tmp_path.iterdir()] == ["update-000000008"]


def test_an_update_that_is_cut_off_leaves_the_state_before_it(tmp_path: Path) -> None:
    whole, loop = fresh()
    wanted = [step.loss for step in loop]
    model, loop = fresh()
    calls = iter(range(10**9))
    forward = loop._gradients.forward

    def interrupted(rows: object) -> torch.Tensor:
        # In the middle of the third update, with some of its gradients there already.
        if loop.done == 2 and next(calls) == 4:
            raise Terminated
        return forward(rows)  # type: ignore[arg-type]

    object.__setattr__(loop._gradients, "forward", interrupted)
    steps = iter(loop)
    found = [next(steps).loss, next(steps).loss]
    with pytest.raises(Terminated):
        next(steps)
    assert found == wanted[:2]
    state.save(tmp_path, loop.state(), {})
    model, loop = fresh()
    saved = state.find(tmp_path)
    assert saved is not None
    assert saved.update == 2
    loop.restore(saved.tensors())
    found += [step.loss for step in loop]
    assert found == wanted
    assert same(whole, model)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    process = child(train, folder, 1000, folder / "said")
    process.join(timeout=120)
    assert process.exitcode == 0
    return folder


@pytest.mark.parametrize("kill", [signal.SIGKILL, signal.SIGTERM])
def test_killed_at_random_moments(tmp_path: Path, uninterrupted: Path, kill: signal.Signals) -> None:
    draw, done = random.Random(int(kill)), 0
    output = tmp_path / "out"
    output.mkdir()
    for number in range(4):
        said = tmp_path / f"said-{number}"
        process = child(train, output, 2, said)
        if number < 3:
            wanted = draw.randint(1, 3)
            limit = time.monotonic() + 120
            while len(lines_of(said)) <= wanted:
                assert process.is_alive()
                assert time.monotonic() < limit
                time.sleep(draw.random() * 0.02)
            os.kill(process.pid or 0, kill)
        process.join(timeout=120)
        begun, *steps = map(int, lines_of(said))
        # At most what was done since the last state is lost; by SIGTERM nothing.
        assert 0 <= done - begun <= (0 if kill == signal.SIGTERM else 2)
        assert process.exitcode in (0, 143 if kill == signal.SIGTERM else -kill)
        done = max([begun, *steps])
        if process.exitcode == 0:
            break
    # No seam: every update once, with the loss it would have had.
    lines = (output / "metrics.jsonl").read_text().splitlines()
    assert lines == (uninterrupted / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 9))
    weights = [torch.load(folder / "weights.pt") for folder in (output, uninterrupted)]
    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())


def test_half_written_states_are_none(tmp_path: Path) -> None:
    assert state.find(tmp_path / "absent") is None
    _, loop = fresh()
    list(islice(loop, 1))
    state.save(tmp_path, loop.state(), {"n": 1})
    (tmp_path / ".tmp-update-000000009").mkdir()
    torn = tmp_path / "update-000000007"
    torn.mkdir()
    (torn / "state.pt").write_bytes(b"")
    saved = state.find(tmp_path)
    assert saved is not None
    assert (saved.update, saved.record) == (1, {"n": 1})
    state.save_record(tmp_path, {"n": 2})
    saved = state.find(tmp_path)
    assert saved is not None
    assert saved.record == {"n": 2}
    list(islice(loop, 1))
    state.save(tmp_path, loop.state(), {"n": 3})
    assert [path.name for path in tmp_path.iterdir()] == ["update-000000002"]
    state.remove(tmp_path)
    assert state.find(tmp_path) is None


def test_another_configuration_starts_anew_and_a_noted_budget_stays(tmp_path: Path) -> None:
    store, folder = FolderStore(str(tmp_path), tmp_path), tmp_path / state.FOLDER
    _, loop = fresh()
    list(islice(loop, 1))
    state.save(folder, loop.state(), {"digest": "one"})
    state.save_token_budget(folder, 512)
    (tmp_path / "metrics.jsonl").write_text("{}\n")
    Record(store, {}).update(digest="one")
    found = begin(store, "one")
    assert found is not None
    assert found.update == 1
    assert (tmp_path / "metrics.jsonl").exists()
    assert begin(store, "two") is None
    assert not (tmp_path / "metrics.jsonl").exists()
    assert state.find(folder) is None
    assert state.token_budget(folder) == 512
    assert state.token_budget(tmp_path / "absent") is None


def test_log_is_cut_where_the_state_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    kept = '{"step": 4, "loss": 1.0}\n'
    checkpoint = '{"step": 4, "epoch": 1, "checkpoint": "epoch-1"}\n'
    later = '{"step": 5, "loss": 0.9}\n{"step": 8, "epoch": 2, "checkpoint": "epoch-2"}\n{"step": 9, "lo'
    path.write_text(kept + checkpoint + later)
    cut_log(path, len(kept), {"epoch-1"})
    assert path.read_text() == kept + checkpoint
    cut_log(tmp_path / "absent", 3, {"epoch-1"})
    assert not (tmp_path / "absent").exists()


def test_a_checkpoint_that_is_written_again_has_one_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    kept = '{"step": 1, "loss": 1.0}\n'
    # Killed after this line, and before run.json knew of the checkpoint.
    path.write_text(kept + '{"step": 1, "checkpoint": "epoch-1"}\n')
    cut_log(path, len(kept), {"epoch-2"})
    assert path.read_text() == kept
    assert list(tmp_path.iterdir()) == [path]


def test_sigterm_waits_for_the_end_of_what_must_be_whole() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with deferred() as found:
            os.kill(os.getpid(), signal.SIGTERM)
            assert found.pending
            assert heard == []
        assert heard == [signal.SIGTERM]
        with pytest.raises(ZeroDivisionError), deferred():
            raise ZeroDivisionError
        with deferred() as found:
            assert not found.pending
        thread = threading.Thread(target=lambda: deferred().__enter__())
        thread.start()
        thread.join()
        os.kill(os.getpid(), signal.SIGTERM)
        assert len(heard) == 2
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        with deferred():
            os.kill(os.getpid(), signal.SIGTERM)
        assert len(heard) == 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_patience() -> None:
    stops = Patience(2)
    assert [stops.is_over(score) for score in (0.5, 0.7, 0.7, 0.6, 0.8)] == [False, False, False, True, False]
    assert not any(Patience(None).is_over(score) for score in (0.5, 0.4, 0.3, 0.2))
