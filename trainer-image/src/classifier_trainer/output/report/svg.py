"""Inline SVG: elements, scales, axes. Colours are classes of report.css, so that drawings follow the page's scheme."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

BROAD, NARROW = (1040, 320), (400, 250)
"""Sizes of a chart that has a line of the page for itself, and of one beside others or on a phone."""

Format = Callable[[float], str]


@dataclass(frozen=True)
class Chart:
    """A drawing with what stands around it."""

    title: str
    svg: Markup
    legend: tuple[tuple[str, str], ...] = ()
    """(class, name) of each series, if there is more than one."""
    note: str = ""
    wide: bool = False
    narrow: Markup | None = None
    """The same for a phone."""


@dataclass(frozen=True)
class Scale:
    """Maps values from low to high onto pixels from start to end."""

    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low
        share = (value - self.low) / span if span else 0.5
        return round(self.start + min(1.0, max(0.0, share)) * (self.end - self.start), 1)


class Svg:
    """A drawing that is put together piece by piece; everything that comes in is escaped."""

    def __init__(self, width: float, height: float, label: str, *, css: str = "") -> None:
        self._head = {"viewBox": f"0 0 {width:g} {height:g}", "role": "img", "aria-label": label, "class": css or None}
        self._parts: list[str] = []
        self._hover: list[tuple[float, float, str]] = []

    def add(self, tag: str, content: object = None, /, tip: str | None = None, **attributes: object) -> None:
        """Appends an element; `class_` is class, underscores are hyphens, None is left out. `tip` shows on hover."""
        inside = escape("" if content is None else content)
        if tip is not None:
            inside += Markup("<title>{}</title>").format(tip)
        self._parts.append(f"<{tag}{_attributes(attributes)}>{inside}</{tag}>")

    def text(self, x: float, y: float, content: object, *, anchor: str = "", css: str = "") -> None:
        """Appends a line of text; `anchor` is middle or end."""
        self.add("text", content, x=x, y=y, text_anchor=anchor, class_=css)

    def hover(self, x: float, y: float, said: str) -> None:
        """A point that the page's script says something about when the pointer is near."""
        self._hover.append((x, y, said))

    def markup(self) -> Markup:
        """The whole drawing."""
        head = {**self._head}
        if self._hover:
            head["data-hover"] = json.dumps(self._hover, ensure_ascii=False, separators=(",", ":"))
        return Markup(f"<svg{_attributes(head)}>{''.join(self._parts)}</svg>")  # noqa: S704  # escaped piece by piece


def path(points: Sequence[tuple[float, float]]) -> str:
    """The `d` of a line through the points."""
    return "M" + "L".join(f"{x:g} {y:g}" for x, y in points) if points else ""


def short(value: float) -> str:
    """A number of an axis, without zeros that say nothing."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def short_share(value: float) -> str:
    """A share of an axis in percent."""
    return f"{round(100 * value, 3):g} %"


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """About as many round numbers between low and high."""
    if not high > low:
        return [low]
    raw = (high - low) / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [round(index * step, 12) for index in range(first, last + 1)]


@dataclass(frozen=True)
class Frame:
    """The plane that a chart is drawn on."""

    svg: Svg
    x: Scale
    y: Scale

    def axes(self, x_label: str, y_label: str, x_format: Format, y_format: Format, *, x_ticks: int = 6) -> None:
        """Grid, numbers and names of both axes."""
        left, right, bottom = self.x.start, self.x.end, self.y.start
        for value in ticks(self.y.low, self.y.high, 4):
            place = self.y(value)
            self.svg.add("line", x1=left, x2=right, y1=place, y2=place, class_="grid")
            self.svg.text(left - 8, place + 4, y_format(value), anchor="end", css="tick")
        for value in ticks(self.x.low, self.x.high, x_ticks):
            place, said = self.x(value), x_format(value)
            if place + 4 * len(said) > right + 16:
                self.svg.text(right + 16, bottom + 18, said, anchor="end", css="tick")
            else:
                self.svg.text(place, bottom + 18, said, anchor="middle", css="tick")
        self.svg.add("line", x1=left, x2=right, y1=bottom, y2=bottom, class_="axis")
        self.svg.text((left + right) / 2, bottom + 38, x_label, anchor="middle", css="name")
        if y_label:
            self.svg.text(2, self.y.end - 12, y_label, css="name")


def frame(
    label: str,
    x: tuple[float, float],
    y: tuple[float, float],
    *,
    size: tuple[float, float] = (560, 320),
    css: str = "",
) -> Frame:
    """An empty plane of these ranges, with room for the axes."""
    width, height = size
    svg = Svg(width, height, label, css=css)
    return Frame(svg, Scale(*x, 58, width - 18), Scale(*y, height - 48, 26))


def _attributes(values: Mapping[str, object]) -> str:
    return "".join(
        f' {name.rstrip("_").replace("_", "-") if name != "viewBox" else name}="{escape(_short(value))}"'
        for name, value in values.items()
        if value is not None and value != ""
    )


def _short(value: object) -> object:
    return f"{value:g}" if isinstance(value, float) else value
