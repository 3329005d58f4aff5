"""test/results.jsonl: every row of the test set with what the checkpoint said of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt


def write_results(
    path: Path,
    labels: Sequence[str],
    prompts: Sequence[str],
    lines: Sequence[int],
    expected: npt.NDArray[np.int8],
    predicted: npt.NDArray[np.bool_],
    probabilities: npt.NDArray[np.float64],
) -> None:
    """Writes a JSON object a row; expected, predicted and probabilities are [n, k]."""
    with path.open("w", encoding="utf-8") as stream:
        # Row by row: the texts may lie on disk.
        for prompt, line, truth, guess, values in zip(prompts, lines, expected, predicted, probabilities, strict=True):
            row: dict[str, Any] = {
                "prompt": prompt,
                "expected": dict(zip(labels, truth.tolist(), strict=True)),
                "predicted": dict(zip(labels, guess.astype(int).tolist(), strict=True)),
                "probabilities": named(labels, values.tolist()),
                "line": int(line),
            }
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")


def named(labels: Sequence[str], probabilities: Iterable[float]) -> dict[str, float]:
    """Probabilities by label, to six places."""
    return {label: round(value, 6) for label, value in zip(labels, probabilities, strict=True)}
