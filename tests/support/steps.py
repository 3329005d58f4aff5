"""Named, timed steps on the console, for the demo and the installation."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

BAR_WIDTH = 30


@dataclass
class Steps:
    """Prints `== title` before each step and keeps how long each one took, in seconds."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str, title: str) -> Iterator[None]:
        print(f"\n== {title}", flush=True)
        started = time.monotonic()
        yield
        self.seconds[name] = round(time.monotonic() - started, 1)
        print(f"   done in {self.seconds[name]:.1f} s", flush=True)

    def table(self) -> str:
        """Return the steps as the rows of a Markdown table, with the sum."""
        rows = [f"| {name} | {seconds:.1f} |" for name, seconds in self.seconds.items()]
        return "\n".join(
            ["| step | seconds |", "|---|---:|", *rows, f"| **all** | **{sum(self.seconds.values()):.1f}** |"]
        )


class Line:
    """One line that is rewritten on a terminal; in a log, a new line at most every `every` seconds."""

    def __init__(self, every: float = 10.0) -> None:
        self.every = every
        self.last_text = ""
        self.last_print = float("-inf")

    def show(self, text: str) -> None:
        if text == self.last_text:
            return
        if sys.stdout.isatty():
            print(f"\r   {text:<100.100}", end="", flush=True)
        elif time.monotonic() - self.last_print >= self.every:
            print(f"   {text}", flush=True)
            self.last_print = time.monotonic()
        self.last_text = text

    def close(self) -> None:
        if sys.stdout.isatty() and self.last_text:
            print(flush=True)


def bar(percent: float) -> str:
    filled = round(BAR_WIDTH * percent / 100)
    return f"[{'#' * filled}{'.' * (BAR_WIDTH - filled)}] {percent:3.0f}%"
