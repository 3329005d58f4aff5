"""Runs other programs: quietly, with their output at hand when they fail."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from .errors import ClusterError

Words = Sequence[str | Path]


def run(
    words: Words,
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
    timeout: float | None = None,
) -> str:
    """Run a program to its end and return what it printed on stdout.

    `env` is added to ours. Raises ClusterError with the last lines of its output when it fails or takes longer than
    `timeout` seconds.
    """
    argv = [str(word) for word in words]
    try:
        done = subprocess.run(
            argv,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except FileNotFoundError:
        raise ClusterError(f"{argv[0]} is not installed") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"`{shlex.join(argv)}` did not end within {timeout:.0f} s") from None
    if done.returncode != 0:
        said = tail(done.stderr.strip() or done.stdout.strip())
        raise ClusterError(f"`{shlex.join(argv)}` failed with exit code {done.returncode}:\n{said}")
    return done.stdout


def succeeds(words: Words, timeout: float | None = 20) -> bool:
    """Whether a program exists, ends in time and says 0."""
    try:
        run(words, timeout=timeout)
    except ClusterError:
        return False
    return True


def tail(text: str, lines: int = 20) -> str:
    """The last lines of a text, indented so that they stand apart from our own."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])
