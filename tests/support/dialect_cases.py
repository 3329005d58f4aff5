"""What the fake backend's answers are in each kind of task, by plain arithmetic: what every dialect must tell."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from classifier_artifacts.classifier_json import Task

TEXT = "50 50"
"""Its logits are 1.0 (the sum of the ids by 100), 0.02 (their number by 100) and 0."""
OTHER = "1 1 1"
"""0.03, 0.03 and 0."""


def sigmoid(value: float) -> float:
    return 1 / (1 + math.exp(-value))


def softmax(values: list[float]) -> list[float]:
    total = sum(map(math.exp, values))
    return [math.exp(value) / total for value in values]


@dataclass(frozen=True)
class Case:
    """One kind of task; `make` are the arguments of the service that has it."""

    make: dict[str, Any]
    classes: list[str]
    """Names of the head's outputs."""
    logits: list[float]
    class_probs: list[float]
    """Of TEXT, by class."""
    probs: dict[str, float]
    """Of TEXT, by label."""
    predicted: list[str]

    @property
    def task(self) -> Task:
        task: Task = self.make["task"]
        return task

    @property
    def ranked(self) -> list[dict[str, Any]]:
        """Classes with their probability, the highest first."""
        return self.scored(self.class_probs)

    def scored(self, values: list[float]) -> list[dict[str, Any]]:
        """Classes with a value, the highest first."""
        pairs = sorted(zip(values, self.classes, strict=True), key=lambda pair: -pair[0])
        return [{"label": name, "score": value} for value, name in pairs]


_ABC = ["a", "b", "c"]
_LOGITS = [1.0, 0.02, 0.0]
_P = sigmoid(0.02 - 1.0)

CASES = {
    "one logit": Case({"task": "Binary", "logits": 1}, ["cat"], [1.0], [sigmoid(1.0)], {"cat": sigmoid(1.0)}, ["cat"]),
    "two logits": Case({"task": "Binary"}, ["not cat", "cat"], [1.0, 0.02], [1 - _P, _P], {"cat": _P}, []),
    "multiclass": Case(
        {"task": "Multiclass"}, _ABC, _LOGITS, softmax(_LOGITS), dict(zip(_ABC, softmax(_LOGITS), strict=True)), ["a"]
    ),
    "multilabel": Case(
        {"task": "Multilabel"},
        _ABC,
        _LOGITS,
        list(map(sigmoid, _LOGITS)),
        dict(zip(_ABC, map(sigmoid, _LOGITS), strict=True)),
        ["a", "b", "c"],
    ),
}
