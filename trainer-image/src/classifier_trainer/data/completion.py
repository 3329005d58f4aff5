"""What a row says about its labels, in each of the forms that data sets have for it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from classifier_trainer.data.faults import RowError, shown

MAX_LABELS = 10_000
SAYS_ALL = -1
"""In place of the number of labels that a row names: it names its own, and the others are 0."""
_MAX_VALUE = 40


class Completions:
    """Labels in the order of their first appearance, or those of another set, which are then all there are."""

    def __init__(self, known: Sequence[str] | None = None) -> None:
        self.columns: dict[str, int] = {} if known is None else {name: index for index, name in enumerate(known)}
        self._closed = known is not None

    @property
    def names(self) -> list[str]:
        """The labels in the order of their columns."""
        return list(self.columns)

    def parse(self, value: Any) -> tuple[list[int], int]:
        """The columns at 1, and how many labels the row names.

        A completion is {label: 0 | 1}, a label's name, a list of names, a class's number, or the JSON text of these.

        Raises:
            RowError: none of them.
        """
        if isinstance(value, str):
            value = _from_text(value)
        if isinstance(value, dict):
            return self.of_object(value)
        if isinstance(value, list):
            columns = [self.column(_name(item)) for item in value]
            return list(dict.fromkeys(columns)), SAYS_ALL
        return [self.column(_name(value))], SAYS_ALL

    def of_object(self, value: dict[str, Any]) -> tuple[list[int], int]:
        """As `parse`, for {label: 0 | 1}."""
        columns = self.columns
        ones = []
        for label, number in value.items():
            column = columns.get(label)
            if number.__class__ is not int or column is None or not 0 <= number <= 1:
                number = zero_or_one(number, label)
                column = self.column(label)
            if number:
                ones.append(column)
        return ones, len(value)

    def column(self, label: str) -> int:
        """The column of a label, a new one if need be."""
        found = self.columns.get(label)
        if found is not None:
            return found
        if not label.strip() or not encodable(label):
            raise RowError("has a label without a name")
        if self._closed:
            raise RowError(f"has the label {shown(label)}, which the training set does not know")
        if len(self.columns) == MAX_LABELS:
            raise RowError(f"has one label more than {MAX_LABELS}: is the completion a label, not a text?")
        self.columns[label] = len(self.columns)
        return len(self.columns) - 1


def zero_or_one(value: Any, label: str) -> int:
    """A number that says whether a label applies.

    Raises:
        RowError: it is neither 0 nor 1.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or value not in (0, 1):
        raise RowError(f"has the value {_value(value)} for label {shown(label)}: write 0 or 1")
    return int(value)


def encodable(text: str) -> bool:
    """Whether it has no half of a surrogate pair."""
    if text.isascii():
        return True
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The hook of a JSON parser that refuses a name that stands twice.

    Raises:
        RowError: it does.
    """
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [key for key, _ in pairs]
        raise RowError(f"names {shown(next(name for name in names if names.count(name) > 1))} twice")
    return found


def _from_text(value: str) -> Any:
    text = value.strip()
    if text[:1] + text[-1:] not in ("{}", "[]"):
        return value
    try:
        return json.loads(text, object_pairs_hook=unique)
    except RowError:
        raise
    except (ValueError, RecursionError):
        if text[0] == "[":
            return value  # a label may be called [spam]
        raise RowError(f"has the completion {shown(value)}, which is not JSON: write {{label: 0 or 1}}") from None


def _name(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        value = _digits(value)
    if not isinstance(value, str):
        raise RowError(f"has the completion {_value(value)}: write {{label: 0 or 1}}, or a label's name")
    if not value.strip():
        raise RowError("has an empty completion: write a label's name")
    return value


def _digits(value: int) -> str:
    try:
        return str(value)
    except ValueError:
        raise RowError("has a number too long to be a label") from None


def _value(value: Any) -> str:
    try:
        text = json.dumps(value, default=str)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _MAX_VALUE else text[: _MAX_VALUE - 1] + "…"
