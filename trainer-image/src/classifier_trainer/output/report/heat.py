"""What is taken for what: a heat map of the confusion matrix, or a list of the worst confusions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier_trainer.output.report.svg import Chart, Svg
from classifier_trainer.output.report.values import mapping, number, plural, printable, sequence, share

MAX_LABELS = 50
"""Above it no matrix is drawn."""
_TOP = 30


@dataclass(frozen=True)
class Confusion:
    """Rows of one label that were taken for another."""

    expected: str
    predicted: str
    rows: int
    of: int | None
    """Rows of the expected label; None if it is not known."""


def heat_map(confusion: Mapping[str, Any]) -> Chart | None:
    """Each row of the map is an expected label and sums to 100 %; right answers are on the diagonal."""
    labels, matrix = _matrix(confusion)
    if not matrix or len(labels) > MAX_LABELS:
        return None
    size = len(labels)
    side = 64.0 if size <= 4 else 44.0 if size <= 12 else 30.0 if size <= 24 else 20.0
    names = max(len(_clipped(label)) for label in labels) * 7.2 + 14
    edge = names + side * size
    svg = Svg(edge + 24, edge + 52, "Confusion matrix: expected labels by row, predicted ones by column", css="heat")
    svg.text(names, 14, "predicted", css="name strong")
    for place, label in enumerate(labels):
        middle = names + side * (place + 0.5)
        svg.text(names - 8, middle + 28, _clipped(label), anchor="end", css="label")
        svg.add(
            "text", _clipped(label), transform=f"translate({middle + 4:g} {names + 16:g}) rotate(-90)", class_="label"
        )
    svg.text(0, names + 14, "expected", css="name strong")
    for row, (label, values) in enumerate(zip(labels, matrix, strict=True)):
        total = sum(values)
        for column, rows in enumerate(values):
            part = rows / total if total else 0.0
            x, y = round(names + side * column, 1), round(names + 24 + side * row, 1)
            right = row == column
            if not rows and not right:
                continue  # the background is drawn once, below
            svg.add(
                "rect",
                x=x + 0.5,
                y=y + 0.5,
                width=side - 1,
                height=side - 1,
                rx=3,
                class_="right" if right else "wrong",
                fill_opacity=round(0.06 + 0.94 * (part if right else min(1.0, part * 1.6)), 3),
                tip=f"{label} taken for {labels[column]}: {plural(int(rows), 'row')} of {int(total):,} ({share(part)})"
                if not right
                else f"{label}: {int(rows):,} of {plural(int(total), 'row')} right ({share(part)})",
            )
            if rows and size <= 24:
                deep = (part if right else part * 1.6) > 0.5
                svg.text(
                    x + side / 2, y + side / 2 + 4, _short(rows), anchor="middle", css="cell deep" if deep else "cell"
                )
    svg.add("rect", x=names, y=names + 24, width=side * size, height=side * size, class_="outline", rx=3)
    return Chart(
        "Confusion matrix",
        svg.markup(),
        (("right", "right"), ("wrong", "wrong")),
        "Shades are shares of the expected label's rows.",
        wide=size > 12,
    )


def confusions(confusion: Mapping[str, Any]) -> list[Confusion]:
    """The most frequent confusions first."""
    labels, matrix = _matrix(confusion)
    found = []
    totals: dict[str, int] = {}
    for row, values in enumerate(matrix):
        totals[labels[row]] = int(sum(values))
        found += [
            Confusion(labels[row], labels[column], int(rows), totals[labels[row]])
            for column, rows in enumerate(values)
            if rows and column != row
        ]
    if not matrix:  # a file that holds the worst alone
        for item in map(mapping, sequence(confusion.get("top"))):
            rows = number(item.get("count"))
            if rows:
                found.append(
                    Confusion(printable(item.get("expected")), printable(item.get("predicted")), int(rows), None)
                )
    return sorted(found, key=lambda item: -item.rows)[:_TOP]


def _matrix(confusion: Mapping[str, Any]) -> tuple[list[str], list[list[float]]]:
    labels = [printable(label) for label in sequence(confusion.get("labels"))]
    matrix = [[number(value) or 0.0 for value in sequence(row)] for row in sequence(confusion.get("matrix"))]
    if len(matrix) != len(labels) or any(len(row) != len(labels) for row in matrix):
        return labels, []
    return labels, matrix


def _clipped(label: str) -> str:
    return label if len(label) <= 20 else f"{label[:19]}…"


def _short(rows: float) -> str:
    return f"{rows:.0f}" if rows < 10_000 else f"{rows / 1000:.0f}k"
