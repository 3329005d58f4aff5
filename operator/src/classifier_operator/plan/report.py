"""From what a trainer says of itself to the figures in the status: clipped, and merged with what was known."""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from classifier_operator.api.training_status import (
    MAX_CHECKPOINTS,
    MAX_LABELS,
    Checkpoint,
    DatasetStatus,
    Progress,
)
from classifier_operator.plan.sentences import one_line
from classifier_operator.wire.progress import ProgressReport, ReportedCheckpoint, ReportedDataset, ReportedProgress

MAX_WARNINGS: Final = 20
MAX_METRICS: Final = 64
_LABEL_LENGTH: Final = 256
_METRIC_LENGTH: Final = 64
_LARGEST: Final = 2.0**53
_LONGEST_SECONDS: Final = 365 * 86400.0
_SCORES: Final = ("accuracy", "macroF1", "sampleMatchCombined")


def duration_for_people(seconds: float) -> str:
    """E.g. `4m10s`, `2h5m`, `9s`."""
    whole = max(0, round(seconds))
    hours, rest = divmod(whole, 3600)
    minutes, left = divmod(rest, 60)
    if hours:
        return f"{hours}h{minutes}m"
    return f"{minutes}m{left}s" if minutes else f"{left}s"


def _count(value: float | None) -> int | None:
    return None if value is None or not math.isfinite(value) or not 0 <= value <= _LARGEST else int(value)


def _figure(value: float | None, digits: int, *, least: float = -_LARGEST) -> float | None:
    return (
        None
        if value is None or not math.isfinite(value) or not least <= value <= _LARGEST
        else float(f"%.{digits}g" % value)
    )


def progress_status(reported: ReportedProgress | None, before: Progress | None, now: datetime) -> Progress | None:
    """The figures; `before` itself if none of them changed, so that nothing is written."""
    if reported is None:
        return before
    percent = _count(reported.percent)
    left = reported.seconds_left
    left = None if left is None or not math.isfinite(left) or not 0 <= left <= _LONGEST_SECONDS else left
    figures = {
        "percent": None if percent is None else min(percent, 100),
        "epoch": _count(reported.epoch),
        "epochs": _count(reported.epochs),
        "step": _count(reported.step),
        "steps": _count(reported.steps),
        "loss": _figure(reported.loss, 4),
        "samples_per_second": _figure(reported.samples_per_second, 3, least=0),
        "tokens_per_second": _figure(reported.tokens_per_second, 3, least=0),
    }
    if before is not None and all(getattr(before, name) == value for name, value in figures.items()):
        return before
    return Progress(
        **figures,
        display=None if percent is None else f"{min(percent, 100)}%",
        eta=None if left is None else duration_for_people(left),
        estimated_completion_time=None if left is None else now + timedelta(seconds=left),
        update_time=now,
    )


def finished_progress(before: Progress | None, now: datetime) -> Progress:
    """The figures of a run that succeeded."""
    known = before or Progress()
    if known.percent == 100 and known.eta is None and known.display == "100%":
        return known
    changes = {"percent": 100, "display": "100%", "eta": None, "estimated_completion_time": None, "update_time": now}
    return known.model_copy(update=changes)


def dataset_status(reported: ReportedDataset | None, before: DatasetStatus | None) -> DatasetStatus | None:
    """What the data looks like; a termination message may have left out what was known before."""
    if reported is None:
        return before
    known = before or DatasetStatus()
    labels = [one_line(label, _LABEL_LENGTH) for label in reported.labels[:MAX_LABELS]]
    warnings = [one_line(warning) for warning in reported.warnings[:MAX_WARNINGS]]
    return DatasetStatus(
        task_type=reported.task_type or known.task_type,
        labels=labels or known.labels,
        label_count=_count(reported.label_count) if reported.label_count is not None else known.label_count,
        train_rows=_count(reported.train_rows) if reported.train_rows is not None else known.train_rows,
        validation_rows=_count(reported.validation_rows)
        if reported.validation_rows is not None
        else known.validation_rows,
        test_rows=_count(reported.test_rows) if reported.test_rows is not None else known.test_rows,
        warnings=warnings or known.warnings,
    )


def checkpoints_status(
    reported: Sequence[ReportedCheckpoint], before: Sequence[Checkpoint] | None, *, best: str | None, output_uri: str
) -> list[Checkpoint] | None:
    """The checkpoints by step: those reported, and those known before that a short report left out."""
    found = {checkpoint.name: checkpoint for checkpoint in before or ()}
    for each in reported:
        found[each.name] = Checkpoint(
            name=each.name[:64],
            step=_count(each.step),
            uri=f"{output_uri}/{each.path}"[:2048] if each.path else None,
            metrics={name[:128]: value[:_METRIC_LENGTH] for name, value in sorted(each.metrics.items())[:MAX_METRICS]}
            or None,
        )
    ordered = sorted(found.values(), key=lambda each: (each.step or 0, each.name))
    if len(ordered) > MAX_CHECKPOINTS:
        kept = ordered[-MAX_CHECKPOINTS:]
        if best in found and found[best] not in kept:
            kept = [found[best], *kept[1:]]
        ordered = kept
    return ordered or None


def best_name(report: ProgressReport, before: str | None) -> str | None:
    """Name of the best checkpoint."""
    return report.best[:64] if report.best else before


def score(checkpoints: Sequence[Checkpoint] | None, best: str | None, metric: str) -> str | None:
    """Result of the best checkpoint in `metric`, or of the last one while none is best.

    Where the trainer does not say that metric, another one stands there rather than none.
    """
    if not checkpoints:
        return None
    chosen = next((each for each in checkpoints if each.name == best), checkpoints[-1])
    metrics = chosen.metrics or {}
    return next((metrics[name] for name in (metric, *_SCORES) if name in metrics), None)
