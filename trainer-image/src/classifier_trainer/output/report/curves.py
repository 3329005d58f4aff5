"""Curves of the probabilities: precision over recall, ROC, reliability."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from classifier_trainer.output.report.lines import Series, lines
from classifier_trainer.output.report.svg import Chart, frame, path, short_share
from classifier_trainer.output.report.values import (
    count,
    dig,
    figure,
    mapping,
    number,
    plural,
    printable,
    sequence,
    share,
)

_COLOURED = 8
_FAINT = 100
_SQUARE = (440, 400)


def curve_charts(metrics: Mapping[str, Any]) -> list[Chart]:
    """ROC and precision over recall: the hardest labels in colour, the others faint."""
    charts = []
    curves = mapping(metrics.get("curves"))
    kinds = (
        ("pr", "averagePrecision", "Precision and recall", "recall", "precision"),
        ("roc", "rocAuc", "ROC", "false positive rate", "true positive rate"),
    )
    for kind, area, title, x_label, y_label in kinds:
        known = {label: points for label, value in curves.items() if (points := _points(mapping(value).get(kind)))}
        if not known:
            continue
        areas = {label: number(dig(metrics, "labels", label, area)) for label in known}
        order = sorted(known, key=lambda label: (areas[label] is None, areas[label] or 0.0))
        faint = [
            Series(label, known[label], "faint other", quiet=True) for label in order[_COLOURED : _COLOURED + _FAINT]
        ]
        coloured = [
            Series(f"{printable(label, 40)} · {figure(areas[label])}", known[label], f"s{place}")
            for place, label in enumerate(order[:_COLOURED])
        ]
        note = f"With the area under each curve. {_others(len(order))}".strip()
        chart = lines(
            title,
            [*faint, *coloured],
            x_label,
            y_label,
            _share0,
            _share0,
            x=(0, 1),
            y=(0, 1),
            y_ticks=short_share,
            size=_SQUARE,
            diagonal=kind == "roc",
        )
        charts.append(Chart(title, chart.svg, tuple((item.css, item.name) for item in coloured), note))
    return charts


def reliability_chart(metrics: Mapping[str, Any]) -> Chart | None:
    """How often the model is right by how sure it is: on the diagonal, a probability means what it says."""
    after = _bins(metrics.get("reliability"))
    if not after:
        return None
    before = _bins(dig(metrics, "beforeCalibration", "reliability"))
    title = "Reliability"
    plane = frame(title, (0, 1), (0, 1), size=_SQUARE)
    plane.axes("how sure the model is", "how often it is right", _share0, _share0)
    plane.svg.add("line", x1=plane.x(0), y1=plane.y(0), x2=plane.x(1), y2=plane.y(1), class_="diagonal")
    for name, bins, css in (("before", before, "s1 dashed"), ("after", after, "s0")):
        points = [(plane.x(confidence), plane.y(accuracy)) for confidence, accuracy, _ in bins]
        plane.svg.add("path", d=path(points), class_=f"line {css}")
        for place, (confidence, accuracy, rows) in zip(points, bins, strict=True):
            plane.svg.add("circle", cx=place[0], cy=place[1], r=4.0, class_=f"dot {css}")
            said = f"{count(rows)} answers at {share(confidence)}, {share(accuracy)} right ({name} calibration)"
            plane.svg.hover(*place, said)
    legend = (("s1 dashed", "before calibration"), ("s0", "after calibration")) if before else ()
    return Chart(
        title,
        plane.svg.markup(),
        legend,
        "On the dotted diagonal, answers given with 80 % are right in 80 % of the cases. "
        "Every dot stands for about as many answers.",
    )


def _points(value: object) -> list[tuple[float, float]]:
    found = []
    for item in sequence(value):
        pair = [number(part) for part in sequence(item)]
        if len(pair) == 2 and pair[0] is not None and pair[1] is not None:
            found.append((pair[0], pair[1]))
    return found


def _bins(value: object) -> list[tuple[float, float, float]]:
    found = []
    for item in map(mapping, sequence(mapping(value).get("bins"))):
        parts = [number(item.get(name)) for name in ("confidence", "accuracy", "count")]
        if parts[0] is not None and parts[1] is not None and parts[2]:
            found.append((parts[0], parts[1], parts[2]))
    return found


def _others(labels: int) -> str:
    if labels <= _COLOURED:
        return ""
    faint = min(_FAINT, labels - _COLOURED)
    rest = (
        f"; the best {plural(labels - _COLOURED - faint, 'label')} are left out" if labels > _COLOURED + faint else ""
    )
    return f"In colour the {_COLOURED} hardest of {labels:,} labels, {faint} others in grey{rest}."


def _share0(value: float) -> str:
    return share(value, 0)
