"""SIGTERM at a bad moment: what must not be cut in two is finished first."""

from __future__ import annotations

import signal
import threading
import types
from collections.abc import Iterator
from contextlib import contextmanager


class Deferred:
    """Whether SIGTERM came inside the block."""

    pending = False


@contextmanager
def deferred() -> Iterator[Deferred]:
    """Lets SIGTERM wait for the end of the block, and only then gives it to whoever handled it before."""
    found = Deferred()
    before = signal.getsignal(signal.SIGTERM) if threading.current_thread() is threading.main_thread() else None
    if not callable(before):  # not ours to answer: another thread, ignored, or the process just ends
        yield found
        return
    came: list[types.FrameType | None] = []

    def note(_signal: int, frame: types.FrameType | None) -> None:
        found.pending = True
        came.append(frame)

    signal.signal(signal.SIGTERM, note)
    try:
        yield found
    finally:
        signal.signal(signal.SIGTERM, before)
    if came:
        before(signal.SIGTERM, came[0])
