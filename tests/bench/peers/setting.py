"""A server of some project with one setting, as a process of its own that can be stopped for a while."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal

from bench.load import Address, http_request, once

Precision = Literal["float32", "bfloat16", "auto"]
HOST = "127.0.0.1"
_STOP_SECONDS = 30


@dataclass(frozen=True)
class Setting:
    """How a server is started, and how it is asked."""

    peer: str
    precision: Precision
    command: Sequence[str]
    port: int
    path: str
    body: Callable[[str], object]
    """Of a request for one text."""
    probabilities: Callable[[bytes], dict[str, float]]
    """By label, of an answer."""
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Of the setting, in tables."""
        return f"{self.peer} {self.precision}"

    @property
    def address(self) -> Address:
        """Where it listens."""
        return HOST, self.port

    def request(self, text: str) -> bytes:
        """The HTTP request for one text."""
        return http_request(self.path, json.dumps(self.body(text)).encode())


class StartError(Exception):
    """The server did not come up; the sentence says where its log is."""


class Server:
    """A setting's process, and those that it makes."""

    def __init__(self, setting: Setting, log: Path) -> None:
        self.setting = setting
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, seconds: float = 600) -> float:
        """Starts it; the seconds until it answered its first question.

        Raises:
            StartError: it ended, or did not answer in time.
        """
        request = self.setting.request("ready?")
        begun = time.monotonic()
        with self._log.open("ab") as stream:
            self._process = subprocess.Popen(
                self.setting.command,
                stdout=stream,
                stderr=stream,
                env=os.environ | dict(self.setting.environment),
                start_new_session=True,
            )
        while time.monotonic() < begun + seconds:
            if once(self.setting.address, request).status == 200:
                return time.monotonic() - begun
            if self._process.poll() is not None:
                raise StartError(f"{self.setting.name} ended with {self._process.returncode}: see {self._log}")
            time.sleep(0.05)
        raise StartError(f"{self.setting.name} does not answer after {seconds} s: see {self._log}")

    def pause(self) -> None:
        """Lets it use nothing while another one is measured."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Lets it go on."""
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it and its children."""
        if self._process is None:
            return
        self.resume()
        self._signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        self._signal(signal.SIGKILL)  # whatever it left behind
        self._process.wait()
        self._process = None

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stop()

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return
