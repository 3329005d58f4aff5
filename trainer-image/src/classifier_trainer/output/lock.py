"""One writer an output: a lock file with a heartbeat, on any file system that several nodes can mount."""

from __future__ import annotations

import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from classifier_trainer.errors import TransientError, UserError
from classifier_trainer.output.atomic import write_json

FILE_NAME = ".lock.json"
HEARTBEAT_SECONDS = 5.0
STALE_SECONDS = 60.0
"""A lock whose heartbeat stood still this long belongs to a dead writer."""


class LockPlace(Protocol):
    """Where a lock lies."""

    def read(self) -> dict[str, Any] | None:
        """What is written there; None if nothing is, or nothing that can be read."""

    def write(self, content: dict[str, Any]) -> None:
        """Replaces it at once."""

    def remove(self) -> None:
        """Removes it."""

    def age(self) -> float:
        """Seconds since it was written; 0 where that cannot be known."""


class FolderLock:
    """The lock as a file, replaced with every heartbeat."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME

    def read(self) -> dict[str, Any] | None:
        try:
            content = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return None
        return content if isinstance(content, dict) else None

    def write(self, content: dict[str, Any]) -> None:
        write_json(self._path, content)

    def remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def age(self) -> float:
        try:
            return time.time() - self._path.stat().st_mtime
        except OSError:
            return 0.0


class OutputLock:
    """Holds the output while the block runs.

    A new pod often starts while the lock of its killed predecessor still looks fresh. So a fresh lock is watched: when
    its heartbeat moves, its writer lives; when it stands still, it is taken over. Only the heartbeat's own movement is
    watched, so the clocks of two nodes may differ.
    """

    def __init__(
        self, place: LockPlace, name: str, say: Callable[[str], None], *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._place = place
        self._name = name
        self._say = say
        self._sleep = sleep
        self._me = secrets.token_hex(8)
        self._count = 0
        self._lost: str | None = None
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="output-lock", daemon=True)

    def __enter__(self) -> Self:
        self._wait()
        self._write()
        self._thread.start()
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        try:
            found = self._place.read()
            if found is not None and found.get("writer") == self._me:
                self._place.remove()
        except (OSError, TransientError, UserError) as error:
            # The lock goes stale by itself, and must not hide how the run ended.
            self._say(f"warning: the output's lock could not be removed: {error}")

    def check(self) -> None:
        """Raises a TransientError once another run has taken the output over, which one that hangs must not disturb."""
        if self._lost is not None:
            raise TransientError(f"output: '{self._name}' was taken over by another run on {self._lost}.")

    def _wait(self) -> None:
        first = self._place.read()
        if first is None or _is_dead(first):
            return
        age = self._place.age()
        if age > STALE_SECONDS:
            return
        self._say(f"waiting: the output may still be in use by {first.get('host', 'another run')}")
        # No longer than a writer that lives can stay silent: it beats every five seconds.
        waited = 0.0
        while waited < min(STALE_SECONDS - age, STALE_SECONDS):
            self._sleep(1.0)
            waited += 1.0
            now = self._place.read()
            if now is None:
                return
            if (now.get("writer"), now.get("beat")) != (first.get("writer"), first.get("beat")):
                raise UserError(
                    f"output: '{self._name}' is being written by another run on {now.get('host', 'another host')}: "
                    "wait for it, or write another path."
                )

    def _beat(self) -> None:
        while not self._stop.wait(HEARTBEAT_SECONDS):
            try:
                found = self._place.read()
                if found is not None and found.get("writer") != self._me:
                    self._lost = str(found.get("host", "another host"))
                    return
                self._write()
            except (OSError, TransientError, UserError) as error:
                self._say(f"warning: the heartbeat of the output's lock failed: {error}")

    def _write(self) -> None:
        self._count += 1
        content = {"writer": self._me, "beat": self._count, "host": socket.gethostname(), "pid": os.getpid()}
        try:
            self._place.write({**content, "start": process_start(os.getpid())})
        except FileNotFoundError as error:
            raise TransientError(f"output: '{self._name}' went away: {error}.") from error


def _is_dead(lock: dict[str, Any]) -> bool:
    """Whether the writer ran on this host (a pod's name) and is gone, so that nobody need wait for its heartbeat."""
    pid = lock.get("pid")
    if lock.get("host") != socket.gethostname() or not isinstance(pid, int):
        return False
    return process_start(pid) != lock.get("start")


def process_start(pid: int) -> str | None:
    """When the process began, in the kernel's own words; pid 1 of a restarted container is another process."""
    try:
        # After the command in brackets, which may hold blanks: field 22, starttime.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return fields[19]
