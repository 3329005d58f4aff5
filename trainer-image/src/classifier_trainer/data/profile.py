"""What the data looks like, before any model is loaded: the content of profile.json."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_trainer.data.column import CHUNK, Column
from classifier_trainer.data.duplicates import count_known, repeats
from classifier_trainer.data.label_sets import Mask
from classifier_trainer.data.partition import TEST, TRAIN, VALIDATION, Partition, counts_by_side
from classifier_trainer.data.table import Table
from classifier_trainer.data.task import rare

SHOWN_LINES = 20
_EXAMPLES = 5
_TEXT = 200
_NAMED_LINES = 5
_MANY_ROWS = 20
"""Below as many rows none is called an outlier."""
_LONGEST = 1 << 16
_BINS = 32

Lengths = npt.NDArray[np.int32]


@dataclass
class Warnings:
    """Sentences about the data, each with the lines that it is about."""

    found: list[dict[str, Any]] = field(default_factory=list)

    def add(self, text: str, lines: Sequence[int] = (), rows: int | None = None) -> None:
        """`rows` is how many there are in all, where `lines` are only the first of them."""
        self.found.append(
            {
                "text": text,
                "lines": [int(line) for line in lines[:SHOWN_LINES]],
                "rows": len(lines) if rows is None else rows,
            }
        )

    @property
    def texts(self) -> list[str]:
        """The sentences with their first lines."""
        return [_with_lines(each["text"], each["lines"], each["rows"]) for each in self.found]


def _with_lines(text: str, lines: Sequence[int], rows: int) -> str:
    if not lines:
        return text
    more = rows - min(len(lines), _NAMED_LINES)
    named = ", ".join(map(str, lines[:_NAMED_LINES]))
    return f"{text} ({'lines' if len(lines) > 1 or more else 'line'} {named}{f' and {more} more' if more else ''})"


def build_profile(
    partition: Partition,
    test: Table | None,
    *,
    task: str,
    reason: str,
    labels: list[str],
    trained: npt.NDArray[np.int64],
    trained_rows: int,
    warnings: Warnings,
) -> dict[str, Any]:
    """The profile with the lengths in characters; `test` is the set of its own, if there is one.

    `trained` are the rows of each label [k] that are trained on after rebalancing. Adds to `warnings`.
    """
    table, used = partition.table, partition.used
    counts = counts_by_side(partition, len(labels))
    test_counts = _label_counts(test, len(labels)) if test is not None else counts[TEST]
    natural_rows = int(partition.mask(TRAIN).sum())
    if text := rare(counts[TRAIN], natural_rows, task, labels):  # type: ignore[arg-type]  # a task, as a text
        warnings.add(text)
    result: dict[str, Any] = {
        "rows": {
            "train": trained_rows,
            "validation": int(partition.mask(VALIDATION).sum()),
            "test": len(test) if test is not None else int(partition.mask(TEST).sum()),
            "read": len(table) + (len(test) if test is not None else 0),
            "natural": natural_rows,
        },
        "task": task,
        "reason": reason,
        "labels": [
            {
                "name": name,
                "train": int(trained[at]),
                "natural": int(counts[TRAIN][at]),
                "validation": int(counts[VALIDATION][at]),
                "test": int(test_counts[at]),
            }
            for at, name in enumerate(labels)
        ],
        "duplicates": _duplicates(partition, warnings),
        "overlap": _overlap(partition, test, warnings),
        "empty": _empty(table, used, warnings),
        "outliers": _outliers(table, used, warnings),
        "missingLabels": _missing(table, used, task, labels, warnings),
    }
    if test is not None:
        _empty(test, np.ones(len(test), dtype=np.bool_), warnings)
    masks = {"train": partition.mask(TRAIN), "validation": partition.mask(VALIDATION), "test": partition.mask(TEST)}
    columns = {name: _picked(table.lengths, mask) for name, mask in masks.items()}
    if test is not None:
        columns["test"] = (part for _, part in test.lengths.chunks())
    result["lengths"] = {"unit": "characters", **_histogram(columns)}
    result["warnings"] = warnings.found
    return result


def add_token_lengths(
    profile: Mapping[str, Any], max_length: int, lengths: Mapping[str, Lengths]
) -> tuple[dict[str, Any], list[str]]:
    """The profile with lengths in tokens, and the warnings that are new.

    `lengths` are the tokens of each row of `train`, `validation` and `test` before any is cut, the template's included.
    """
    warnings = Warnings(list(profile.get("warnings", [])))
    before = len(warnings.found)
    found = _histogram({name: _pieces(values) for name, values in lengths.items()})
    cut = {name: sum(int((part > max_length).sum()) for part in _pieces(values)) for name, values in lengths.items()}
    for name, rows in cut.items():
        if rows:
            word = "training" if name == "train" else name
            total = len(lengths[name])
            warnings.add(f"{rows} of {total} {word} rows are longer than maxLength {max_length} and are cut")
    content = {
        **profile,
        "lengths": {"unit": "tokens", **found, "cut": cut, "maxLength": max_length},
        "warnings": warnings.found,
    }
    return content, warnings.texts[before:]


def _label_counts(table: Table, labels: int) -> npt.NDArray[np.int64]:
    result = np.zeros(labels, dtype=np.int64)
    for _, _, ones in table.label_chunks():
        result += np.bincount(ones, minlength=labels)
    return result


def _duplicates(partition: Partition, warnings: Warnings) -> dict[str, Any]:
    table = partition.table
    rows = 0
    groups: dict[int, list[int]] = {}  # first row of a text: all rows of it
    lines: list[int] = []
    for here, firsts in repeats(partition.first):
        rows += len(here)
        if len(lines) < SHOWN_LINES:
            lines += table.lines.at(here[: SHOWN_LINES - len(lines)]).tolist()
        if len(groups) < _EXAMPLES:
            for row, first in zip(here[:1000].tolist(), firsts[:1000].tolist(), strict=True):
                if first in groups or len(groups) < _EXAMPLES:
                    groups.setdefault(first, [first]).append(row)
    examples = [
        {"lines": table.lines.at(np.array(found[:_EXAMPLES])).tolist(), "text": table.texts.one(first)[:_TEXT]}
        for first, found in groups.items()
    ]
    if rows:
        warnings.add(f"{_have(rows)} the text of an earlier row", lines, rows)
    if partition.contradicting:
        odd = table.lines.at(np.array(partition.contradictions)).tolist()
        warnings.add(
            f"{_have(partition.contradicting)} the text of an earlier row, but other labels",
            odd,
            partition.contradicting,
        )
    return {"rows": rows, "contradicting": partition.contradicting, "examples": examples}


def _overlap(partition: Partition, test: Table | None, warnings: Warnings) -> dict[str, Any]:
    if test is None:  # a split keeps the rows of one text together
        return {"rows": 0, "examples": []}
    rows, first = count_known(test.hashes, partition.table.hashes, partition.used, SHOWN_LINES)
    lines = test.lines.at(np.array(first, dtype=np.int64)).tolist()
    if rows:
        warnings.add(f"{rows} of {len(test)} test rows stand in the training set as well", lines, rows)
    examples = [{"lines": [line], "text": test.texts.one(row)[:_TEXT]} for row, line in zip(first, lines, strict=True)]
    return {"rows": rows, "examples": examples[:_EXAMPLES]}


def _have(rows: int) -> str:
    return "1 row has" if rows == 1 else f"{rows} rows have"


def _select(table: Table, column: Column, used: Mask, low: int, high: int) -> tuple[int, list[int]]:
    """How many used rows have a value from `low` to `high`, and the first lines of them."""
    rows = 0
    lines: list[int] = []
    for start, values in column.chunks():
        here = np.flatnonzero(used[start : start + len(values)] & (values >= low) & (values <= high))
        rows += len(here)
        if len(lines) < SHOWN_LINES and len(here):
            lines += table.lines.at(here[: SHOWN_LINES - len(lines)] + start).tolist()
    return rows, lines


def _empty(table: Table, used: Mask, warnings: Warnings) -> dict[str, Any]:
    rows, lines = _select(table, table.lengths, used, 0, 0)
    if rows:
        warnings.add(f"{table.field}: {_have(rows)} an empty text", lines, rows)
    return {"rows": rows, "lines": lines}


def _outliers(table: Table, used: Mask, warnings: Warnings) -> dict[str, Any]:
    """Texts that are far longer or shorter than the others: three quartile distances beyond, on a scale of factors."""
    counts, longest = _bincount(_picked(table.lengths, used))
    counts[0] = 0  # texts of nothing are told apart
    if counts.sum() < _MANY_ROWS:
        return {"long": [], "short": []}
    quarter, half, most = (_quantile(counts, q) for q in (0.25, 0.5, 0.75))
    spread = max(most / quarter, 1.0) ** 3
    low, high = min(quarter / spread, half / 10), max(most * spread, half * 10)
    result: dict[str, Any] = {}
    for name, first, last, bound in (
        ("long", int(high) + 1, longest, f"longer than {int(high)} characters"),
        ("short", 1, int(np.ceil(low)) - 1, f"shorter than {int(np.ceil(low))} characters"),
    ):
        rows, lines = _select(table, table.lengths, used, first, last)
        result[name] = lines
        if rows:
            are = "row is" if rows == 1 else "rows are"
            warnings.add(f"{rows} {are} {bound}, the median is {int(half)}", lines, rows)
    return result


def _missing(table: Table, used: Mask, task: str, labels: list[str], warnings: Warnings) -> dict[str, Any]:
    rows, lines = _select(table, table.named, used, 0, len(labels) - 1)
    if rows and task != "Multiclass":  # there it is common to write only the class that a row has
        warnings.add(f"{rows} {'row leaves' if rows == 1 else 'rows leave'} labels out, which counts as 0", lines, rows)
    return {"rows": rows}


def _picked(lengths: Column, mask: Mask) -> Iterable[Lengths]:
    for start, values in lengths.chunks():
        yield values[mask[start : start + len(values)]]


def _pieces(lengths: Lengths) -> Iterable[Lengths]:
    for start in range(0, len(lengths), CHUNK):
        yield lengths[start : start + CHUNK]


def _bincount(parts: Iterable[Lengths]) -> tuple[npt.NDArray[np.int64], int]:
    """How many rows have each length (the last place: that or more), and the longest."""
    counts, longest = np.zeros(_LONGEST + 1, dtype=np.int64), 0
    for values in parts:
        counts += np.bincount(np.minimum(values, _LONGEST), minlength=_LONGEST + 1)
        longest = max(longest, int(values.max(initial=0)))
    return counts, longest


def _quantile(counts: npt.NDArray[np.int64], share: float) -> int:
    """The smallest length that at least `share` of the rows do not exceed."""
    return int(np.searchsorted(np.cumsum(counts), share * counts.sum(), side="left"))


def _histogram(columns: Mapping[str, Iterable[Lengths]]) -> dict[str, Any]:
    """Bins of one width up to what nearly all rows keep within; the last one reaches to the longest row."""
    found = {name: _bincount(parts) for name, parts in columns.items()}
    train = found["train"][0]
    longest = max(value for _, value in found.values())
    width = max(1, -(-(_quantile(train, 0.995) + 1) // _BINS))
    edges = [width * at for at in range(_BINS) if width * at <= longest] or [0]
    if len(edges) > 1 and edges[-1] == longest:
        edges.pop()
    edges.append(max(longest + 1, edges[-1] + 1))
    result: dict[str, Any] = {"bins": edges}
    for name, (counts, _) in found.items():
        cumulated = np.concatenate([[0], np.cumsum(counts)])
        result[name] = np.diff(cumulated[np.minimum(edges, len(cumulated) - 1)]).tolist()
    return {
        **result,
        "median": _quantile(train, 0.5),
        "p95": _quantile(train, 0.95),
        "max": found["train"][1],
    }
