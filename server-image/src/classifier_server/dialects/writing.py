"""What the dialects' answers have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt


def dump(document: Any) -> bytes:
    """JSON; a number that is not finite raises ValueError."""
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def number(value: float) -> float:
    """Six significant digits, which are more than the model's arithmetic carries."""
    return float(f"{value:.6g}")


def numbers(values: npt.NDArray[np.float64]) -> list[float]:
    """`number` of each."""
    return [number(value) for value in values.tolist()]


def by_name(names: Sequence[str], values: npt.NDArray[np.float64], top_k: int | None = None) -> dict[str, float]:
    """A number by name, in the names' order; with `top_k` the largest, sorted."""
    order = range(len(names)) if top_k is None else ranking(values)[:top_k]
    return {names[column]: number(values[column]) for column in order}


def scored(names: Sequence[str], values: npt.NDArray[np.float64], top_k: int | None = None) -> list[dict[str, Any]]:
    """`{"label", "score"}`, the highest score first."""
    return [{"label": names[column], "score": number(values[column])} for column in ranking(values)[:top_k]]


def ranking(values: npt.NDArray[np.float64]) -> list[int]:
    """Columns by their value, descending; equals keep their order."""
    order: list[int] = np.argsort(-values, kind="stable").tolist()
    return order
