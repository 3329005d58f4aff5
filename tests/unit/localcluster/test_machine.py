"""How processes are known, started, replaced and ended, with real processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster.bare.layout import Layout
from localcluster.bare.machine import Mark, alive, kill, marked_processes, mounts_under
from localcluster.bare.process import Component
from localcluster.bare.step import StateFolder, write
from localcluster.errors import ClusterError

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    yield Layout(tmp_path, tmp_path / "bin")
    kill(process.pid for process in marked_processes() if process.mark.state == tmp_path)


def component(layout: Layout, argv: list[str], **options: object) -> Component:
    return Component(layout, "sleeper", argv, **{"ready": lambda: True, "patience": 5.0, **options})  # type: ignore[arg-type]


def test_a_component_is_started_once_and_found_again(layout: Layout) -> None:
    assert component(layout, SLEEP).ensure() == "started"
    pid = component(layout, SLEEP).running()[0].pid
    assert component(layout, SLEEP).ensure() == "runs"
    assert [process.pid for process in component(layout, SLEEP).running()] == [pid]


@pytest.mark.parametrize("options", [{"argv": [*SLEEP, "--more"]}, {"files": {"a.conf": "new"}}], ids=["flags", "file"])
def test_changed_inputs_replace_the_process(layout: Layout, options: dict[str, object]) -> None:
    component(layout, SLEEP, files={"a.conf": "old"}).ensure()
    before = component(layout, SLEEP).running()[0].pid
    changed = component(layout, **{"argv": SLEEP, "files": {"a.conf": "old"}, **options})  # type: ignore[arg-type]
    assert "inputs changed" in changed.ensure()
    assert not alive(before)
    assert len(changed.running()) == 1


def test_two_of_one_kind_become_one(layout: Layout) -> None:
    one = component(layout, SLEEP)
    one.ensure()
    one._start()
    deadline = time.monotonic() + 5
    while len(one.running()) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    one.ensure()
    assert len(one.running()) == 1


def test_what_ends_at_once_is_told_with_its_last_words(layout: Layout) -> None:
    dies = component(layout, [sys.executable, "-c", "print('no such flag'); raise SystemExit(1)"], ready=lambda: False)
    with pytest.raises(ClusterError, match=r"(?s)ended right after its start.*no such flag"):
        dies.ensure()


def test_what_never_gets_ready_is_told_in_time(layout: Layout) -> None:
    with pytest.raises(ClusterError, match="not ready within 0 s"):
        component(layout, SLEEP, ready=lambda: False, patience=0.2).ensure()


def test_removing_ends_it_and_a_second_time_is_harmless(layout: Layout) -> None:
    sleeper = component(layout, SLEEP)
    sleeper.ensure()
    sleeper.remove()
    sleeper.remove()
    assert sleeper.running() == []


def test_another_clusters_process_is_not_ours(layout: Layout, tmp_path: Path) -> None:
    other = Layout(tmp_path / "other", tmp_path / "bin")
    (tmp_path / "other").mkdir()
    component(other, SLEEP).ensure()
    try:
        assert component(layout, SLEEP).running() == []
    finally:
        component(other, SLEEP).remove()


def test_a_zombie_is_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "pass"])
    while Path(f"/proc/{child.pid}/stat").read_text().split(")")[1].split()[0] != "Z":
        time.sleep(0.01)
    assert not alive(child.pid)
    child.returncode = 0  # alive() has buried it
    assert alive(os.getpid())


def test_marks_are_read_as_they_are_written() -> None:
    mark = Mark("node", "etcd", "abc", Path("/a:b/cluster"))
    assert Mark.parse(mark.text()) == mark
    assert Mark.parse("something else") is None


def test_mounts_are_listed_deepest_first() -> None:
    points = mounts_under(Path("/"))
    assert Path("/proc") in points
    assert [len(point.parts) for point in points] == sorted((len(point.parts) for point in points), reverse=True)


def test_files_are_written_whole_and_only_if_they_change(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "file"
    write(path, "one")
    inode = path.stat().st_ino
    write(path, "one")
    assert path.stat().st_ino == inode
    write(path, "two")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("two", 0o600)
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_data_of_another_version_do_not_fit(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "cluster", tmp_path)
    assert StateFolder(layout, "1").fits(), "nothing is there yet"
    assert StateFolder(layout, "1").ensure() == "new"
    assert StateFolder(layout, "1").ensure() == "kept"
    assert not StateFolder(layout, "2").fits()
