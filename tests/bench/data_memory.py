"""Peak memory of a run's data, from the file to token ids, for 1, 5 and 10 million short rows.

Run by hand: `python tests/bench/data_memory.py`. Each size has a process of its own, with what a trainer imports.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "trainer-image/src")]

SIZES = {"1m": 1_000_000, "5m": 5_000_000, "10m": 10_000_000}
LABELS = ("sport", "food", "money", "travel")
MAX_GROWTH, MAX_MIB = 1.3, 1024
_WORDS = 5000
_SEED = 0


def words() -> list[str]:
    """Made-up words of a few syllables."""
    draw = random.Random(_SEED)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    return ["".join(draw.choices(syllables, k=draw.randint(1, 4))) for _ in range(_WORDS)]


def write_rows(path: Path, rows: int) -> None:
    """JSONL of short texts, most of them different, of which one in a hundred stands there again."""
    draw, known = random.Random(_SEED), words()
    kept = ["x"]
    with path.open("w") as stream:
        for number in range(rows):
            text = draw.choice(kept) if number % 100 == 99 else " ".join(draw.choices(known, k=draw.randint(4, 14)))
            if number % 1000 == 0:
                kept.append(text)
            label = draw.choices(range(4), weights=(5, 3, 2, 1))[0]
            completion = {name: int(at == label) for at, name in enumerate(LABELS)}
            stream.write(json.dumps({"prompt": text, "completion": completion}) + "\n")


def save_tokenizer(folder: Path) -> None:
    """A byte-level BPE of 4,000 tokens, trained on the words."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=4000, special_tokens=["<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    known = words()
    tokenizer.train_from_iterator([" ".join(known[at : at + 10]) for at in range(0, len(known), 10)], trainer)
    made: Any = PreTrainedTokenizerFast
    made(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)


class AnonymousPeak:
    """The most memory without a file behind it, looked at every 50 ms."""

    def __init__(self) -> None:
        self.kib = 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._over.wait(0.05):
            self.kib = max(self.kib, status_kib("RssAnon"))

    def stop(self) -> int:
        """The peak in KiB."""
        self._over.set()
        self._thread.join()
        return self.kib


def status_kib(name: str) -> int:
    """A field of this process's status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1])
    raise KeyError(name)


def child(path: Path, tokenizer_folder: Path, scratch: Path) -> dict[str, float]:
    """Everything that a run does with its data before training; times in seconds, memory in KiB."""
    import torch  # noqa: F401  # part of every run's memory
    from transformers import AutoTokenizer

    from classifier_trainer.data.load import load_dataset
    from classifier_trainer.data.profile import add_token_lengths
    from classifier_trainer.data.tokenize import tokenize
    from support.datasets import config, fetch_file

    load_tokenizer: Any = AutoTokenizer.from_pretrained
    tokenizer = load_tokenizer(str(tokenizer_folder))
    imported = status_kib("VmHWM")
    anonymous = AnonymousPeak()
    begin = time.perf_counter()
    dataset = load_dataset(config(path, 0.1), fetch_file, scratch)
    loaded = time.perf_counter()
    after_loading = status_kib("VmHWM")
    splits = {"train": dataset.train, "validation": dataset.validation, "test": dataset.test}
    ids = {name: tokenize(split.prompts, tokenizer, 128, scratch / "tokens") for name, split in splits.items() if split}
    add_token_lengths(dataset.profile, 128, {name: found.full_lengths for name, found in ids.items()})
    end = time.perf_counter()
    return {
        "peak": status_kib("VmHWM"),
        "anonymous": anonymous.stop(),
        "imported": imported,
        "loading": after_loading,
        "load_s": loaded - begin,
        "tokenize_s": end - loaded,
        "tokens": sum(found.tokens for found in ids.values()),
    }


def measure(rows: int, folder: Path, tokenizer_folder: Path) -> dict[str, float]:
    """Runs one size in a process of its own."""
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        path, scratch = Path(temporary) / "train.jsonl", Path(temporary) / "scratch"
        scratch.mkdir()
        write_rows(path, rows)
        command = [sys.executable, __file__, "--child", str(path), str(tokenizer_folder), str(scratch)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found: dict[str, float] = json.loads(done.stdout)
    print(rows, found, file=sys.stderr, flush=True)
    return found


def main() -> None:
    from bench.report import Row, write

    root = Path(os.environ.get("BENCH_SCRATCH") or tempfile.gettempdir())
    with tempfile.TemporaryDirectory(dir=root) as folder:
        tokenizer_folder = Path(folder) / "tokenizer"
        save_tokenizer(tokenizer_folder)
        found = {name: measure(rows, Path(folder), tokenizer_folder) for name, rows in SIZES.items()}
    mib = {name: each["peak"] / 1024 for name, each in found.items()}
    growth = mib["10m"] / mib["1m"]
    rows = []
    for name, size in SIZES.items():
        what = f"peak memory with {size // 1_000_000} million rows"
        rows.append(Row(f"peak_mib_{name}", what, round(mib[name], 1), "MiB", f"≤ {MAX_MIB}", mib[name] <= MAX_MIB))
    rows.append(
        Row("growth", "10 million rows to 1 million", round(growth, 3), "", f"≤ {MAX_GROWTH}", growth <= MAX_GROWTH)
    )
    for name, each in found.items():
        mib_now = round(each["anonymous"] / 1024, 1)
        rows.append(Row(f"anonymous_mib_{name}", f"the same without mapped files, {name}", mib_now, "MiB"))
    for name, size in SIZES.items():
        rate = size / found[name]["load_s"]
        rows.append(Row(f"load_rows_per_s_{name}", f"read, split and profiled, {name}", round(rate), "rows/s"))
    for name, size in SIZES.items():
        rate = size / found[name]["tokenize_s"]
        rows.append(Row(f"tokenize_rows_per_s_{name}", f"tokenized, {name}", round(rate), "rows/s"))
    notes = [
        "Peak memory is VmHWM: heap, and pages of files that are mapped. "
        f"Importing torch and transformers is {found['1m']['imported'] / 1024:.0f} MiB of it.",
        f"Rows of 4 to 14 words, {found['1m']['tokens'] / SIZES['1m']:.0f} tokens each; four classes, a test split of "
        "10 %, validation by default.",
        "From JSONL by reading, task, split, validation and profile to token ids on disk.",
    ]
    write(
        "data_memory", title="Memory of the data", command="python tests/bench/data_memory.py", rows=rows, notes=notes
    )
    if not all(row.kept for row in rows):
        sys.exit(1)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        print(json.dumps(child(*map(Path, sys.argv[2:5]))))
    else:
        main()
