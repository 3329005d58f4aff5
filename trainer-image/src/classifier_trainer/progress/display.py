"""Shows a run to a person: a bar on a terminal, plain lines in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

from tqdm import tqdm

from classifier_trainer.progress.tracker import Listener

_LOG_SECONDS = 10.0


def display(stream: TextIO = sys.stderr) -> Listener:
    """A bar if `stream` is a terminal, else lines."""
    return BarDisplay(stream) if stream.isatty() else LogDisplay(stream)


class LogDisplay:
    """Lines with the time, at most one every ten seconds for mere movement."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._last = clock()

    def said(self, text: str) -> None:
        self._print(text)

    def moved(self, document: dict[str, Any]) -> None:
        if self._clock() - self._last >= _LOG_SECONDS:
            self._print(f"{document['progress']['percent']:3d}% {document['message']}{_left(document)}")

    def close(self) -> None:
        """Nothing to take back."""

    def _print(self, text: str) -> None:
        self._last = self._clock()
        print(f"{time.strftime('%H:%M:%S')} {text}", file=self._stream, flush=True)


class BarDisplay:
    """A bar of percent under the lines."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._bar = tqdm(
            total=100, file=stream, bar_format="{desc} |{bar}| {n_fmt}% {postfix}", leave=False, delay=1e-6
        )

    def said(self, text: str) -> None:
        self._bar.write(text, file=self._stream)
        self._bar.set_description_str(text[:50], refresh=False)

    def moved(self, document: dict[str, Any]) -> None:
        self._bar.set_description_str(document["message"][:50], refresh=False)
        self._bar.set_postfix_str(_left(document).lstrip(", "), refresh=False)
        self._bar.update(document["progress"]["percent"] - self._bar.n)
        self._bar.refresh()

    def close(self) -> None:
        self._bar.close()


def _left(document: dict[str, Any]) -> str:
    seconds = document["progress"].get("secondsLeft")
    if seconds is None:
        return ""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    text = f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
    return f", {text} left"
