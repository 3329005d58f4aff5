"""Charts of lines over one plane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from classifier_trainer.output.report.svg import BROAD, Chart, Format, Frame, frame, path, short

Points = Sequence[tuple[float, float]]

_BUCKETS = 200


@dataclass(frozen=True)
class Series:
    """A line with a name and a class of report.css."""

    name: str
    points: Points
    css: str
    dots: bool = False
    quiet: bool = False
    """Without a word on hover, and absent from the legend."""


def thinned(points: Points, buckets: int = _BUCKETS) -> Points:
    """At most about 2 × `buckets` points: the lowest and the highest of each stretch, so that no peak is lost."""
    if len(points) <= 2 * buckets:
        return points
    kept = [points[0]]
    for bucket in range(buckets):
        part = range(bucket * len(points) // buckets, (bucket + 1) * len(points) // buckets)
        lowest = min(part, key=lambda index: points[index][1])
        highest = max(part, key=lambda index: points[index][1])
        kept += [points[index] for index in sorted({lowest, highest})]
    return [*kept, points[-1]]


def smooth(points: Points, half: float = 0.02) -> Points:
    """The exponential mean; it forgets half after that share of all points."""
    kept = 0.5 ** (1 / max(1.0, half * len(points)))
    total = weight = 0.0
    result = []
    for x, y in points:
        total, weight = total * kept + y, weight * kept + 1
        result.append((x, total / weight))
    return result


def lines(
    title: str,
    series: Sequence[Series],
    x_label: str,
    y_label: str,
    x_format: Format,
    y_format: Format,
    *,
    y: tuple[float, float],
    y_ticks: Format = short,
    x: tuple[float, float] | None = None,
    size: tuple[float, float] = BROAD,
    marks: Sequence[tuple[float, str]] = (),
    diagonal: bool = False,
    x_ticks: int = 6,
) -> Chart:
    """Lines over one plane; `marks` are dashed verticals with a name."""
    places = [point[0] for item in series for point in item.points]
    plane = frame(title, x or (min(places), max(places)), y, size=size)
    plane.axes(x_label, y_label, x_format, y_ticks, x_ticks=x_ticks)
    if diagonal:
        plane.svg.add("line", x1=plane.x(0), y1=plane.y(0), x2=plane.x(1), y2=plane.y(1), class_="diagonal")
    _marks(plane, marks)
    for item in series:
        points = [(plane.x(a), plane.y(b)) for a, b in item.points]
        plane.svg.add("path", d=path(points), class_=f"line {item.css}")
        for (a, b), place in zip(item.points, points, strict=True):
            if item.dots:
                plane.svg.add("circle", cx=place[0], cy=place[1], r=4.0, class_=f"dot {item.css}")
            if not item.quiet:
                plane.svg.hover(*place, " ".join(f"{item.name}: {y_format(b)} at {x_label} {x_format(a)}".split()))
    named = tuple((item.css, item.name) for item in series)
    return Chart(title, plane.svg.markup(), named if len(named) > 1 else ())


def _marks(plane: Frame, marks: Sequence[tuple[float, str]]) -> None:
    free = 0.0
    for value, name in marks:
        place = plane.x(value)
        plane.svg.add("line", x1=place, x2=place, y1=plane.y.start, y2=plane.y.end, class_="mark", tip=name)
        if place - free >= 8 * len(name):
            plane.svg.text(place - 6, plane.y.end + 12, name, anchor="end", css="tick")
            free = place
