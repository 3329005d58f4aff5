"""Faults of a file, collected and reported together: one run shows everything that must be mended."""

from __future__ import annotations

from collections.abc import Sequence

from classifier_trainer.errors import UserError

_SHOWN = 20
_MAX_NAME = 60


class RowError(ValueError):
    """A row is wrong; the text continues 'line N …'."""


class Faults:
    """Collects faults by line; `field` and `uri` are what messages call the source."""

    def __init__(self, field: str, uri: str) -> None:
        self.where = f"{field} '{uri}'"
        self.file = ""
        """The name of the file that is being read, where the source has several."""
        self._count = 0
        self._shown: list[tuple[str, int, str]] = []

    def __bool__(self) -> bool:
        return self._count > 0

    def add(self, line: int, what: str) -> None:
        """A fault of one line: `what` continues 'line N …'."""
        self._count += 1
        if len(self._shown) < _SHOWN:
            self._shown.append((self.file, line, what))

    def sentence(self) -> str:
        """All faults, the first twenty in words."""
        parts = "; ".join(
            f"line {line}{f' of {file}' if file else ''} {what}" for file, line, what in sorted(self._shown)
        )
        more = f"; and {self._count - len(self._shown)} more faults" if self._count > len(self._shown) else ""
        return f"{self.where}: {parts}{more}."


def raise_all(collected: Sequence[Faults]) -> None:
    """Raises one UserError for the faults of all sources, if there are any."""
    found = [faults.sentence() for faults in collected if faults]
    if found:
        raise UserError(" ".join(found))


def shown(value: str) -> str:
    """A name of the user's in a message: quoted, on one line, not endless."""
    text = value.encode("utf-8", errors="replace").decode("utf-8")
    return repr(text if len(text) <= _MAX_NAME else text[: _MAX_NAME - 1] + "…")
