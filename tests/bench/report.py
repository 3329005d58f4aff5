"""Result files of benchmarks: figures as JSON for the next run to be compared with, and a table to be read."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).resolve().parent / "results"
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        bound: what the figure is to keep, in words, e.g. `< 0.5`; empty where there is none.
        kept: whether it does.
    """

    key: str
    what: str
    value: float
    unit: str = ""
    bound: str = ""
    kept: bool = True


def machine() -> str:
    """The machine in a line, without its name."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )


def commit(tree: Path = ROOT) -> str:
    """The commit that was measured, with `+` where the tree had changes."""
    head = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=tree, capture_output=True, text=True)
    if head.returncode:
        return "unknown"
    changed = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=tree, capture_output=True, text=True)
    return head.stdout.strip() + ("+" if changed.stdout.strip() else "")


def write(
    name: str, *, title: str, command: str, rows: Sequence[Row], notes: Sequence[str] = (), measured: Path = ROOT
) -> Mapping[str, float]:
    """Writes results/NAME.json and results/NAME.md, prints the table, and returns the figures.

    `measured` is the checkout whose code was measured.
    """
    figures = {row.key: row.value for row in rows}
    stamp = {"command": command, "machine": machine(), "commit": commit(measured)}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps({**stamp, "figures": figures}, indent=2) + "\n")
    text = _table(title, stamp, rows, notes)
    (RESULTS / f"{name}.md").write_text(text)
    print(text)
    return figures


def _table(title: str, stamp: Mapping[str, str], rows: Sequence[Row], notes: Sequence[str]) -> str:
    lines = [f"# {title}", "", f"`{stamp['command']}` on {stamp['machine']}, at {stamp['commit']}.", ""]
    lines += ["| what | figure | bound | kept |", "|---|---:|---:|---|"]
    for row in rows:
        value = f"{row.value:g}" + (f" {row.unit}" if row.unit else "")
        lines.append(f"| {row.what} | {value} | {row.bound or '–'} | {'yes' if row.kept else '**no**'} |")
    if notes:
        lines += ["", *(f"- {note}" for note in notes)]
    return "\n".join(lines) + "\n"
