"""That the server's token ids are those of transformers, on real texts: `make bench NAME=serve_ids`, a minute.

Newswire of R8 and film reviews, with the tokenizers of MiniLM (WordPiece) and SmolLM2 (byte-level BPE), whole and cut
on either side.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "server-image/src")]

from transformers import AutoTokenizer  # noqa: E402  # the path above makes the script run by itself

from bench.report import Row, write  # noqa: E402
from classifier_server.tokenization import Reading, TextEncoder  # noqa: E402
from material.minilm import minilm  # noqa: E402
from material.r8 import r8  # noqa: E402
from material.rotten_tomatoes import rotten_tomatoes  # noqa: E402
from material.smollm2 import smollm2  # noqa: E402

LEAST_TEXTS = 10_000
LENGTHS = (64, 100_000)
_AT_ONCE = 500


def texts() -> list[str]:
    """Every prompt of both sets."""
    files = [r8() / "train-full.jsonl", r8() / "test-full.jsonl", *sorted(rotten_tomatoes().glob("*.jsonl"))]
    # Some texts have line separators of their own, at which splitlines() would cut.
    return [json.loads(line)["prompt"] for file in files for line in file.read_text().split("\n") if line]


def differing(folder: Path, found: Sequence[str], length: int, side: Literal["Right", "Left"]) -> int:
    """Texts whose ids are others than transformers'."""
    load: Any = AutoTokenizer.from_pretrained
    tokenizer, reference = load(folder), load(folder)
    reference.truncation_side = side.lower()
    encoder, different = TextEncoder(tokenizer.backend_tokenizer, length), 0
    for at in range(0, len(found), _AT_ONCE):
        some = list(found[at : at + _AT_ONCE])
        expected = reference(some, truncation=True, max_length=length)["input_ids"]
        different += sum(
            ours != theirs for ours, theirs in zip(encoder.encode(some, Reading(side)).ids, expected, strict=True)
        )
    return different


def main() -> int:
    """Compares, and writes the table."""
    found = texts()
    rows = [Row("texts", "texts", len(found), "", f"≥ {LEAST_TEXTS}", len(found) >= LEAST_TEXTS)]
    for name, folder in (("minilm", minilm()), ("smollm2", smollm2())):
        different = sum(differing(folder, found, length, side) for length in LENGTHS for side in ("Right", "Left"))
        rows.append(Row(f"{name}_different", f"{name}: texts with other ids", different, "", "0", different == 0))
    write("serve_ids", title="Token ids beside transformers'", command="make bench NAME=serve_ids", rows=rows,
          notes=["Each text whole and cut to 64 tokens, on the right and on the left."])  # fmt: skip
    return 0 if all(row.kept for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
