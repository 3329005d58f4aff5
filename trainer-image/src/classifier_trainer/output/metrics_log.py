"""metrics.jsonl: a line a step."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class MetricsLog:
    """Appends lines and shows each to readers at once."""

    def __init__(self, path: Path) -> None:
        self._stream = path.open("a", encoding="utf-8", buffering=1)

    def write(self, values: dict[str, Any]) -> None:
        """Appends one JSON object."""
        self._stream.write(json.dumps(values) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stream.close()
