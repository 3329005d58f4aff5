"""What is taken for what: a heat map of the confusion matrix, or a list of the worst confusions."""

from __future__ import annotations

import heapq
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from classifier_trainer.output.report.svg import Chart, Svg
from classifier_trainer.output.report.values import mapping, number, plural, printable, sequence, share

MAX_LABELS = 50
"""Above it no matrix is drawn."""
_TOP = 30
_LEAST_WIDTH = 460


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
    if len(sequence(confusion.get("labels"))) > MAX_LABELS:
        return None
    labels, matrix = _matrix(confusion)
    if not matrix:
        return None
    size = len(labels)
    side = 64.0 if size <= 4 else 44.0 if size <= 12 else 30.0 if size <= 24 else 20.0
    longest = max(len(_clipped(label)) for label in labels) * 7.2 + 14
    # Few labels stand in the middle, instead of being blown up.
    left = max(0.0, (_LEAST_WIDTH - longest - side * size) / 2)
    names = longest + left
    svg = Svg(
        2 * left + longest + side * size + 24,
        longest + side * size + 36,
        "Confusion matrix: expected labels by row, predicted ones by column",
        css="heat",
    )
    svg.text(names, 14, "predicted", css="name strong")
    for place, label in enumerate(labels):
        middle = side * (place + 0.5)
        svg.text(names - 8, longest + middle + 28, _clipped(label), anchor="end", css="label")
        svg.add(
            "text",
            _clipped(label),
            transform=f"translate({names + middle + 4:g} {longest + 16:g}) rotate(-90)",
            class_="label",
        )
    svg.text(left, longest + 14, "expected", css="name strong")
    for row, (label, values) in enumerate(zip(labels, matrix, strict=True)):
        total = sum(values)
        for column, rows in enumerate(values):
            part = rows / total if total else 0.0
            x, y = round(names + side * column, 1), round(longest + 24 + side * row, 1)
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
    svg.add("rect", x=names, y=longest + 24, width=side * size, height=side * size, class_="outline", rx=3)
    return Chart(
        "Confusion matrix",
        svg.markup(),
        (("right", "right"), ("wrong", "wrong")),
        "Shades are shares of the expected label's rows.",
        wide=size > 12,
    )


def confusions(confusion: Mapping[str, Any]) -> list[Confusion]:
    """The most frequent confusions first."""
    labels, rows = sequence(confusion.get("labels")), sequence(confusion.get("matrix"))
    totals = {str(label): sum(_numbers(row)) for label, row in zip(labels, rows, strict=False)}
    top = [
        Confusion(str(item.get("expected")), str(item.get("predicted")), int(found), None)
        for item in map(mapping, sequence(confusion.get("top")))
        if (found := number(item.get("count")))
    ]
    if not top:
        matrix = _matrix(confusion)[1]
        top = [
            Confusion(str(labels[row]), str(labels[column]), int(found), None)
            for row, values in enumerate(matrix)
            for column, found in enumerate(values)
            if found and column != row
        ]
    top = heapq.nsmallest(_TOP, top, key=lambda item: -item.rows)
    return [
        replace(
            item, expected=printable(item.expected), predicted=printable(item.predicted), of=totals.get(item.expected)
        )
        for item in top
    ]


def _matrix(confusion: Mapping[str, Any]) -> tuple[list[str], list[list[float]]]:
    labels = [printable(label) for label in sequence(confusion.get("labels"))]
    matrix = [[number(value) or 0.0 for value in sequence(row)] for row in sequence(confusion.get("matrix"))]
    if len(matrix) != len(labels) or any(len(row) != len(labels) for row in matrix):
        return labels, []
    return labels, matrix


def _numbers(values: object) -> list[int]:
    return [int(found) for value in sequence(values) if (found := number(value)) is not None]


def _clipped(label: str) -> str:
    return label if len(label) <= 20 else f"{label[:19]}…"


def _short(rows: float) -> str:
    return f"{rows:.0f}" if rows < 10_000 else f"{rows / 1000:.0f}k"
