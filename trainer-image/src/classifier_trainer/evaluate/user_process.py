"""The process of a test function: starts it, streams rows to it, and ends it whatever it does."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt

CHILD = Path(__file__).with_name("user_child.py")
MAX_PRINTED = 8192
"""Bytes of what a function printed that are kept."""
_BATCH = 256
GRACE = 5.0
"""Seconds after which a function is killed that does not let go at its limit (inside one long call of C code)."""

Row = tuple[str, npt.NDArray[np.int8], npt.NDArray[np.bool_], npt.NDArray[np.float64]]
Answer = dict[str, Any]


@dataclass(frozen=True)
class Order:
    """What to run."""

    source: bytes
    file: str
    """Name of the file in tracebacks."""
    name: str
    labels: list[str]
    memory: int
    """Bytes of address space."""
    seconds: float

    def line(self) -> bytes:
        """For the process."""
        source = base64.b64encode(self.source).decode()
        return _line({**self.__dict__, "source": source})


def run_child(order: Order, rows: Iterable[Row]) -> tuple[Answer, str]:
    """The last answer of the process and what it printed.

    The answer has `value` (None without rows) and `rows`; or `error` or `timeLimit`, with `row` (from 1) and `line`.
    """
    with tempfile.TemporaryDirectory(prefix="test-function-") as folder:
        process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        assert process.stdin is not None  # noqa: S101  # for the type checker, as below
        assert process.stdout is not None  # noqa: S101
        assert process.stderr is not None  # noqa: S101
        printed = _Printed(process.stderr)
        watch = threading.Timer(order.seconds + GRACE, _kill, [process])
        watch.daemon = True
        watch.start()
        status: int | None = None
        try:
            answer = _converse(process.stdin, process.stdout, order, rows)
            status = _end(process)
        finally:
            late = watch.finished.is_set()
            watch.cancel()
            # Killed before it is waited for, so that its number is still its own: also what it started itself.
            _kill(process)
            process.wait()
            printed.close()
            process.stdout.close()
    if answer is None:
        answer = {"timeLimit": True} if late else {"error": f"its process ended without an answer ({_shown(status)})"}
    return answer, printed.text()


def _converse(stdin: IO[bytes], stdout: IO[bytes], order: Order, rows: Iterable[Row]) -> Answer | None:
    """Sends everything and returns the last answer; None if there is none."""
    try:
        stdin.write(order.line())
        stdin.flush()
        loaded = _answer(stdout)
        if loaded is None or not loaded.get("loaded"):
            return loaded
        for batch in _batches(rows, with_probabilities=bool(loaded["probabilities"])):
            stdin.write(batch)
    except BrokenPipeError:
        pass  # it has had enough, and its answer says why
    finally:
        with suppress(BrokenPipeError):
            stdin.close()
    return _answer(stdout)


def _batches(rows: Iterable[Row], *, with_probabilities: bool) -> Iterator[bytes]:
    remaining = iter(rows)
    while batch := list(islice(remaining, _BATCH)):
        yield b"".join(
            _line(
                [
                    prompt,
                    expected.tolist(),
                    predicted.astype(np.int8).tolist(),
                    probabilities.tolist() if with_probabilities else None,
                ]
            )
            for prompt, expected, predicted, probabilities in batch
        )


def _answer(stdout: IO[bytes]) -> Answer | None:
    try:
        found = json.loads(stdout.readline())
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _end(process: subprocess.Popen[bytes]) -> int | None:
    """Waits for its end, which the watch sees to, and leaves it to be collected; minus the signal that ended it."""
    info = os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    if info is None:
        return None
    return info.si_status if info.si_code == os.CLD_EXITED else -info.si_status


def _kill(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _shown(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"


def _line(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"


class _Printed:
    """Reads what the process prints, so that it never waits for a reader, and keeps the beginning."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._kept = bytearray()
        self._clipped = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with self._stream:
            while part := os.read(self._stream.fileno(), 65536):
                room = MAX_PRINTED - len(self._kept)
                self._kept += part[:room]
                self._clipped = self._clipped or len(part) > room

    def close(self) -> None:
        """Waits for the end of the stream, but not for a process that slipped away with it."""
        self._thread.join(timeout=1)

    def text(self) -> str:
        """What was printed, in UTF-8 as far as it is."""
        return bytes(self._kept).decode(errors="replace") + ("…" if self._clipped else "")
