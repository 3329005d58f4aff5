"""Malformed data: every one ends in a sentence for the user, never in a traceback or a half-written checkpoint.

`make bench NAME=data_fuzz`, about ten minutes. 10,000 data sets in process, through reader, splits and profile, and
100 through the command.
"""

from __future__ import annotations

import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "trainer-image/src")]

from support.malformed import make_case  # noqa: E402  # the paths above make the script run by itself

IN_PROCESS, BY_COMMAND = 10_000, 100
PARALLEL = 2
_EXIT_USER = 42
_LONGEST = 20_000


def outcome(seed: int, folder: Path) -> str:
    """`read`, `refused`, or what went wrong, for the case of a seed read in this process."""
    from classifier_trainer.data.load import load_dataset
    from classifier_trainer.errors import UserError
    from support.datasets import fetch_file, parsed

    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        scratch = Path(temporary) / "scratch"
        scratch.mkdir()
        try:
            parts = make_case(seed).write(Path(temporary))
            dataset = load_dataset(parsed(parts), fetch_file, scratch)
        except UserError as error:
            return "refused" if is_sentence(str(error)) else f"no sentence: {str(error)[:300]!r}"
        except Exception:
            return traceback.format_exc(limit=-3)
        json.dumps(dataset.profile, allow_nan=False)
        if not len(dataset.train) or len(dataset.train.targets) != len(dataset.train):
            return "a dataset without rows, or with too few targets"
        return "read"


def is_sentence(text: str) -> bool:
    """One line that names where the fault is, and ends."""
    starts = ("trainDataset", "testDataset", "validation", "rebalance", "taskType", "the run configuration")
    return text.startswith(starts) and text.endswith(".") and "\n" not in text and len(text) <= _LONGEST


def by_command(seed: int, folder: Path, base_model: Path) -> str:
    """The same by the command: `refused`, or what went wrong."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        parts = make_case(seed).write(Path(temporary))
        output = Path(temporary) / "output"
        content = {**parts, "baseModel": {"uri": f"file://{base_model}"}, "output": {"uri": f"file://{output}"}}
        config = Path(temporary) / "run.json"
        config.write_text(json.dumps(content))
        command = [sys.executable, "-m", "classifier_trainer", "--config", str(config), "--progress-port", "0"]
        done = subprocess.run(command, env=environment(Path(temporary)), capture_output=True, text=True)
        said = done.stdout + done.stderr
        left = sorted(str(path.relative_to(output)) for path in output.rglob("*")) if output.exists() else []
        if done.returncode != _EXIT_USER:
            return f"exit code {done.returncode}: {said[-2000:]}"
        if "Traceback" in said:
            return f"traceback: {said[-2000:]}"
        message = json.loads((Path(temporary) / "last-word").read_text())["message"]
        # The kubelet keeps 4096 bytes of it.
        if not is_sentence(f"{message[:-1]}." if message.endswith("…") else message):
            return f"no sentence: {message[:300]!r}"
        if any("checkpoint" in name or "model" in name or "state" in name for name in left):
            return f"left behind: {left}"
        return "refused"


def environment(folder: Path) -> dict[str, str]:
    """The command's."""
    paths = ":".join(str(ROOT / part) for part in ("base-image/src", "trainer-image/src"))
    last_word = {"CLASSIFIER_TERMINATION_LOG": str(folder / "last-word")}
    return {**os.environ, **last_word, "PYTHONPATH": paths, "TMPDIR": str(folder)}


def fuzz(folder: Path, in_process: int, command: int) -> tuple[dict[str, int], list[str], int]:
    """How often each outcome was, what went wrong in words, and how many cases were tried."""
    from support.tiny_models import tiny_folder

    found: collections.Counter[str] = collections.Counter()
    wrong: list[str] = []
    refused: list[int] = []
    for seed in range(in_process):
        result = outcome(seed, folder)
        if result in ("read", "refused"):
            found[result] += 1
        else:
            wrong.append(f"seed {seed}: {result}")
        if result == "refused":
            refused.append(seed)
    base_model = tiny_folder(folder / "base-model")
    # Evenly over all that were refused, so that every kind of fault is among them.
    chosen = refused[:: max(1, len(refused) // command)][:command] if command else []
    with concurrent.futures.ThreadPoolExecutor(PARALLEL) as pool:
        for seed, result in zip(
            chosen, pool.map(lambda seed: by_command(seed, folder, base_model), chosen), strict=True
        ):
            if result == "refused":
                found["refused by the command"] += 1
            else:
                wrong.append(f"seed {seed} by the command: {result}")
    return dict(found), wrong, in_process + len(chosen)


def main() -> None:
    from bench.report import Row, write

    with tempfile.TemporaryDirectory() as folder:
        found, wrong, tried = fuzz(Path(folder), IN_PROCESS, BY_COMMAND)
    for each in wrong:
        print(each, file=sys.stderr)
    wanted = IN_PROCESS + BY_COMMAND
    rows = [
        Row("tried", "malformed data sets tried", tried, "", f"≥ {wanted}", tried >= wanted),
        Row("tracebacks", "that ended otherwise than in rows or a sentence", len(wrong), "", "0", not wrong),
        Row("refused", "refused in process, with a sentence", found.get("refused", 0)),
        Row("read", "read all the same: the change left rows that are right", found.get("read", 0)),
        Row(
            "by_command",
            "refused by the command with exit code 42, a sentence, and no checkpoint",
            found.get("refused by the command", 0),
        ),
    ]
    notes = [
        "JSONL, JSON, CSV and Parquet: odd values, rows, bytes, containers and classes, and parts of the configuration "
        "that the data does not fit.",
    ]
    write("data_fuzz", title="Malformed data", command="make bench NAME=data_fuzz", rows=rows, notes=notes)
    if wrong:
        sys.exit(1)


if __name__ == "__main__":
    main()
