"""Which engine computes a classifier fastest on a CPU, and how far its probabilities are from float32.

`make bench NAME=serve_engines`, about ten minutes: transformers as it is, this project's backend (packed texts, weights
laid out once), ONNX Runtime and OpenVINO, each in a process of its own with one thread, in CPU seconds. One text of 16,
64 and 256 tokens, and 200 of 8 to 512 tokens in the batches that the server would make: packed for ours, for the others
of nearest lengths with at most 15 % padding. `--quick` writes nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "server-image/src")]

import numpy as np  # noqa: E402  # the path above makes the script run by itself
from tokenizers import Tokenizer  # noqa: E402

from bench.peers.engines import Batch  # noqa: E402
from bench.peers.install import TORCH, ensure_environment  # noqa: E402
from bench.peers.model import mixed_texts, served_model  # noqa: E402
from bench.report import Row, write  # noqa: E402
from classifier_server.batching import BatchLimits, Caller, Waiting, select  # noqa: E402

PACKAGES = (
    TORCH,
    "transformers==5.23.0",
    "onnx==1.23.2",
    "onnxscript==0.7.2",
    "onnxruntime==1.31.1",
    "openvino==2026.4.1",
)
OWN = ("eager float32", "eager bfloat16", "ours float32", "ours bfloat16")
FOREIGN = ("onnxruntime float32", "openvino float32", "openvino bfloat16")
WORTH_IT = 1.3
MAX_DIFFERENCE, MARGIN = 0.02, 0.04
CASES = ("16", "64", "256")
_TOKENS, _PADDING = 512, 0.15


@dataclass(frozen=True)
class Measured:
    """One engine."""

    seconds: Mapping[str, float]
    """By case: milliseconds of one text, or seconds of all mixed ones."""
    probabilities: np.ndarray[Any, Any]
    """Of the mixed texts, in their order."""


def batches_of(texts: Sequence[list[int]], *, packed: bool) -> tuple[list[Batch], list[int]]:
    """The batches that the server would make of texts that all wait, and which text stands where."""
    limits = BatchLimits(_TOKENS, None if packed else _PADDING)
    queue = [Waiting(Caller(float(row)), row, text) for row, text in enumerate(texts)]
    batches, order = [], []
    while queue:
        batch = select(queue, limits)
        taken = {id(waiting) for waiting in batch}
        queue = [waiting for waiting in queue if id(waiting) not in taken]
        batches.append([list(waiting.ids) for waiting in batch])
        order += [waiting.row for waiting in batch]
    return batches, order


def measure(engine: str, texts: Sequence[list[int]], rounds: int, python: str, folder: Path) -> Measured:
    """Runs one engine in a process of its own."""
    batches, order = batches_of(texts, packed=engine.startswith("ours"))
    longest = max(texts, key=len)
    cases: dict[str, list[Batch]] = {str(length): [[longest[:length]]] * 5 for length in map(int, CASES)}
    cases["mixed"] = batches
    work = {"model": str(served_model()), "threads": 1, "rounds": rounds, "cases": cases}
    path = folder / "work.json"
    path.write_text(json.dumps(work))
    script = str(ROOT / "tests" / "bench" / "peers" / "engines.py")
    paths = os.pathsep.join(str(ROOT / part) for part in ("base-image/src", "server-image/src"))
    done = subprocess.run(
        [python, script, engine, str(path)],
        env=os.environ | {"PYTHONPATH": paths},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout.splitlines()[-1])
    logits = np.empty((len(texts), len(found["logits"][0])))
    logits[order] = found["logits"]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    seconds = {case: value / (1 if case == "mixed" else 5) for case, value in found["seconds"].items()}
    return Measured(seconds, powers / powers.sum(axis=1, keepdims=True))


def figures(measured: Mapping[str, Measured], count: int) -> list[Row]:
    """Speed against transformers as it is, and the distance from it."""
    base = measured["eager float32"]
    speeds = {name: round(base.seconds["mixed"] / each.seconds["mixed"], 2) for name, each in measured.items()}
    worth_it = round(WORTH_IT * max(speed for name, speed in speeds.items() if name not in FOREIGN), 2)
    rows = []
    for name, each in measured.items():
        key, foreign, own = name.replace(" ", "_"), name in FOREIGN, name.startswith("ours")
        bound, kept = (f"< {worth_it}", speeds[name] < worth_it) if foreign else ("", True)
        rows.append(Row(f"{key}_speed", f"{name}, mixed texts", speeds[name], "× eager", bound, kept))
        rows.append(Row(f"{key}_per_s", f"{name}, mixed texts", round(count / each.seconds["mixed"], 1), "texts/s"))
        rows += [
            Row(f"{key}_{case}_ms", f"{name}, one text of {case} tokens", round(1000 * each.seconds[case], 1), "ms")
            for case in CASES
        ]
        difference, changed = distance(each.probabilities, base.probabilities)
        bound, kept = (f"≤ {MAX_DIFFERENCE}", difference <= MAX_DIFFERENCE) if own else ("", True)
        what = f"{name}, largest difference of a probability"
        rows.append(Row(f"{key}_difference", what, float(f"{difference:.2g}"), "", bound, kept))
        bound, kept = ("0", changed == 0) if own else ("", True)
        what = f"{name}, labels changed of those that lead by {MARGIN}"
        rows.append(Row(f"{key}_labels_changed", what, changed, "", bound, kept))
    return rows


def distance(found: np.ndarray[Any, Any], expected: np.ndarray[Any, Any]) -> tuple[float, int]:
    """The largest difference of a probability, and how many labels changed though they led by MARGIN."""
    ordered = np.sort(expected, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > MARGIN
    changed = found.argmax(axis=1) != expected.argmax(axis=1)
    return float(np.abs(found - expected).max()), int((changed & clear).sum())


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures, prints the table, and writes it unless `--quick`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few texts, one round; writes nothing")
    parser.add_argument("--engines", nargs="+", default=[*OWN, *FOREIGN])
    options = parser.parse_args(arguments)
    count, rounds = (24, 1) if options.quick else (200, 5)
    tokenizer: Any = Tokenizer.from_file(str(served_model() / "tokenizer.json"))
    texts = [encoding.ids for encoding in tokenizer.encode_batch(mixed_texts(count, seed=3))]
    measured = {}
    with tempfile.TemporaryDirectory(prefix="bench-engines-") as folder:
        for engine in options.engines:
            foreign = engine in FOREIGN
            python = str(ensure_environment("engines", PACKAGES) / "bin" / "python") if foreign else sys.executable
            measured[engine] = measure(engine, texts, rounds, python, Path(folder))
            print(engine, dict(measured[engine].seconds), file=sys.stderr, flush=True)
    rows = figures(measured, count)
    if options.quick:
        print(json.dumps({row.key: row.value for row in rows}, indent=1))
        return 0
    write(
        "serve_engines",
        title="Engines on a CPU, one thread",
        command="make bench NAME=serve_engines",
        rows=rows,
        notes=[
            f"{count} texts of 8 to 512 tokens, spread evenly by their logarithm; MiniLM, a random head of 8 labels.",
            f"Another engine is worth its weight where it is {WORTH_IT} times as fast as the better of ours.",
        ],
    )
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
