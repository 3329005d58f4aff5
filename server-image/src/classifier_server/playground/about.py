"""What is known of a checkpoint beyond its labels: how it was made, where it runs, and how it did in its test."""

from __future__ import annotations

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

if TYPE_CHECKING:
    from classifier_artifacts.classifier_json import ClassifierJson

logger = logging.getLogger(__name__)

MAX_MATRIX_LABELS = 50
"""Of models with more labels the card leaves out the confusion matrix, which nobody could read."""
_MAX_BYTES = 64 * 1024 * 1024
_MAX_MISTAKES = 30
_CHECKPOINT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


class _Part(BaseModel):
    model_config = ConfigDict(
        extra="ignore", frozen=True, allow_inf_nan=False, alias_generator=to_camel, populate_by_name=True
    )


Share = Annotated[float, Field(ge=0, le=1)]
Rows = Annotated[int, Field(ge=0)]


class LabelScores(_Part):
    """How well one label is found."""

    precision: Share | None = None
    recall: Share | None = None
    f1: Share | None = None
    support: Rows = 0


class Mistake(_Part):
    """Test rows of one label that were taken for another."""

    expected: str
    predicted: str
    count: Rows


class Confusion(_Part):
    """Test rows by expected (rows) and predicted label."""

    labels: list[str]
    matrix: list[list[Rows]] | None = None
    top: list[Mistake] = Field(default_factory=list)


class Bin(_Part):
    """Answers of about the same confidence."""

    confidence: Share
    accuracy: Share
    count: Rows


def _bins(value: object) -> object:
    """metrics.json has the bins one step deeper."""
    return value.get("bins", []) if isinstance(value, dict) else value


Bins = Annotated[list[Bin], BeforeValidator(_bins)]


class BeforeCalibration(_Part):
    """The same rows with the probabilities as they were."""

    expected_calibration_error: float | None = None
    reliability: Bins = Field(default_factory=list)


class Baseline(_Part):
    """What a simple model reaches on the same rows."""

    name: str
    accuracy: Share | None = None
    macro_f1: Share | None = None


class Scores(_Part):
    """What the card shows of test/metrics.json."""

    rows: Rows
    accuracy: Share
    macro_f1: Share | None = None
    log_loss: float | None = None
    expected_calibration_error: float | None = None
    labels: dict[str, LabelScores] = Field(default_factory=dict)
    confusion: Confusion | None = None
    reliability: Bins = Field(default_factory=list)
    before_calibration: BeforeCalibration | None = None
    baseline: Baseline | None = None


@dataclass(frozen=True, slots=True)
class About:
    """None for what is not known."""

    device: str | None = None
    precision: str | None = None
    classifier: ClassifierJson | None = None
    test: Scores | None = None
    version: str | None = None
    """What exactly was fetched: a commit of the hub, `sha256:…`; None for a folder."""


def read_test(folder: Path) -> Scores | None:
    """The test scores of a checkpoint; of a run's `model/` those of the checkpoint that it was made from.

    None where there are none that can be read: a model is served all the same.
    """
    path = _metrics_file(folder)
    if path is None:
        return None
    try:
        if path.stat().st_size > _MAX_BYTES:
            logger.warning("%s is too large for the model card", path)
            return None
        scores = Scores.model_validate_json(path.read_bytes())
    except OSError as error:
        logger.warning("%s cannot be read for the model card: %s", path, error.strerror)
    except ValidationError as error:
        where = ".".join(map(str, error.errors(include_input=False, include_url=False)[0]["loc"]))
        logger.warning("%s is not what the model card takes: %s", path, where or "it is no JSON")
    else:
        return _shortened(scores)
    return None


def _metrics_file(folder: Path) -> Path | None:
    own = folder / "test" / "metrics.json"
    if own.is_file():
        return own
    if folder.name != "model":
        return None
    try:
        best = json.loads((folder.parent / "run.json").read_bytes()).get("best")
    except (OSError, ValueError, AttributeError):
        return None
    if not isinstance(best, str) or not _CHECKPOINT.fullmatch(best):
        return None
    of_best = folder.parent / "checkpoints" / best / "test" / "metrics.json"
    return of_best if of_best.is_file() else None


def _shortened(scores: Scores) -> Scores:
    """Without what is too long to be shown, or contradicts itself."""
    confusion = scores.confusion
    if confusion is None:
        return scores
    size, matrix = len(confusion.labels), confusion.matrix
    square = matrix is not None and len(matrix) == size and all(len(row) == size for row in matrix)
    kept = matrix if square and 0 < size <= MAX_MATRIX_LABELS else None
    shorter = confusion.model_copy(update={"matrix": kept, "top": confusion.top[:_MAX_MISTAKES]})
    return scores.model_copy(update={"confusion": shorter})
