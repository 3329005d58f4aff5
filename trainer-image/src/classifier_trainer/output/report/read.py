"""Reads the folder of a run. Whatever is absent, empty or half written is left out, and is no reason to fail."""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classifier_trainer.output.report.values import dig, mapping, number, sequence

STEP_FIELDS = ("step", "epoch", "loss", "learningRate", "gradNorm", "tokensPerSecond")
_SPLITS = ("test", "validation")


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint with what was measured on it."""

    name: str
    step: float | None
    test: dict[str, Any]
    """test/metrics.json."""
    validation: dict[str, Any]
    """validation/metrics.json."""
    folder: Path | None
    """None where the checkpoint was not kept."""


@dataclass(frozen=True)
class Steps:
    """The updates of a run in columns, NaN for what a line does not say."""

    columns: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in STEP_FIELDS})

    def __len__(self) -> int:
        return len(self.columns["step"])

    def pairs(self, name: str) -> list[tuple[float, float]]:
        """(step, value) of the lines that have it."""
        return [
            (step, value)
            for step, value in zip(self.columns["step"], self.columns[name], strict=True)
            if step == step and value == value
        ]


@dataclass(frozen=True)
class Run:
    """What the files of a run say."""

    folder: Path
    record: dict[str, Any]
    """run.json."""
    profile: dict[str, Any]
    classifier: dict[str, Any]
    """classifier.json of the best checkpoint."""
    steps: Steps
    checkpoints: list[Checkpoint]
    best: Checkpoint | None

    @property
    def task(self) -> str:
        """Binary, Multiclass or Multilabel; empty if nothing says it."""
        metrics = self.best.test if self.best else {}
        return str(self.record.get("task") or metrics.get("task") or self.profile.get("task") or "")

    @property
    def metrics(self) -> dict[str, Any]:
        """What the best checkpoint reached: on the test rows, or on the validation rows where there are none."""
        if self.best is None:
            return {}
        return self.best.test or self.best.validation

    @property
    def metrics_split(self) -> str:
        """On which rows that was measured."""
        return "test" if self.best is not None and self.best.test else "validation"


def read_folder(folder: Path) -> Run:
    """Reads what is there."""
    record = mapping(_json(folder / "run.json"))
    steps, lines = _read_steps(folder / "metrics.jsonl")
    checkpoints = _checkpoints(folder, record, lines)
    best = _best(record, checkpoints)
    classifier: dict[str, Any] = {}
    for place in (best.folder if best else None, folder / "model"):
        if place is not None and not classifier:
            classifier = mapping(_json(place / "classifier.json"))
    return Run(folder, record, mapping(_json(folder / "profile.json")), classifier, steps, checkpoints, best)


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, object) of each line that holds one; a line cut off by a kill is passed over."""
    try:
        stream = path.open("rb")
    except OSError:
        return
    with stream:
        for place, line in enumerate(stream, 1):
            try:
                value = json.loads(line)
            except (ValueError, RecursionError):
                continue
            if isinstance(value, dict):
                yield place, value


def _json(path: Path) -> object:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None


def _read_steps(path: Path) -> tuple[Steps, dict[str, dict[str, Any]]]:
    steps, checkpoints = Steps(), {}
    for _, line in json_lines(path):
        if "checkpoint" in line:
            checkpoints[str(line["checkpoint"])] = line
            continue
        for name, column in steps.columns.items():
            value = number(line.get(name))
            column.append(float("nan") if value is None else value)
    return steps, checkpoints


def _checkpoints(folder: Path, record: dict[str, Any], lines: dict[str, dict[str, Any]]) -> list[Checkpoint]:
    """All that any file knows of: a checkpoint that was not kept still has its line."""
    listed = sequence(record.get("checkpoints")) or sequence(dig(record, "progress", "checkpoints"))
    steps = {str(item["name"]): item.get("step") for item in map(mapping, listed) if "name" in item}
    steps |= {name: line.get("step") for name, line in lines.items()}
    kept = folder / "checkpoints"
    # By what is there: a name in a file is no path to follow.
    places = {path.name: path for path in kept.iterdir() if path.is_dir()} if kept.is_dir() else {}
    for name in places:
        if not name.startswith("."):
            steps.setdefault(name, None)
    found = []
    for name, step in steps.items():
        place = places.get(name)
        scores = {split: mapping(_json(place / split / "metrics.json")) if place else {} for split in _SPLITS}
        scores = {split: value or mapping(dig(lines, name, split)) for split, value in scores.items()}
        found.append(Checkpoint(name, number(step), scores["test"], scores["validation"], place))
    return sorted(found, key=lambda item: (item.step is None, item.step or 0.0, _natural(item.name)))


def _best(record: dict[str, Any], checkpoints: list[Checkpoint]) -> Checkpoint | None:
    name = record.get("best") or dig(record, "progress", "best")
    named = [item for item in checkpoints if item.name == name] or checkpoints[-1:]
    return named[0] if named else None


def _natural(name: str) -> list[tuple[int, str]]:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]
