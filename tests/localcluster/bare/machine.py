"""What is on this machine: our processes, mounts and links. The truth is read here and never from a state file."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .layout import CGROUP

MARK = "CLASSIFIER_LOCALCLUSTER"
"""The environment variable that every process of a cluster carries: KIND:NAME:DIGEST:STATE FOLDER."""


@dataclass(frozen=True)
class Mark:
    """Whose process this is: of which kind of cluster and component, started from which inputs, over which folder."""

    kind: str
    component: str
    digest: str
    state: Path

    def text(self) -> str:
        return f"{self.kind}:{self.component}:{self.digest}:{self.state}"

    @classmethod
    def parse(cls, text: str) -> Mark | None:
        parts = text.split(":", 3)
        return cls(parts[0], parts[1], parts[2], Path(parts[3])) if len(parts) == 4 else None


@dataclass(frozen=True)
class Process:
    """One living process that carries a mark. Children inherit it: `program` tells a component from its helpers."""

    pid: int
    program: str
    mark: Mark


def marked_processes() -> Iterator[Process]:
    """Every living process with a mark, whoever started it."""
    prefix = f"{MARK}=".encode()
    for folder in _process_folders():
        try:
            environment = (folder / "environ").read_bytes()
            if prefix not in environment:
                continue
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        for variable in environment.split(b"\0"):
            mark = Mark.parse(variable.removeprefix(prefix).decode()) if variable.startswith(prefix) else None
            if mark is not None:
                yield Process(int(folder.name), Path(os.fsdecode(arguments[0])).name, mark)


def pod_processes() -> list[int]:
    """The processes inside pods: they do not inherit the mark, but they are in our cgroup."""
    needle = f"/{CGROUP}/".encode()
    found = []
    for folder in _process_folders():
        try:
            if needle in (folder / "cgroup").read_bytes():
                found.append(int(folder.name))
        except OSError:
            continue
    return found


def program_runs(name: str) -> list[int]:
    """The processes whose program has this name, ours or not."""
    found = []
    for folder in _process_folders():
        try:
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if Path(os.fsdecode(arguments[0])).name == name:
            found.append(int(folder.name))
    return found


def kill(pids: Iterable[int], patience: float = 20.0) -> None:
    """SIGKILL to these processes; returns when they are gone, or after `patience` seconds."""
    waiting = list(pids)
    for pid in waiting:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_gone(waiting, patience)


def wait_gone(pids: Iterable[int], patience: float) -> bool:
    """Whether all of these processes ended within `patience` seconds."""
    waiting, end = list(pids), time.monotonic() + patience
    while True:
        waiting = [pid for pid in waiting if alive(pid)]
        if not waiting:
            return True
        if time.monotonic() > end:
            return False
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process runs. A zombie does not: it only waits for its parent to look."""
    # A child of ours has to be buried by ourselves.
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def mounts_under(folder: Path) -> list[Path]:
    """The mount points under a folder, the deepest first."""
    prefix = f"{folder}/".replace("//", "/")
    points = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        point = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), line.split()[4])  # spaces stand as \040
        if point.startswith(prefix):
            points.append(Path(point))
    return sorted(points, key=lambda point: len(point.parts), reverse=True)


def link_exists(name: str) -> bool:
    return Path("/sys/class/net", name).exists()


def cgroups() -> list[Path]:
    """Our cgroup in every hierarchy of the machine (one with version 2, one for each controller with version 1)."""
    root = Path("/sys/fs/cgroup")
    return [path for path in (root / CGROUP, *(child / CGROUP for child in cgroup_hierarchies())) if path.is_dir()]


def cgroup_hierarchies() -> list[Path]:
    """The folders in which cgroups are made: with version 1 one for each controller, with version 2 only the root."""
    root = Path("/sys/fs/cgroup")
    if (root / "cgroup.controllers").exists():
        return [root]
    # Links such as cpu → cpu,cpuacct are the same hierarchy twice.
    return [
        path for path in sorted(root.iterdir()) if path.is_dir() and not path.is_symlink() and path.name != "unified"
    ]


def _process_folders() -> list[Path]:
    return [entry for entry in Path("/proc").iterdir() if entry.name.isdigit()]
