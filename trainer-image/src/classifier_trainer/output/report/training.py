"""Charts of the course of the training, and of the scores of its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

from classifier_trainer.output.report.lines import Series, lines, smooth, thinned
from classifier_trainer.output.report.read import Checkpoint, Run
from classifier_trainer.output.report.svg import BROAD, NARROW, Chart, Format, short, short_share
from classifier_trainer.output.report.values import count, dig, figure, number, printable, share, words

_NAMED = 4
"""Checkpoints whose names fit under an axis."""


def training_charts(run: Run) -> list[Chart]:
    """Loss, learning rate, gradient norm and speed by update."""
    charts = []
    loss = run.steps.pairs("loss")
    if loss:
        mean = smooth(loss)
        marks = [(item.step, item.name) for item in run.checkpoints if item.step is not None]
        series = [Series("each update", thinned(loss), "s0 faint", quiet=True), Series("loss", thinned(mean), "s0")]
        # Single updates may leap far above the rest; the axis is for the mean.
        top = max([y for _, y in mean] + sorted(y for _, y in loss)[: max(1, int(0.98 * len(loss)))])
        broad, narrow = (
            lines("Training loss", series, "update", "loss", count, figure, y=(0, top * 1.05), marks=marks, size=size)
            for size in (BROAD, NARROW)
        )
        last = f"The last update has a mean loss of {figure(mean[-1][1])}."
        charts.append(Chart("Training loss", broad.svg, broad.legend, last, wide=True, narrow=narrow.svg))
    for name, title in (
        ("learningRate", "Learning rate"),
        ("gradNorm", "Gradient norm"),
        ("tokensPerSecond", "Tokens per second"),
    ):
        points = run.steps.pairs(name)
        if len(points) > 1:
            top = max(y for _, y in points) * 1.05 or 1.0
            text: Format = count if name == "tokensPerSecond" else figure if name == "gradNorm" else _rate
            charts.append(
                lines(title, [Series(title, thinned(points), "s3")], "update", "", count, text, y=(0, top), size=NARROW)
            )
    return charts


def metric_charts(run: Run) -> list[Chart]:
    """The scores of all checkpoints, on validation and test rows; none for a single checkpoint."""
    if len(run.checkpoints) < 2:
        return []
    charts = []
    named = len(run.checkpoints) <= _NAMED and max(len(item.name) for item in run.checkpoints) <= 10
    for name in ("accuracy", "macroF1", "microF1", "averagePrecision", "logLoss", "expectedCalibrationError"):
        found = [_by_checkpoint(run.checkpoints, split, name) for split in ("validation", "test")]
        if max(map(len, found)) < 2 or (name == "microF1" and run.task == "Multiclass"):
            continue
        series = [
            Series(split, points, f"s{place}", dots=True)
            for place, (split, points) in enumerate(zip(("validation", "test"), found, strict=True))
            if points
        ]
        values = [y for points in found for _, y in points]
        baseline = number(dig(run.metrics, "baseline", name))
        if baseline is not None:
            places = [x for points in found for x, _ in points]
            series.append(
                Series("TF-IDF + linear SVM", [(min(places), baseline), (max(places), baseline)], "s7 dashed")
            )
            values.append(baseline)
        is_share = name not in ("logLoss", "expectedCalibrationError")
        room = max(0.1 * (max(values) - min(values)), 0.002)
        limits = (max(0.0, min(values) - room), max(values) + room)
        charts.append(
            lines(
                words(name),
                series,
                "" if named else "checkpoint",
                "",
                (lambda value: _name(run.checkpoints, value)) if named else _whole,
                share if is_share else figure,
                y=limits,
                y_ticks=short_share if is_share else short,
                size=NARROW,
                x_ticks=min(8, len(run.checkpoints)),
            )
        )
    return charts


def _by_checkpoint(checkpoints: Sequence[Checkpoint], split: str, name: str) -> list[tuple[float, float]]:
    found = []
    for place, item in enumerate(checkpoints, 1):
        value = number((item.test if split == "test" else item.validation).get(name))
        if value is not None:
            found.append((float(place), value))
    return found


def _rate(value: float) -> str:
    return f"{value:.2g}"


def _name(checkpoints: Sequence[Checkpoint], place: float) -> str:
    return printable(checkpoints[int(place) - 1].name) if place == int(place) else ""


def _whole(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else ""
