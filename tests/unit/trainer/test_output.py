"""What is left on disk: whole or not at all, one writer at a time, and a finished run that is known again."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from classifier_trainer.errors import UserError
from classifier_trainer.output import lock as lock_module
from classifier_trainer.output.atomic import new_folder, remove_unfinished, same_files, write_json
from classifier_trainer.output.lock import FILE_NAME, OutputLock, process_start
from classifier_trainer.output.place import output_folder, writing
from classifier_trainer.output.run_json import clear, finished_run, new_run, read_run, write_run


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
    with OutputLock(tmp_path, "pvc://o", said.append):
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
        OutputLock(tmp_path, "pvc://o", said.append, sleep=beat).__enter__()
    assert json.loads(path.read_text())["writer"] == "other"


def sleeper(slept: list[float]) -> Callable[[float], None]:
    return slept.append


@pytest.mark.parametrize(("age", "waits"), [(0, 60), (50, 10), (61, 0)])
def test_dead_writer_is_taken_over_when_its_lock_is_a_minute_old(
    tmp_path: Path, said: Lines, age: float, waits: int
) -> None:
    other_writer(tmp_path, age=age)
    slept: list[float] = []
    with OutputLock(tmp_path, "o", said.append, sleep=sleeper(slept)):
        assert len(slept) == pytest.approx(waits, abs=2)
    assert not (tmp_path / FILE_NAME).exists()


@pytest.mark.parametrize("pid", [2**22 + 1, os.getpid()])
def test_dead_writer_of_this_host_is_taken_over_at_once(tmp_path: Path, said: Lines, pid: int) -> None:
    """A container that is restarted has the same host name, and often the same process id."""
    other_writer(tmp_path, host=socket.gethostname(), pid=pid, start="0")
    with OutputLock(tmp_path, "o", said.append, sleep=lambda _seconds: pytest.fail("waited")):
        assert json.loads((tmp_path / FILE_NAME).read_text())["writer"] != "other"


def test_writer_that_ends_meanwhile(tmp_path: Path, said: Lines) -> None:
    path = other_writer(tmp_path)
    with OutputLock(tmp_path, "o", said.append, sleep=lambda _seconds: path.unlink()):
        pass
    assert "may still be in use by pod-1" in said[0]


def test_lock_that_was_taken_over_is_left_alone(tmp_path: Path, said: Lines) -> None:
    with OutputLock(tmp_path, "o", said.append):
        other_writer(tmp_path)
    assert (tmp_path / FILE_NAME).exists()


def test_process_start() -> None:
    assert process_start(os.getpid()) == process_start(os.getpid()) is not None
    assert process_start(2**22 + 1) is None


def finished(folder: Path, digest: str = "v1:a", **changes: Any) -> None:
    (folder / "model").mkdir(exist_ok=True)
    write_run(
        folder, {**new_run(digest, {}), "outcome": "Succeeded", "completionTime": "then", "host": "pod-9", **changes}
    )


def test_finished_run_is_taken_over(tmp_path: Path) -> None:
    assert finished_run(tmp_path, "v1:a", "pvc://o", "Reuse") is None
    finished(tmp_path)
    found = finished_run(tmp_path, "v1:a", "pvc://o", "Reuse")
    assert found is not None
    assert found["digest"] == "v1:a"


@pytest.mark.parametrize(
    ("digest", "if_exists", "outcome", "words"),
    [
        ("v1:b", "Reuse", "Succeeded", "'pvc://o' holds a run of pod-9 with another configuration, finished then"),
        ("v1:a", "Fail", "Succeeded", "finished then: write another path, or ifExists Reuse"),
        ("v1:b", "Fail", "Succeeded", "another configuration"),
        ("v1:b", "Reuse", "Running", "with another configuration, not finished"),
    ],
)
def test_output_of_another_run(tmp_path: Path, digest: str, if_exists: Any, outcome: str, words: str) -> None:
    finished(tmp_path, outcome=outcome)
    (tmp_path / "checkpoints" / "epoch-1").mkdir(parents=True)
    with pytest.raises(UserError, match=words):
        finished_run(tmp_path, digest, "pvc://o", if_exists)


def test_run_that_was_cut_off_starts_again(tmp_path: Path) -> None:
    finished(tmp_path, outcome="Running")
    (tmp_path / "checkpoints" / "epoch-1").mkdir(parents=True)
    (tmp_path / "metrics.jsonl").write_text("{}")
    (tmp_path / "lost+found").mkdir()
    assert finished_run(tmp_path, "v1:a", "pvc://o", "Reuse") is None
    assert finished_run(tmp_path, "v1:a", "pvc://o", "Fail") is None
    clear(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["lost+found"]
    assert read_run(tmp_path) is None


def test_run_that_failed_before_its_first_checkpoint_is_in_nobody_s_way(tmp_path: Path) -> None:
    finished(tmp_path, outcome="Running")
    assert finished_run(tmp_path, "v1:mended", "pvc://o", "Reuse") is None


def test_folders_of_somebody_else_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    with pytest.raises(UserError, match="holds a folder 'model' that no run of this kind wrote"):
        finished_run(tmp_path, "v1:a", "pvc://o", "Reuse")


def test_places(tmp_path: Path) -> None:
    assert output_folder(f"file://{tmp_path}/a%20b", {}) == tmp_path / "a b"
    assert output_folder(str(tmp_path / "c"), {}) == tmp_path / "c"
    assert output_folder("pvc://o/run", {"pvc://o/run": str(tmp_path / "d")}).is_dir()
    for uri, words in (
        ("pvc://o", "mounted only in a pod"),
        ("s3://bucket/x", "cannot be written to"),
        ("file://host/x", "three slashes"),
    ):
        with pytest.raises(UserError, match=words):
            output_folder(uri, {})


def test_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="cannot be written"):
        output_folder(str(tmp_path / "file" / "x"), {})
    with pytest.raises(UserError, match="give the claim more space"), writing("pvc://o"):
        raise OSError(28, "No space left on device")
    with pytest.raises(OSError, match="strange"), writing("pvc://o"):
        raise OSError(5, "strange")
