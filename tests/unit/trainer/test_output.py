"""What is left on disk: whole or not at all, one writer at a time, and a finished run that is known again."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from classifier_trainer.errors import TransientError, UserError
from classifier_trainer.output import lock as lock_module
from classifier_trainer.output.atomic import new_folder, remove_unfinished, same_files, write_json
from classifier_trainer.output.keep import superseded
from classifier_trainer.output.lock import FILE_NAME, FolderLock, OutputLock, process_start
from classifier_trainer.output.metrics_log import MetricsLog
from classifier_trainer.output.place import open_store, output_folder, writing
from classifier_trainer.output.results import write_results
from classifier_trainer.output.run_json import Record, clear, finished_run, new_run, read_run, unfinished_run
from classifier_trainer.output.store import FolderStore
from classifier_trainer.output.weights import fold, stored_tensor


def test_folder_appears_whole(tmp_path: Path) -> None:
    target = tmp_path / "checkpoints" / "epoch-1"
    with new_folder(target) as folder:
        (folder / "model").write_text("x")
        (folder / "model").chmod(0o600)
        assert not target.exists()
    assert (target / "model").stat().st_mode & 0o444 == 0o444
    assert [path.name for path in target.parent.iterdir()] == ["epoch-1"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_folder_that_fails_leaves_nothing(tmp_path: Path, error: type[BaseException]) -> None:
    def fail() -> None:
        with new_folder(tmp_path / "a") as folder:
            (folder / "half").write_text("x")
            raise error

    with pytest.raises(error):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_folder_replaces_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "old").write_text("x")
    (tmp_path / ".tmp-a").mkdir()  # of a process that was killed
    (tmp_path / ".tmp-a" / "half").write_text("x")
    with new_folder(tmp_path / "a") as folder:
        (folder / "new").write_text("y")
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["new"]


def test_unfinished_parts_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".tmp-model").mkdir()
    (tmp_path / ".tmp-run.json").write_text("{")
    (tmp_path / "keep").write_text("x")
    remove_unfinished(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["keep"]


def test_same_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a" / "deep").mkdir(parents=True)
    (tmp_path / "a" / "deep" / "f").write_text("x")
    (tmp_path / "b").mkdir()
    same_files(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "deep" / "f").stat().st_nlink == 2

    def no_links(*_: object) -> None:
        raise OSError("no links here")

    monkeypatch.setattr(os, "link", no_links)
    (tmp_path / "c").mkdir()
    same_files(tmp_path / "a", tmp_path / "c")
    assert (tmp_path / "c" / "deep" / "f").read_text() == "x"
    (tmp_path / "a" / "f.json").write_text("y")
    (tmp_path / "d").mkdir()
    same_files(tmp_path / "a", tmp_path / "d", but=("de*",))
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["f.json"]


Lines = list[str]


@pytest.fixture
def said() -> Lines:
    return []


def other_writer(folder: Path, *, host: str = "pod-1", pid: int = 1, start: str = "1", age: float = 0) -> Path:
    path = folder / FILE_NAME
    write_json(path, {"writer": "other", "beat": 1, "host": host, "pid": pid, "start": start})
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def test_lock_is_held_and_released(tmp_path: Path, said: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.02)
    path = tmp_path / FILE_NAME
    with OutputLock(FolderLock(tmp_path), "pvc://o", said.append):
        first = json.loads(path.read_text())
        assert (first["host"], first["pid"]) == (socket.gethostname(), os.getpid())
        limit = time.monotonic() + 10
        while json.loads(path.read_text())["beat"] == first["beat"]:
            assert time.monotonic() < limit, "no heartbeat"
            time.sleep(0.01)
    assert list(tmp_path.iterdir()) == []
    assert said == []


def test_writer_that_lives_is_refused(tmp_path: Path, said: Lines) -> None:
    path = other_writer(tmp_path)

    def beat(_seconds: float) -> None:
        content = json.loads(path.read_text())
        write_json(path, {**content, "beat": content["beat"] + 1})

    with pytest.raises(UserError, match="'pvc://o' is being written by another run on pod-1"):
        OutputLock(FolderLock(tmp_path), "pvc://o", said.append, sleep=beat).__enter__()
    assert json.loads(path.read_text())["writer"] == "other"


def sleeper(slept: list[float]) -> Callable[[float], None]:
    return slept.append


@pytest.mark.parametrize(("age", "waits"), [(0, 60), (50, 10), (61, 0)])
def test_dead_writer_is_taken_over_when_its_lock_is_a_minute_old(
    tmp_path: Path, said: Lines, age: float, waits: int
) -> None:
    other_writer(tmp_path, age=age)
    slept: list[float] = []
    with OutputLock(FolderLock(tmp_path), "o", said.append, sleep=sleeper(slept)):
        assert len(slept) == pytest.approx(waits, abs=2)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("pid", [2**22 + 1, os.getpid()])
def test_dead_writer_of_this_host_is_taken_over_at_once(tmp_path: Path, said: Lines, pid: int) -> None:
    """A container that is restarted has the same host name, and often the same process id."""
    other_writer(tmp_path, host=socket.gethostname(), pid=pid, start="0")
    with OutputLock(FolderLock(tmp_path), "o", said.append, sleep=lambda _seconds: pytest.fail("waited")):
        assert json.loads((tmp_path / FILE_NAME).read_text())["writer"] != "other"


def test_writer_that_ends_meanwhile(tmp_path: Path, said: Lines) -> None:
    path = other_writer(tmp_path)
    with OutputLock(FolderLock(tmp_path), "o", said.append, sleep=lambda _seconds: path.unlink()):
        pass
    assert "may still be in use by pod-1" in said[0]


def test_lock_that_was_taken_over_is_left_alone(tmp_path: Path, said: Lines) -> None:
    with OutputLock(FolderLock(tmp_path), "o", said.append):
        other_writer(tmp_path)
    assert (tmp_path / FILE_NAME).exists()


def test_process_start() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    assert process_start(2**22 + 1) is None


def test_writer_that_lost_the_output_is_told(tmp_path: Path, said: Lines, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock_module, "HEARTBEAT_SECONDS", 0.01)
    with OutputLock(FolderLock(tmp_path), "o", said.append) as lock:
        lock.check()
        other_writer(tmp_path)
        limit = time.monotonic() + 10
        while lock._thread.is_alive():
            assert time.monotonic() < limit
            time.sleep(0.01)
        with pytest.raises(TransientError, match="'o' was taken over by another run on pod-1"):
            lock.check()
    assert json.loads((tmp_path / FILE_NAME).read_text())["writer"] == "other"


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore("pvc://o", tmp_path)


def finished(store: FolderStore, digest: str = "v1:a", **changes: Any) -> None:
    (store.folder / "model").mkdir(exist_ok=True)
    (store.folder / "model" / "classifier.json").write_text("{}")
    ended = {"outcome": "Succeeded", "completionTime": "then", "host": "pod-9"}
    Record(store, new_run(digest, {})).update(**{**ended, **changes})


def test_record_is_written_with_every_change(store: FolderStore) -> None:
    record = Record(store, new_run("v1:a", {"x": 1}))
    record.update(task="Binary")
    record.update(best="epoch-1")
    found = read_run(store)
    assert found == record.content
    assert found is not None
    assert (found["task"], found["best"], found["outcome"], found["config"]) == (
        "Binary",
        "epoch-1",
        "Running",
        {"x": 1},
    )


def test_finished_run_is_taken_over(store: FolderStore) -> None:
    assert finished_run(store, "v1:a", "Reuse") is None
    finished(store)
    found = finished_run(store, "v1:a", "Reuse")
    assert found is not None
    assert found["digest"] == "v1:a"
    (store.folder / "model" / "classifier.json").unlink()
    assert finished_run(store, "v1:a", "Reuse") is None  # its model is gone


@pytest.mark.parametrize(
    ("digest", "if_exists", "outcome", "words"),
    [
        ("v1:b", "Reuse", "Succeeded", "'pvc://o' holds a run of pod-9 with another configuration, finished then"),
        ("v1:a", "Fail", "Succeeded", "finished then: write another path, or ifExists Reuse"),
        ("v1:b", "Fail", "Succeeded", "another configuration"),
        ("v1:b", "Reuse", "Running", "with another configuration, not finished"),
    ],
)
def test_output_of_another_run(store: FolderStore, digest: str, if_exists: Any, outcome: str, words: str) -> None:
    finished(store, outcome=outcome)
    (store.folder / "checkpoints" / "epoch-1").mkdir(parents=True)
    with pytest.raises(UserError, match=words):
        finished_run(store, digest, if_exists)


def cut_off(store: FolderStore) -> None:
    finished(store, outcome="Running")
    for name in ("checkpoints/epoch-1", "checkpoints/.tmp-epoch-2", "state/update-000000003", "lost+found"):
        (store.folder / name).mkdir(parents=True)
    for name in ("metrics.jsonl", "profile.json", "report.html"):
        (store.folder / name).write_text("{}")


def test_run_that_was_cut_off_is_gone_on_with(store: FolderStore) -> None:
    cut_off(store)
    assert finished_run(store, "v1:a", "Reuse") is None
    assert finished_run(store, "v1:a", "Fail") is None
    assert unfinished_run(store, "v1:b") is None
    found = unfinished_run(store, "v1:a")
    assert found is not None
    assert found["outcome"] == "Running"
    kept = {str(path.relative_to(store.folder)) for path in store.folder.rglob("*")}
    assert {"checkpoints/epoch-1", "state/update-000000003", "metrics.jsonl", "profile.json"} <= kept
    assert "checkpoints/.tmp-epoch-2" not in kept


def test_run_that_saved_no_state_starts_again(store: FolderStore) -> None:
    cut_off(store)
    (store.folder / "state" / "update-000000003").rmdir()
    assert unfinished_run(store, "v1:a") is None
    clear(store)
    assert [path.name for path in store.folder.iterdir()] == ["lost+found"]
    assert read_run(store) is None


def test_finished_run_is_not_gone_on_with(store: FolderStore) -> None:
    finished(store)
    (store.folder / "state" / "update-000000003").mkdir(parents=True)
    assert unfinished_run(store, "v1:a") is None


def test_run_that_failed_before_its_first_checkpoint_is_in_nobody_s_way(store: FolderStore) -> None:
    finished(store, outcome="Running")
    assert finished_run(store, "v1:mended", "Reuse") is None


def test_folders_of_somebody_else_are_not_touched(store: FolderStore) -> None:
    (store.folder / "model").mkdir()
    (store.folder / "model" / "config.json").write_text("{}")
    with pytest.raises(UserError, match="holds a folder 'model' that no run of this kind wrote"):
        finished_run(store, "v1:a", "Reuse")


def test_checkpoint_that_is_deleted_disappears_at_once(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = store.folder / "checkpoints" / "epoch-1"
    folder.mkdir(parents=True)
    (folder / "classifier.json").write_text("{}")
    seen: list[list[str]] = []
    rmtree = shutil.rmtree

    def watched(path: Path, **options: Any) -> None:
        seen.append(store.names("checkpoints"))
        rmtree(path, **options)

    monkeypatch.setattr(shutil, "rmtree", watched)
    store.delete("checkpoints/epoch-1")
    assert seen[-1] == []
    assert list((store.folder / "checkpoints").iterdir()) == []


@pytest.mark.parametrize(
    ("keep", "best", "finished", "gone"),
    [
        ("All", "epoch-1", True, []),
        ("Best", "epoch-2", False, ["epoch-1", "epoch-3"]),
        ("Best", "epoch-2", True, ["epoch-1", "epoch-3"]),
        ("Best", "epoch-3", False, ["epoch-1", "epoch-2"]),
        # The best one is what model/ will be made of.
        ("Last", "epoch-2", False, ["epoch-1"]),
        ("Last", "epoch-2", True, ["epoch-1", "epoch-2"]),
        ("Last", "epoch-3", False, ["epoch-1", "epoch-2"]),
    ],
)
def test_which_checkpoints_are_kept(keep: Any, best: str, finished: bool, gone: list[str]) -> None:
    assert superseded(keep, ["epoch-1", "epoch-2", "epoch-3"], best, finished=finished) == gone


def test_metrics_are_cut_where_the_state_was_saved(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsLog(path) as log:
        log.write({"step": 1})
        offset = log.offset
        log.write({"step": 2})
    with path.open("a") as stream:
        stream.write('{"step": 3, "lo')  # the process was killed here
    with MetricsLog(path, offset) as log:
        log.write({"step": 2, "again": True})
        assert log.offset == path.stat().st_size
    assert [json.loads(line) for line in path.read_text().splitlines()] == [{"step": 1}, {"step": 2, "again": True}]


@pytest.mark.parametrize("bias", [True, False])
def test_head_is_divided_in_its_file(tmp_path: Path, bias: bool) -> None:
    generator = np.random.default_rng(0)
    tensors = {
        "model.embed": generator.normal(size=(50, 4)).astype(np.float32),
        "base_model.model.score.weight": generator.normal(size=(3, 4)).astype(np.float32),
    }
    if bias:
        tensors["base_model.model.score.bias"] = generator.normal(size=3).astype(np.float32)
    save_file(tensors, tmp_path / "adapter_model.safetensors", metadata={"format": "pt"})
    fold(tmp_path, "score", (2.0, 4.0, 0.5), (1.0, 0.0, -1.0) if bias else None)
    found = load_file(tmp_path / "adapter_model.safetensors")
    by = np.array([2.0, 4.0, 0.5])
    np.testing.assert_allclose(
        found["base_model.model.score.weight"], tensors["base_model.model.score.weight"] / by[:, None]
    )
    np.testing.assert_array_equal(found["model.embed"], tensors["model.embed"])
    if bias:
        expected = tensors["base_model.model.score.bias"] / by + [1, 0, -1]
        np.testing.assert_allclose(found["base_model.model.score.bias"], expected, rtol=1e-6)
    fold(tmp_path, "score", (2.0,))
    again = stored_tensor(tmp_path, "score.weight")
    assert again is not None
    np.testing.assert_allclose(again.read(), tensors["base_model.model.score.weight"] / by[:, None] / 2, rtol=1e-6)


def test_head_that_cannot_be_divided(tmp_path: Path) -> None:
    save_file(
        {"score.weight": np.ones((2, 2), np.float32), "other.weight": np.ones(2, np.float16)},
        tmp_path / "a.safetensors",
    )
    assert stored_tensor(tmp_path, "score.bias") is None
    with pytest.raises(ValueError, match="does not hold the head classifier"):
        fold(tmp_path, "classifier", (2.0,))
    with pytest.raises(ValueError, match="does not hold the head"):
        fold(tmp_path, "score", (2.0,), (1.0, 1.0))
    with pytest.raises(ValueError, match="no single fp32 tensor"):
        stored_tensor(tmp_path, "other.weight")


def test_results_have_a_row_a_line(tmp_path: Path) -> None:
    write_results(
        tmp_path / "r",
        ["a", "b"],
        ["ä\n", "y"],
        [3, 7],
        np.array([[1, 0], [0, 0]], np.int8),
        np.array([[True, False], [True, True]]),
        np.array([[0.12345678, 1], [0.5, 0]]),
    )
    first, second = [json.loads(line) for line in (tmp_path / "r").read_text().splitlines()]
    assert first == {
        "prompt": "ä\n",
        "expected": {"a": 1, "b": 0},
        "predicted": {"a": 1, "b": 0},
        "probabilities": {"a": 0.123457, "b": 1.0},
        "line": 3,
    }
    assert (second["line"], second["predicted"]) == (7, {"a": 1, "b": 1})


def test_places(tmp_path: Path) -> None:
    assert output_folder(f"file://{tmp_path}/a%20b", {}) == tmp_path / "a b"
    assert output_folder(str(tmp_path / "c"), {}) == tmp_path / "c"
    assert output_folder("pvc://o/run", {"pvc://o/run": str(tmp_path / "d")}).is_dir()
    for uri, words in (
        ("pvc://o", "mounted only in a pod"),
        ("ftp://bucket/x", "write pvc://claim/path, file:///path or s3://bucket/prefix"),
        ("file://host/x", "three slashes"),
    ):
        with pytest.raises(UserError, match=words):
            output_folder(uri, {})
    found = open_store(str(tmp_path / "e"), {})
    assert (type(found), found.folder) == (FolderStore, tmp_path / "e")


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        output_folder(str(tmp_path / "file" / "x"), {})
    with pytest.raises(UserError, match="give the claim more space"), writing("pvc://o"):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="strange"), writing("pvc://o"):
        raise OSError(5, "strange")
