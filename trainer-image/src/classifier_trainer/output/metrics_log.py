"""metrics.jsonl: a line a step, and one a checkpoint."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any, Self


class MetricsLog:
    """Appends lines and shows each to readers at once."""

    def __init__(self, path: Path, offset: int | None = None) -> None:
        """Opens the file at its end, or cuts it at `offset` bytes: where it ended when the state was saved that the
        run goes on from."""
        self._stream = path.open("a", encoding="utf-8", buffering=1)
        if offset is not None:
            self._stream.truncate(offset)

    @property
    def offset(self) -> int:
        """Where the file ends, in bytes."""
        return self._stream.seek(0, 2)

    def write(self, values: dict[str, Any]) -> None:
        """Appends one JSON object."""
        self._stream.write(json.dumps(values, allow_nan=False) + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._stream.close()
