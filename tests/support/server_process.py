"""The server as a process of its own, to be sent signals."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import httpx

_LISTENING = re.compile(r"listening on port (\d+) \(API\) and port (\d+) ")


@dataclass
class ServerProcess:
    """A running server; its two ports are known."""

    process: subprocess.Popen[bytes]
    log: Path
    termination_log: Path
    port: int = 0
    internal_port: int = 0

    @property
    def api(self) -> str:
        """Base URL of the API port."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def internal(self) -> str:
        """Base URL of the port of the probes."""
        return f"http://127.0.0.1:{self.internal_port}"

    def output(self) -> str:
        """What it wrote to stderr so far."""
        return self.log.read_text()

    def terminate(self) -> None:
        """Sends SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    def wait_until_listening(self, seconds: float = 30) -> None:
        """Until the ports are open, which is long before the model is loaded."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if match := _LISTENING.search(self.output()):
                self.port, self.internal_port = int(match[1]), int(match[2])
                return
            if self.process.poll() is not None:
                raise AssertionError(f"the server ended with {self.process.returncode}:\n{self.output()}")
            time.sleep(0.02)
        raise AssertionError(f"the server does not listen after {seconds} s:\n{self.output()}")

    def wait_until_ready(self, seconds: float = 60) -> None:
        """Until /ready says 200."""
        self.wait_until_listening()
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.internal}/ready").status_code == 200:
                    return
            time.sleep(0.02)
        raise AssertionError(f"the server is not ready after {seconds} s:\n{self.output()}")

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.process.kill()
        self.process.wait()


@contextlib.contextmanager
def running(
    arguments: Sequence[str], *, python: Sequence[str] = ("-m", "classifier_server")
) -> Iterator[ServerProcess]:
    """Starts a server with these arguments, on ports that the kernel chooses unless they name others."""
    with tempfile.TemporaryDirectory() as folder:
        log, termination_log = Path(folder) / "log", Path(folder) / "termination-log"
        environment = os.environ | {
            "CLASSIFIER_TERMINATION_LOG": str(termination_log),
            "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        }
        command = [sys.executable, *python, "--port", "0", "--internal-port", "0", "--host", "127.0.0.1", *arguments]
        with (
            log.open("wb") as stream,
            subprocess.Popen(command, stderr=stream, env=environment) as process,
            ServerProcess(process, log, termination_log) as server,
        ):
            yield server
