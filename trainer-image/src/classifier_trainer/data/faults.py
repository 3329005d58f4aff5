"""Faults of a file, collected and reported together: one run shows everything that must be mended."""

from __future__ import annotations

from classifier_trainer.errors import UserError

_SHOWN = 20
_MAX_NAME = 60


class Faults:
    """Collects faults by line; `raise_any` ends the run with all of them in one sentence."""

    def __init__(self, field: str, uri: str) -> None:
        self._where = f"{field} '{uri}'"
        self._count = 0
        self._shown: list[tuple[int, str]] = []

    def add(self, line: int, what: str) -> None:
        """A fault of one line: `what` continues 'line N …'."""
        self._count += 1
        if len(self._shown) < _SHOWN:
            self._shown.append((line, what))

    def raise_any(self) -> None:
        """Raises UserError if there was a fault."""
        if self._count == 0:
            return
        parts = "; ".join(f"line {line} {what}" for line, what in sorted(self._shown))
        more = f"; and {self._count - len(self._shown)} more faults" if self._count > len(self._shown) else ""
        raise UserError(f"{self._where}: {parts}{more}.")


def shown(value: str) -> str:
    """A name of the user's in a message: quoted, on one line, not endless."""
    text = value.encode("utf-8", errors="replace").decode("utf-8")
    return repr(text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…")
