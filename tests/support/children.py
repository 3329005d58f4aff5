"""Processes that are there in no time: forked from one that has imported torch already, and computed nothing."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

Target = Callable[..., Any]


@lru_cache(maxsize=1)
def _context() -> ForkServerContext:
    context = get_context("forkserver")
    context.set_forkserver_preload(["support.resumable", "support.ranks", "support.small_run"])
    # The server takes nothing else of this process's path.
    before = os.environ.get("PYTHONPATH")
    os.environ |= {"PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1"}
    try:
        from multiprocessing.forkserver import ensure_running

        ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)
        os.environ.pop("OMP_NUM_THREADS")
    return context


def child(target: Target, *arguments: Any) -> BaseProcess:
    """Starts `target(*arguments)` in a process of its own; both must pickle."""
    process = _context().Process(target=target, args=arguments)
    process.start()
    return process


def ranks(count: int, target: Target, *arguments: Any) -> None:
    """Runs `target(rank, *arguments)` in as many processes as torchrun would start, and waits for them all."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    processes = [child(_as_rank, rank, count, port, target, arguments) for rank in range(count)]
    try:
        for process in processes:
            process.join(timeout=120)
        assert [process.exitcode for process in processes] == [0] * count
    finally:
        for process in processes:
            process.kill()
            process.join()


def _as_rank(rank: int, count: int, port: int, target: Target, arguments: tuple[Any, ...]) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": "lo",
    }
    target(rank, *arguments)


def lines_of(path: Path) -> list[str]:
    """The whole lines of a file that somebody writes; none if it is not there yet."""
    try:
        return [line for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
    except FileNotFoundError:
        return []
