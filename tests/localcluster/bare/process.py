"""A component as a process of the host: started once, known again by its mark, replaced when its inputs change."""

from __future__ import annotations

import hashlib
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ClusterError
from ..shell import tail
from .layout import Layout
from .machine import MARK, Mark, Process, alive, kill, marked_processes
from .step import write


@dataclass(frozen=True)
class Component:
    """One program with its command line, its configuration files (name → text) and a look whether it is ready."""

    layout: Layout
    name: str
    argv: list[str]
    ready: Callable[[], bool]
    files: Mapping[str, str] = field(default_factory=dict)
    before_start: Callable[[], None] = lambda: None
    patience: float = 60.0

    def ensure(self) -> str:
        running = self.running()
        if len(running) == 1 and running[0].mark.digest == self.digest():
            self._wait(running[0].pid)
            return "runs"
        replaced = bool(running)
        self.remove()
        self.before_start()
        for name, text in self.files.items():
            write(self.layout.config_file(name), text)
        self._wait(self._start())
        return "restarted, its inputs changed" if replaced else "started"

    def remove(self) -> None:
        kill(process.pid for process in self.running())

    def running(self) -> list[Process]:
        """The living processes of this component, without the helpers that inherited its mark."""
        program = Path(self.argv[0]).name
        return [
            process
            for process in marked_processes()
            if (process.mark.kind, process.mark.component, process.program) == (self.layout.kind, self.name, program)
            and process.mark.state == self.layout.state
        ]

    def digest(self) -> str:
        """A digest of what decides how the process behaves. The program's path holds the digest of its own inputs."""
        text = "\0".join((*self.argv, *(f"{name}\0{content}" for name, content in sorted(self.files.items()))))
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def log(self) -> Path:
        return self.layout.logs / f"{self.name}.log"

    def _start(self) -> int:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.before"))
        mark = Mark(self.layout.kind, self.name, self.digest(), self.layout.state)
        environment = {
            "PATH": f"{self.layout.programs}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": str(self.layout.state),
            MARK: mark.text(),
        }
        with self.log.open("wb") as output:
            process = subprocess.Popen(
                self.argv,
                cwd=self.layout.state,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        # It outlives us, and is not ours to wait for: without this Python warns when the object goes.
        process.returncode = 0
        return process.pid

    def _wait(self, pid: int) -> None:
        end = time.monotonic() + self.patience
        # For a moment after its start a process has no environment yet in which its mark could be read.
        while not (self.ready() and any(process.pid == pid for process in self.running())):
            if not alive(pid):
                raise ClusterError(f"{self.name} ended right after its start; {self._last_words()}")
            if time.monotonic() > end:
                raise ClusterError(f"{self.name} was not ready within {self.patience:.0f} s; {self._last_words()}")
            time.sleep(0.05)

    def _last_words(self) -> str:
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return f"the end of {self.log}:\n{tail(text, 8)}"
