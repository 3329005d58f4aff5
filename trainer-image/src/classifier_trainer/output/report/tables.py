"""The tables of the report, as rows of cells that the template writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from classifier_trainer.output.report.heat import confusions
from classifier_trainer.output.report.read import Checkpoint, Run
from classifier_trainer.output.report.values import (
    NONE,
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

_NAME = 120
_FUNCTION_COLUMNS = 12


@dataclass(frozen=True)
class Cell:
    """A value with what it is sorted by."""

    text: str
    sort: float | None = None
    bar: float | None = None
    """0 to 1: drawn behind the value."""
    css: str = ""


@dataclass(frozen=True)
class Table:
    """A caption, names of columns (a number's is led by `#`), rows."""

    caption: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[Cell, ...]]
    marked: int | None = None
    """The row that stands out."""
    note: str = ""
    sortable: bool = True

    @property
    def long(self) -> bool:
        """Whether it gets a field to look for a row."""
        return len(self.rows) > 15


def checkpoints_table(run: Run) -> Table:
    """A line a checkpoint, with validation beside test."""
    names = ["accuracy", "macroF1", *(["microF1"] if run.task == "Multilabel" else []), "logLoss"]
    names += ["expectedCalibrationError"] + (["averagePrecision"] if run.task == "Binary" else [])
    columns = ["checkpoint", "#step"]
    kinds: list[tuple[str, str]] = []
    for split in ("validation", "test"):
        for name in names:
            if any(number(_of(item, split).get(name)) is not None for item in run.checkpoints):
                kinds.append((split, name))
                columns.append(f"#{split} {_inside(words(name))}")
    rows = [
        (
            Cell(printable(item.name, _NAME) + (" (best)" if item is run.best else "")),
            _counted(item.step),
            *(_score(_of(item, split).get(name)) for split, name in kinds),
        )
        for item in run.checkpoints
    ]
    marked = next((place for place, item in enumerate(run.checkpoints) if item is run.best), None)
    return Table("Checkpoints", tuple(columns), rows, marked)


def labels_table(run: Run) -> Table | None:
    """A line a label: how much of it there is, and how well it is told."""
    scores = mapping(run.metrics.get("labels"))
    rows_of = {str(item.get("name")): item for item in map(mapping, sequence(run.profile.get("labels")))}
    names = [*scores, *(name for name in rows_of if name not in scores)]
    if not names:
        return None
    split = run.metrics_split
    columns = (
        "label",
        "#train rows",
        f"#{split} rows",
        "#precision",
        "#recall",
        "#F1",
        "#ROC AUC",
        "#average precision",
    )
    rows = []
    for name in names:
        score = mapping(scores.get(name))
        rows.append(
            (
                Cell(printable(name, _NAME)),
                _counted(dig(rows_of.get(name), "train")),
                _counted(score.get("support", dig(rows_of.get(name), split))),
                _score(score.get("precision")),
                _score(score.get("recall")),
                _score(score.get("f1"), bar=True),
                _score(score.get("rocAuc")),
                _score(score.get("averagePrecision")),
            )
        )
    return Table("Labels", columns, rows, note=f"Scores of the best checkpoint on the {split} rows.")


def thresholds_table(run: Run) -> Table | None:
    """From which probability each label counts."""
    scores = mapping(run.metrics.get("labels"))
    limits = mapping(run.classifier.get("thresholds")) or mapping(dig(run.record, "calibration", "thresholds"))
    found = {name: number(limits.get(name, dig(scores, name, "threshold"))) for name in [*limits, *scores]}
    rows = [
        (
            Cell(printable(name, _NAME)),
            Cell(figure(value), value, value),
            _score(dig(scores, name, "precision")),
            _score(dig(scores, name, "recall")),
        )
        for name, value in found.items()
        if value is not None
    ]
    if not rows or run.task == "Multiclass":
        return None
    note = "A label counts from this probability on; precision and recall are those at it."
    return Table("Thresholds", ("label", "#threshold", "#precision", "#recall"), rows, note=note)


def calibration_table(run: Run) -> Table | None:
    """The quality of the probabilities before and after calibration."""
    before = mapping(run.metrics.get("beforeCalibration"))
    names = ("logLoss", "brier", "expectedCalibrationError")
    rows = []
    for name in names:
        after, earlier = number(run.metrics.get(name)), number(before.get(name))
        if after is None:
            continue
        better = earlier is not None and after <= earlier
        change = NONE if earlier is None else f"{after - earlier:+.4f}"
        css = "" if earlier is None else "good" if better else "bad"
        rows.append((Cell(words(name)), Cell(figure(earlier)), Cell(figure(after)), Cell(change, css=css)))
    if not rows:
        return None
    note = f"On the {run.metrics_split} rows; less is better."
    return Table("Calibration", ("measure", "#before", "#after", "#change"), rows, note=note, sortable=False)


def confusions_table(metrics: dict[str, Any]) -> Table | None:
    """The most frequent mistakes."""
    found = confusions(mapping(metrics.get("confusion")))
    if not found:
        return None
    rows = [
        (
            Cell(printable(item.expected, _NAME)),
            Cell(printable(item.predicted, _NAME)),
            Cell(count(item.rows), item.rows),
            Cell(share(item.rows / item.of), item.rows / item.of, item.rows / item.of) if item.of else Cell(NONE),
        )
        for item in found
    ]
    return Table("Top confusions", ("expected", "predicted", "#rows", "#of the expected label"), rows)


def functions_table(run: Run, *, errors: bool) -> Table | None:
    """The user's own scores by checkpoint. An error may quote a row, so it is told only where texts are."""
    shown = run.checkpoints[-_FUNCTION_COLUMNS:]
    names: dict[str, None] = {}
    for item in shown:
        names |= dict.fromkeys(mapping(_either(item).get("functions")))
    if not names:
        return None
    rows = []
    for name in names:
        cells = [Cell(printable(name, _NAME))]
        for item in shown:
            outcome = mapping(dig(_either(item), "functions", name))
            if outcome.get("error"):
                said = printable(outcome["error"], 500) if errors else "failed (see metrics.json)"
                cells.append(Cell(said, css="bad"))
            else:
                cells.append(_score(outcome.get("value")))
        rows.append(tuple(cells))
    return Table("Test functions", ("function", *(f"#{printable(item.name, 40)}" for item in shown)), rows)


def pairs_table(caption: str, pairs: Sequence[tuple[str, object]], columns: tuple[str, str] = ("", "")) -> Table | None:
    """Names and values; None without any."""
    rows = [
        (Cell(printable(name, 400)), Cell(printable(value, 2000))) for name, value in pairs if value not in (None, "")
    ]
    return Table(caption, columns, rows, sortable=False) if rows else None


def _inside(name: str) -> str:
    """A name inside a phrase: `Macro-F1` as `macro-F1`."""
    name = name if name[1:2].isupper() else name[:1].lower() + name[1:]
    return name.replace("-", "\N{NON-BREAKING HYPHEN}")


def _of(item: Checkpoint, split: str) -> dict[str, Any]:
    return item.test if split == "test" else item.validation


def _either(item: Checkpoint) -> dict[str, Any]:
    return item.test or item.validation


def _score(value: object, *, bar: bool = False) -> Cell:
    found = number(value)
    return Cell(figure(found), found, found if bar else None)


def _counted(value: object) -> Cell:
    return Cell(count(whole(value)), number(value))
