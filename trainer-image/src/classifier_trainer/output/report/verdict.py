"""The first thing that is read: how good the best checkpoint is, and whether it was worth it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from classifier_trainer.output.report.bars import comparison
from classifier_trainer.output.report.read import Run
from classifier_trainer.output.report.svg import Chart
from classifier_trainer.output.report.values import (
    dig,
    duration,
    figure,
    moment,
    number,
    plural,
    printable,
    share,
    whole,
    words,
)

_Z95 = 1.959964


@dataclass(frozen=True)
class Tile:
    """A number that matters, with what it means."""

    name: str
    value: str
    hint: str = ""


@dataclass(frozen=True)
class Verdict:
    """The head of the report."""

    checkpoint: str
    metric: str
    value: str
    on: str
    sentence: str
    kind: str
    """good, level, bad or none."""
    comparison: Chart | None
    tiles: list[Tile]


def verdict(run: Run) -> Verdict | None:
    """None where nothing was measured."""
    metrics = run.metrics
    main = "microF1" if run.task == "Multilabel" else "accuracy"
    value = number(metrics.get(main))
    if run.best is None or value is None:
        return None
    sentence, kind = _beside_baseline(metrics, main)
    return Verdict(
        checkpoint=printable(run.best.name, 80),
        metric=words(main),
        value=share(value),
        on=_on(run, value if main == "accuracy" else None),
        sentence=sentence,
        kind=kind,
        comparison=comparison(metrics, ("microF1", "macroF1") if run.task == "Multilabel" else ("accuracy", "macroF1")),
        tiles=_tiles(run, main),
    )


def interval(share_: float, rows: int) -> tuple[float, float]:
    """95 % interval of a share of so many rows (Wilson 1927)."""
    middle = (share_ + _Z95**2 / (2 * rows)) / (1 + _Z95**2 / rows)
    half = _Z95 / (1 + _Z95**2 / rows) * math.sqrt(share_ * (1 - share_) / rows + _Z95**2 / (4 * rows**2))
    return max(0.0, middle - half), min(1.0, middle + half)


def seconds_taken(run: Run) -> float | None:
    """From the start of the run to its end."""
    start, end = moment(run.record.get("startTime")), moment(run.record.get("completionTime"))
    try:
        return (end - start).total_seconds() if start and end else None
    except TypeError:  # one of them without a time zone
        return None


def _beside_baseline(metrics: Mapping[str, Any], main: str) -> tuple[str, str]:
    model, other = number(metrics.get(main)), number(dig(metrics, "baseline", main))
    if model is None or other is None:
        return "", "none"
    name = printable(dig(metrics, "baseline", "name") or "TF-IDF + linear SVM", 60)
    points = 100 * (model - other)
    if abs(points) < 0.05:
        return f"Level with {name}, which costs next to nothing", "level"
    if points > 0:
        return f"{points:.1f} points above {name}", "good"
    return f"{-points:.1f} points below {name}: look at the data before you deploy this model", "bad"


def _on(run: Run, value: float | None) -> str:
    rows = whole(run.metrics.get("rows"))
    if not rows:
        return f"on the {run.metrics_split} rows"
    said = f"on {plural(rows, f'{run.metrics_split} row')}"
    if value is None or not 0 <= value <= 1:
        return said
    low, high = interval(value, rows)
    return f"{said}, 95 % interval {100 * low:.1f} to {100 * high:.1f}"


def _tiles(run: Run, main: str) -> list[Tile]:
    metrics = run.metrics
    tiles = []
    if main != "accuracy" and number(metrics.get("accuracy")) is not None:
        tiles.append(Tile("Accuracy", share(metrics["accuracy"]), "rows with every label right"))
    for key, hint in (
        ("macroF1", "each label counts the same"),
        ("microF1", "each decision counts the same")
        if run.task == "Multilabel"
        else ("balancedAccuracy", "mean recall"),
        ("rocAuc", "ranking, .5 is chance")
        if run.task != "Binary"
        else ("averagePrecision", "area under precision and recall"),
    ):
        if number(metrics.get(key)) is not None and key != main:
            tiles.append(Tile(words(key), share(metrics[key]), hint))
    for key, hint in (("logLoss", "less is better"), ("expectedCalibrationError", "distance from true probabilities")):
        if number(metrics.get(key)) is not None:
            tiles.append(Tile(words(key), figure(metrics[key]), hint))
    speed = [value for _, value in run.steps.pairs("tokensPerSecond")]
    hint = f"{sum(speed) / len(speed):,.0f} tokens a second" if speed else ""
    if (taken := seconds_taken(run)) is not None:
        tiles.append(Tile("Duration", duration(taken), hint))
    return tiles
