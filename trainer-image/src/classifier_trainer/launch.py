"""One process a GPU, where the operator or a user asks for several by torchrun's own variables (PET_*). Light.

torchrun itself would do, but it ends with exit code 1 whatever its processes ended with, and the cluster must see 42
(never again) and 143 (stopped, no failure).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import types
from collections.abc import Mapping, Sequence

from classifier_trainer.errors import EXIT_TERMINATED, EXIT_USER

_PATIENCE = 30.0
"""Seconds in which the others must end by themselves once one has ended with an error."""
_PAUSE = 0.1
_SIGNALLED = 128


def processes_here(environment: Mapping[str, str] = os.environ) -> int:
    """How many processes are to be started: 1 where this is already one of them, or none are asked for."""
    asked = environment.get("PET_NPROC_PER_NODE", "")
    return int(asked) if asked.isdigit() and int(asked) > 0 and "LOCAL_RANK" not in environment else 1


def environments(count: int, environment: Mapping[str, str] = os.environ) -> list[dict[str, str]]:
    """The environment of each of `count` processes of this node, as torchrun makes it."""
    node, nodes = int(environment.get("PET_NODE_RANK") or 0), int(environment.get("PET_NNODES") or 1)
    common = {
        **environment,
        "MASTER_ADDR": environment.get("PET_MASTER_ADDR") or "127.0.0.1",
        "MASTER_PORT": environment.get("PET_MASTER_PORT") or "29500",
        "WORLD_SIZE": str(nodes * count),
        "LOCAL_WORLD_SIZE": str(count),
    }
    return [{**common, "RANK": str(node * count + number), "LOCAL_RANK": str(number)} for number in range(count)]


def launch(command: Sequence[str], each: Sequence[Mapping[str, str]]) -> int:
    """Runs `command` once in each environment, hands SIGTERM on to all, and returns the exit code of the whole.

    That is 42 where any process ended with it, 143 where nothing worse happened than SIGTERM, else the first one that
    is not 0.
    """
    running = [subprocess.Popen(command, env=dict(environment)) for environment in each]

    def hand_on(number: int, _frame: types.FrameType | None) -> None:
        for process in running:
            if process.poll() is None:
                process.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _together(_wait(running))
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for process in running:
            process.kill()


def _wait(running: Sequence[subprocess.Popen[bytes]]) -> list[int]:
    """The exit codes in the order in which the processes ended; those that outlive a failed one too long are killed."""
    left, codes = list(running), list[int]()
    deadline: float | None = None
    while left:
        for process in [each for each in left if each.poll() is not None]:
            left.remove(process)
            codes.append(_code(process.returncode))
        # After SIGTERM each saves its state, for which the cluster's own patience counts.
        if deadline is None and any(code not in (0, EXIT_TERMINATED) for code in codes):
            deadline = time.monotonic() + _PATIENCE
        if deadline is not None and time.monotonic() > deadline:
            for process in left:
                process.kill()
        time.sleep(_PAUSE if left else 0)
    return codes


def _code(returned: int) -> int:
    """The exit code as shells count it."""
    return returned if returned >= 0 else _SIGNALLED - returned


def _together(codes: Sequence[int]) -> int:
    if EXIT_USER in codes:
        return EXIT_USER
    wrong = [code for code in codes if code]
    return next((code for code in wrong if code != EXIT_TERMINATED), wrong[0] if wrong else 0)


def relaunch(arguments: Sequence[str]) -> int | None:
    """The exit code of this command run by all processes of this node; None where this process is to run it itself."""
    count = processes_here()
    if count == 1:
        return None
    return launch([sys.executable, "-m", "classifier_trainer", *arguments], environments(count))
