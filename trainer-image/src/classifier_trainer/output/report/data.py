"""Everything of the profile: what the data looks like and what is odd about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from classifier_trainer.output.report.read import Run
from classifier_trainer.output.report.tables import Cell, Table, pairs_table
from classifier_trainer.output.report.values import (
    count,
    dig,
    figure,
    mapping,
    number,
    printable,
    sequence,
    share,
    whole,
    words,
)

_LINES = 20
_CLIP = 400
_SPLITS = {"natural": "train before rebalancing"}
_KNOWN = {"rows", "task", "reason", "labels", "lengths", "duplicates", "overlap", "empty", "outliers", "missingLabels"}


@dataclass(frozen=True)
class Warned:
    """A warning with the lines of the data it is about."""

    text: str
    lines: str


@dataclass(frozen=True)
class Example:
    """A text that stands in several lines."""

    kind: str
    lines: str
    text: str


def warnings_of(run: Run, *, texts: bool) -> list[Warned]:
    """Those of the profile with their lines, then those that came up later; without `texts` no error of a function."""
    found: dict[str, Warned] = {}
    for item in sequence(run.profile.get("warnings")):
        text = printable(mapping(item).get("text") or item, 1000)
        # Most sentences name their first lines themselves.
        found[text] = Warned(text, "" if "(line" in text else lines_of(mapping(item).get("lines")))
    for item in sequence(dig(run.record, "progress", "dataset", "warnings")):
        said = str(item)
        for error in [] if texts else _errors(run):
            said = said.replace(error, "failed (see metrics.json)")
        text = printable(said, 1000)
        # The status says the same with the lines in it.
        if not any(text.startswith(known.rstrip(".")) for known in found):
            found.setdefault(text, Warned(text, ""))
    return list(found.values())


def _errors(run: Run) -> list[str]:
    """What the user's own functions said, which may be a row's text."""
    outcomes = [
        outcome
        for item in run.checkpoints
        for metrics in (item.test, item.validation)
        for outcome in mapping(metrics.get("functions")).values()
    ]
    return [str(error) for outcome in outcomes if (error := mapping(outcome).get("error"))]


def facts_table(run: Run) -> Table | None:
    """The figures of the profile."""
    profile = run.profile
    rows = dict(mapping(profile.get("rows")))
    pairs: list[tuple[str, object]] = [
        ("Task", profile.get("reason") or run.task),
        ("Labels", count(len(sequence(profile.get("labels")))) if profile.get("labels") else ""),
    ]
    if rows.get("natural") == rows.get("train"):
        rows.pop("natural", None)
    names = {
        "read": "Rows read",
        "natural": "Training rows before rebalancing",
        "train": "Training rows",
        "validation": "Validation rows",
        "test": "Test rows",
    }
    pairs += [(title, count(rows[key])) for key, title in names.items() if number(rows.get(key)) is not None]
    pairs += [
        ("Duplicates", _rows(profile, "duplicates", "rows")),
        ("Duplicates that contradict each other", _rows(profile, "duplicates", "contradicting")),
        ("In both train and test", _rows(profile, "overlap", "rows")),
        ("Empty texts", _with_lines(profile, "empty")),
        ("Rows without some labels", _rows(profile, "missingLabels", "rows")),
    ]
    for kind, title in (("long", "Unusually long texts"), ("short", "Unusually short texts")):
        if lines := lines_of(dig(profile, "outliers", kind)):
            pairs.append((title, lines))
    cut = mapping(run.metrics.get("cutRows"))
    if whole(cut.get("rows")):
        said = f"accuracy {share(cut.get('accuracy'))}, macro-F1 {figure(cut.get('macroF1'))}"
        pairs.append((f"Cut {run.metrics_split} rows", f"{count(cut['rows'])}: {said}"))
    # What a later version of the profile says besides.
    pairs += [
        (words(str(key)), value)
        for key, value in profile.items()
        if key not in _KNOWN and isinstance(value, str | int | float) and not isinstance(value, bool)
    ]
    return pairs_table("Profile of the data", pairs)


def classes_table(run: Run) -> Table | None:
    """Rows of each label in each split."""
    found = [mapping(item) for item in sequence(run.profile.get("labels"))]
    if not found:
        return None
    splits = [
        split for split in ("natural", "train", "validation", "test") if any(number(item.get(split)) for item in found)
    ]
    total = sum(number(item.get("train")) or 0.0 for item in found) or 1.0
    if all(item.get("natural") == item.get("train") for item in found):
        splits = [split for split in splits if split != "natural"]
    rows = []
    for item in found:
        part = (number(item.get("train")) or 0.0) / total
        cells = [Cell(printable(item.get("name", ""), 120))]
        cells += [Cell(count(item.get(split)), number(item.get(split))) for split in splits]
        rows.append((*cells, Cell(share(part), part, part)))
    return Table(
        "Rows by label", ("label", *(f"#{_SPLITS.get(split, split)}" for split in splits), "#share of train"), rows
    )


def examples_of(run: Run, *, texts: bool) -> list[Example]:
    """Duplicates and rows that stand in train and test."""
    kinds = (("duplicates", "duplicate"), ("overlap", "in train and test"))
    return [
        Example(
            name,
            lines_of(mapping(item).get("lines")),
            printable(mapping(item).get("text", ""), _CLIP) if texts else "",
        )
        for kind, name in kinds
        for item in sequence(dig(run.profile, kind, "examples"))[:_LINES]
        if isinstance(item, dict)
    ]


def lines_of(value: object) -> str:
    """`lines 3, 17, 19`."""
    numbers = [found for item in sequence(value) if (found := whole(item)) is not None]
    if not numbers:
        return ""
    more = " and more" if len(numbers) > _LINES else ""
    return f"{'line' if len(numbers) == 1 else 'lines'} {_joined(numbers[:_LINES])}{more}"


def _joined(numbers: Iterable[int]) -> str:
    return ", ".join(f"{value}" for value in numbers)


def _rows(profile: dict[str, Any], *path: str) -> str:
    return count(dig(profile, *path)) if number(dig(profile, *path)) is not None else ""


def _with_lines(profile: dict[str, Any], key: str) -> str:
    said, lines = _rows(profile, key, "rows"), lines_of(dig(profile, key, "lines"))
    return f"{said} ({lines})" if lines else said
