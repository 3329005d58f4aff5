"""Shows what is being done and for how long: a ticking line on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

PLAIN_EVERY_S = 15.0
"""In a log, a step that is still at work says so this often."""

QUIET_S = 0.3
"""A step shorter than this prints only its result."""


def say(text: str) -> None:
    """Print one line at once, also through a pipe."""
    print(text, flush=True)


class Step:
    """The line of one step; `detail` may be set while it runs, `result` says how it ended."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.detail = ""
        self.result = "done"
        self.started = time.monotonic()

    def seconds(self) -> float:
        return time.monotonic() - self.started

    def line(self) -> str:
        return f"  {self.name:<22} {self.detail or '…'} ({self.seconds():.0f} s)"


@contextmanager
def step(name: str) -> Iterator[Step]:
    """Show a step while the body runs. An exception ends its line as failed and passes on."""
    current = Step(name)
    finished = threading.Event()
    ticker = threading.Thread(target=_tick, args=(current, finished), daemon=True)
    ticker.start()
    try:
        yield current
    except BaseException:
        current.result = "failed"
        raise
    finally:
        finished.set()
        ticker.join()
        clear = "\r\033[K" if sys.stdout.isatty() else ""
        say(f"{clear}  {name:<22} {current.result} ({current.seconds():.1f} s)")


def _tick(current: Step, finished: threading.Event) -> None:
    terminal = sys.stdout.isatty()
    if finished.wait(QUIET_S):
        return
    if not terminal:
        say(current.line())
    while not finished.wait(0.5 if terminal else PLAIN_EVERY_S):
        if terminal:
            print(f"\r\033[K{current.line()}", end="", flush=True)
        else:
            say(current.line())
