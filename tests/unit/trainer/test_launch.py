"""One process a GPU: their variables, their exit codes, and signals."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from classifier_trainer import launch as launcher
from classifier_trainer.launch import environments, launch, processes_here


@pytest.mark.parametrize(
    ("environment", "count"),
    [
        ({}, 1),
        ({"PET_NPROC_PER_NODE": "4"}, 4),
        ({"PET_NPROC_PER_NODE": "1"}, 1),
        ({"PET_NPROC_PER_NODE": "gpu"}, 1),
        ({"PET_NPROC_PER_NODE": "4", "LOCAL_RANK": "2"}, 1),
        ({"RANK": "1", "WORLD_SIZE": "2"}, 1),
    ],
)
def test_how_many(environment: dict[str, str], count: int) -> None:
    assert processes_here(environment) == count


def test_variables_are_those_of_torchrun() -> None:
    asked = {"PET_NNODES": "3", "PET_NODE_RANK": "2", "PET_MASTER_ADDR": "first", "PET_MASTER_PORT": "1234", "A": "b"}
    first, second = environments(2, asked)
    assert {key: first[key] for key in first.keys() - asked.keys()} == {
        "MASTER_ADDR": "first",
        "MASTER_PORT": "1234",
        "RANK": "4",
        "WORLD_SIZE": "6",
        "LOCAL_RANK": "0",
        "LOCAL_WORLD_SIZE": "2",
    }
    assert (second["RANK"], second["LOCAL_RANK"], second["A"]) == ("5", "1", "b")
    assert environments(1, {})[0]["MASTER_ADDR"] == "127.0.0.1"


def run(code: str, count: int = 3) -> int:
    """Runs Python code in several processes, which know their number by RANK."""
    return launch(
        [sys.executable, "-c", f"import os, signal, sys, time\n{code}"], environments(count, dict(os.environ))
    )


@pytest.mark.parametrize(
    ("codes", "together"),
    [("000", 0), ("020", 2), ("0 42 0", 42), ("1 42 1", 42), ("143 143 143", 143), ("143 1 143", 1)],
)
def test_exit_code_of_the_whole(codes: str, together: int) -> None:
    each = codes.split() if " " in codes else list(codes)
    assert run(f"sys.exit([{', '.join(each)}][int(os.environ['RANK'])])") == together


def test_who_was_killed_counts_as_shells_count() -> None:
    assert run("os.environ['RANK'] == '1' and os.kill(os.getpid(), signal.SIGKILL)") == 137


def test_who_hangs_on_after_a_failure_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_PATIENCE", 0.5)
    assert run("os.environ['RANK'] == '1' and sys.exit(3)\ntime.sleep(600)") == 3


def test_sigterm_reaches_all_and_each_may_finish(tmp_path: Path) -> None:
    code = f"""
def stop(*_):
    time.sleep(0.3)
    open({str(tmp_path)!r} + '/saved-' + os.environ['RANK'], 'w').close()
    sys.exit(143)
signal.signal(signal.SIGTERM, stop)
open({str(tmp_path)!r} + '/ready-' + os.environ['RANK'], 'w').close()
while True:
    time.sleep(0.05)
"""

    def terminate() -> None:
        while len(list(tmp_path.glob("ready-*"))) < 3:
            time.sleep(0.02)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=terminate, daemon=True).start()
    assert run(code) == 143
    assert len(list(tmp_path.glob("saved-*"))) == 3
    assert signal.getsignal(signal.SIGTERM) is before
