"""Charts of bars: the comparison with the baseline, lengths of the texts, the balance of the classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from classifier_trainer.output.report.svg import BROAD, NARROW, Chart, Scale, Svg, frame, ticks
from classifier_trainer.output.report.values import (
    count,
    dig,
    mapping,
    number,
    plural,
    printable,
    sequence,
    share,
    words,
)

_SHOWN_CLASSES = 40
_NAME = 26
"""Characters of a label beside its bar."""
_SPLITS = (("train", "s0"), ("validation", "s1"), ("test", "s2"))


def comparison(metrics: Mapping[str, Any], names: Sequence[str]) -> Chart | None:
    """The model's scores over those of TF-IDF with a linear classifier."""
    baseline = mapping(metrics.get("baseline"))
    pairs = [
        (name, model, other)
        for name in names
        if (model := number(metrics.get(name))) is not None and (other := number(baseline.get(name))) is not None
    ]
    if not pairs:
        return None
    other_name = printable(baseline.get("name") or "TF-IDF + linear SVM", 60)
    svg = Svg(480, 74 * len(pairs), f"Scores of this model and of {other_name}")
    scale = Scale(0, 1, 0, 390)
    for place, (name, model, other) in enumerate(pairs):
        top = 74 * place
        svg.text(0, top + 14, words(name), css="name strong")
        for row, (who, value, css) in enumerate((("this model", model, "s0"), (other_name, other, "s7"))):
            y = top + 22 + 22 * row
            svg.add("rect", x=0, y=y, width=390, height=16, rx=4, class_="track")
            svg.add(
                "rect", x=0, y=y, width=scale(value), height=16, rx=4, class_=f"bar {css}", tip=f"{who}: {share(value)}"
            )
            svg.text(400, y + 13, share(value), css="value")
    return Chart("Beside the baseline", svg.markup(), (("s0", "this model"), ("s7", other_name)))


def length_chart(lengths: Mapping[str, Any]) -> Chart | None:
    """How long the training texts are, and where they are cut."""
    edges = [value for item in sequence(lengths.get("bins")) if (value := number(item)) is not None]
    counts = [number(item) or 0.0 for item in sequence(lengths.get("train"))]
    if len(edges) != len(counts) + 1 or not any(counts):
        return None
    unit, cut = printable(lengths.get("unit") or "tokens", 20), number(lengths.get("maxLength"))
    # Empty bins at the end only press the others together.
    last = max(place for place, value in enumerate(counts) if value) + 1
    broad, narrow = (_histogram(edges[: last + 1], counts[:last], unit, cut, size) for size in (BROAD, NARROW))
    return Chart("Text lengths", broad, (), _length_note(lengths, unit), wide=True, narrow=narrow)


def _histogram(
    edges: Sequence[float], counts: Sequence[float], unit: str, cut: float | None, size: tuple[float, float]
) -> Markup:
    """Bins of one width, whatever they hold: their edges stand below."""
    title = f"Lengths of the training texts in {unit}"
    plane = frame(title, (0, len(counts)), (0, max(counts) * 1.05), size=size)
    wanted = min(len(counts), 12 if size == BROAD else 5)
    plane.axes(unit, "rows", lambda place: count(edges[int(place)]), count, x_ticks=wanted)
    width = plane.x(1) - plane.x(0)
    for place, rows in enumerate(counts):
        if not rows:
            continue
        y = plane.y(rows)
        beyond = cut is not None and edges[place] >= cut
        plane.svg.add(
            "rect",
            x=round(plane.x(place) + 0.5, 1),
            y=y,
            width=max(0.5, round(width - 1, 1)),
            height=round(plane.y.start - y, 1),
            class_="bar s1" if beyond else "bar s0",
            tip=f"{count(edges[place])} to {count(edges[place + 1])} {unit}: {plural(int(rows), 'row')}",
        )
    if cut is not None and edges[0] <= cut <= edges[-1]:
        place = next(index for index in range(len(counts)) if cut <= edges[index + 1])
        x = plane.x(place + (cut - edges[place]) / ((edges[place + 1] - edges[place]) or 1))
        plane.svg.add("line", x1=x, x2=x, y1=plane.y.start, y2=plane.y.end, class_="cut")
        left = x > size[0] / 2
        end = "end" if left else ""
        plane.svg.text(
            x - 6 if left else x + 6, plane.y.end + 4, f"maxLength {count(cut)}", anchor=end, css="tick strong"
        )
    return plane.svg.markup()


def _length_note(lengths: Mapping[str, Any], unit: str) -> str:
    parts = [
        f"{name} {count(lengths.get(key))}"
        for key, name in (("median", "median"), ("p95", "95 % have at most"), ("max", "longest"))
        if number(lengths.get(key)) is not None
    ]
    cut = [
        f"{plural(int(rows), 'row')} of {split}"
        for split in ("train", "validation", "test")
        if (rows := number(dig(lengths, "cut", split)))
    ]
    note = f"In {unit}: {', '.join(parts)}." if parts else ""
    if number(lengths.get("maxLength")) is not None:
        note += f" maxLength {count(lengths['maxLength'])} cuts {', '.join(cut) if cut else 'no row'}."
    return note.strip()


def class_chart(labels: Sequence[object]) -> Chart | None:
    """Rows of each label in each split, the most frequent first; of many labels both ends."""
    found = [mapping(item) for item in labels]
    rows = [
        (printable(item.get("name", "")), [number(item.get(split)) for split, _ in _SPLITS])
        for item in found
        if any(number(item.get(split)) for split, _ in _SPLITS)
    ]
    if not rows:
        return None
    rows.sort(key=lambda row: -sum(value or 0.0 for value in row[1]))
    left_out = max(0, len(rows) - _SHOWN_CLASSES)
    shown = rows if not left_out else [*rows[: _SHOWN_CLASSES // 2], *rows[-_SHOWN_CLASSES // 2 :]]
    present = [(place, *split) for place, split in enumerate(_SPLITS) if any(row[1][place] for row in rows)]
    most = max(sum(value or 0.0 for value in values) for _, values in shown)
    left = 16 + 7.4 * max(len(_clipped(name)) for name, _ in shown)
    svg = Svg(500, 24 * len(shown) + 30, "Rows of each label")
    scale = Scale(0, most * 1.02, left, 440)
    for value in ticks(0, most * 1.02, 3):
        x = scale(value)
        svg.add("line", x1=x, x2=x, y1=4, y2=24 * len(shown) + 4, class_="grid")
        svg.text(x, 24 * len(shown) + 22, count(value), anchor="middle", css="tick")
    for line, (name, values) in enumerate(shown):
        y = 24 * line + 6
        svg.text(left - 8, y + 13, _clipped(name), anchor="end", css="label")
        x = left
        for place, split, css in present:
            width = scale(values[place] or 0.0) - left
            if width > 0:
                tip = f"{name}: {count(values[place])} {split} rows"
                svg.add("rect", x=round(x, 1), y=y, width=round(width, 1), height=17, class_=f"bar {css}", tip=tip)
                x += width
        svg.text(x + 6, y + 13, count(sum(value or 0.0 for value in values)), css="tick")
    note = (
        f"The {len(shown) // 2} most and least frequent of {len(rows):,} labels each; all are in the table."
        if left_out
        else ""
    )
    return Chart("Balance of the labels", svg.markup(), tuple((css, split) for _, split, css in present), note)


def _clipped(name: str) -> str:
    return name if len(name) <= _NAME else f"{name[: _NAME - 1]}…"
