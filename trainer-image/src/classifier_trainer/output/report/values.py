"""Reads JSON that may lack anything, and writes values as people read them."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Any

NONE = "–"
_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\t\n"} | {0x7F: 0x2421}
_CONTROLS[ord("\r")] = ord("\n")


def number(value: object) -> float | None:
    """The number, if it is a finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        found = float(value)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


def mapping(value: object) -> dict[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}


def sequence(value: object) -> list[Any]:
    """The list, or an empty one."""
    return value if isinstance(value, list) else []


def dig(value: object, *path: str) -> Any:
    """What lies under these keys, None if anything on the way is absent."""
    for step in path:
        value = mapping(value).get(step)
    return value


def whole(value: object) -> int | None:
    """The number without its fraction."""
    found = number(value)
    return None if found is None else int(found)


def printable(value: object, limit: int | None = None) -> str:
    """Text as a page can hold it: control characters as their pictures, half surrogates replaced, clipped."""
    text = str(value).replace("\r\n", "\n")
    if limit is not None and len(text) > limit:
        text = f"{text[:limit]} […]"
    return text.translate(_CONTROLS).encode("utf-8", "replace").decode()


def share(value: object, digits: int = 1) -> str:
    """`95.5 %`."""
    found = number(value)
    return NONE if found is None else f"{100 * found:.{digits}f} %"


def figure(value: object) -> str:
    """A score or a loss, with about three digits that matter."""
    found = number(value)
    if found is None:
        return NONE
    size = abs(found)
    if size >= 10_000:
        return f"{found:,.0f}"
    if size >= 100:
        return f"{found:.1f}"
    return f"{found:.3f}" if size >= 0.01 or found == 0 else f"{found:.2g}"


def count(value: object) -> str:
    """`12,345`."""
    found = number(value)
    return NONE if found is None else f"{found:,.0f}"


def plural(amount: int, one: str, many: str | None = None) -> str:
    """`1 row`, `2 rows`."""
    return f"{amount:,} {one if amount == 1 else many or one + 's'}"


def duration(seconds: float | None) -> str:
    """`1 h 12 min`."""
    if seconds is None or seconds < 0:
        return NONE
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def moment(value: object) -> datetime | None:
    """A time as Kubernetes writes it."""
    try:
        return datetime.fromisoformat(str(value))
    except ValueError:
        return None


def words(name: str) -> str:
    """`macroF1` as `Macro F1`."""
    known = {
        "rocAuc": "ROC AUC",
        "macroF1": "Macro-F1",
        "microF1": "Micro-F1",
        "weightedF1": "Weighted F1",
        "logLoss": "Log loss",
        "brier": "Brier score",
        "expectedCalibrationError": "Calibration error",
        "f1": "F1",
    }
    if name in known:
        return known[name]
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return spaced[:1].upper() + spaced[1:]


def short_uri(uri: object) -> str:
    """The end of a URI, which tells most: `org/name` of the hub, else the last part."""
    text = str(uri or "").rstrip("/")
    if text.startswith("hf://"):
        return text.removeprefix("hf://").removeprefix("datasets/").split("@")[0]
    return text.rsplit("/", 1)[-1]
