"""Everything that is said about the predictions of a checkpoint: the content of metrics.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import DEFAULT_THRESHOLD, predicted_mask, probabilities
from classifier_trainer.evaluate.baseline import Baseline
from classifier_trainer.evaluate.counts import Counts, count, mean
from classifier_trainer.evaluate.curves import Ranking, points_for, rank
from classifier_trainer.evaluate.reliability import Reliability, check_finite, reliability

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Targets = npt.NDArray[np.int8]
SelectBy = Literal["Auto", "Accuracy", "MacroF1", "MicroF1", "AveragePrecision", "LogLoss"]

HEADLINE = (
    "accuracy",
    "balancedAccuracy",
    "macroF1",
    "microF1",
    "weightedF1",
    "sampleMatchCombined",
    "logLoss",
    "brier",
    "expectedCalibrationError",
    "rocAuc",
    "averagePrecision",
)
BASELINE_HEADLINE = {"baselineAccuracy": "accuracy", "baselineMacroF1": "macroF1"}
MAX_HEADLINE = 24
_TOP_CONFUSIONS = 100


def evaluate(
    targets: Targets,
    logits: Floats,
    *,
    task: Task,
    labels: Sequence[str],
    thresholds: Mapping[str, float] | None = None,
    cut: Mask | None = None,
    uncalibrated: Floats | None = None,
    functions: Mapping[str, Mapping[str, object]] | None = None,
    baseline: Baseline | None = None,
    negative_label: str | None = None,
) -> dict[str, Any]:
    """The content of metrics.json: JSON values, None for what these rows cannot tell, never NaN.

    Args:
        targets: [n, k] of 0 and 1, n > 0; Binary has one column.
        logits: [n, L] as the checkpoint is served (calibrated); L is 2 for Binary, else k.
        thresholds: probability from which a label counts (Binary, Multilabel); .5 where it names none.
        cut: [n], the rows that `maxLength` cut, whose scores are shown apart.
        uncalibrated: [n, L] of the same rows before calibration, for `beforeCalibration`.
        functions: {"value": number} or {"error": sentence} of each test function (`user_functions.Outcome.document`).
        negative_label: what Binary's other class is called in the confusion matrix.

    Definitions: `counts.Counts`, `curves.rank`, `reliability.reliability`. Areas are means over the labels that have
    one, for Binary those of its label.

    Raises:
        UserError: logits are NaN or infinite.
    """
    if len(targets) == 0 or len(targets) != len(logits):
        raise ValueError(f"{len(targets)} rows of targets and {len(logits)} of logits: need as many, and some")
    check_finite(logits)
    probs = probabilities(logits, task)
    limits = {label: (thresholds or {}).get(label, DEFAULT_THRESHOLD) for label in labels}
    predicted = predicted_mask(probs, limits, task, labels)
    counts = count(targets, predicted, task)
    rankings = [rank(targets[:, i], probs[:, i], points_for(len(labels))) for i in range(len(labels))]
    trust = reliability(logits, targets, task)
    return {
        "task": task,
        "rows": len(targets),
        "accuracy": counts.accuracy,
        "balancedAccuracy": counts.balanced_accuracy,
        "macroF1": counts.macro_f1,
        "microF1": counts.micro_f1,
        "weightedF1": counts.weighted_f1,
        "sampleMatchCombined": counts.accuracy,
        **_trust(trust),
        "rocAuc": _mean([ranking.roc_auc for ranking in rankings]),
        "averagePrecision": _mean([ranking.average_precision for ranking in rankings]),
        "labels": _labels(labels, counts, rankings, {} if task == "Multiclass" else limits),
        "confusion": _confusion(counts, labels, task, negative_label),
        "reliability": {"bins": trust.bins},
        "curves": {
            label: {"roc": ranking.roc, "pr": ranking.precision_recall}
            for label, ranking in zip(labels, rankings, strict=True)
        },
        "beforeCalibration": None if uncalibrated is None else _before(reliability(uncalibrated, targets, task)),
        "cutRows": _cut_rows(targets, predicted, cut, task),
        "functions": {name: dict(value) for name, value in (functions or {}).items()},
        "baseline": None if baseline is None else baseline.document(),
    }


def headline(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of metrics.json for the status and for metrics.jsonl: flat, at most 24, without what is None."""
    result = {name: metrics.get(name) for name in HEADLINE}
    found = metrics.get("baseline") or {}
    result |= {name: found.get(key) for name, key in BASELINE_HEADLINE.items()}
    # A built-in function may be one of the above.
    result |= {name: outcome.get("value") for name, outcome in metrics.get("functions", {}).items()}
    numbers = {name: float(value) for name, value in result.items() if value is not None}
    return dict(list(numbers.items())[:MAX_HEADLINE])


def selection(metrics: Mapping[str, Any], select_by: SelectBy, task: Task) -> float:
    """How good a checkpoint is by its validation metrics; higher is better, of equal ones the earlier is best.

    Auto is MacroF1, for Binary AveragePrecision. Where the metric is None, the accuracy stands in for it:
    AveragePrecision is so for every checkpoint of a run alike (no validation row has a label), and MacroF1 only where
    no label is expected or predicted at all, so that every row is right.
    """
    if select_by == "Auto":
        select_by = "AveragePrecision" if task == "Binary" else "MacroF1"
    if select_by == "LogLoss":
        return -float(metrics["logLoss"])
    names = {"MacroF1": "macroF1", "MicroF1": "microF1", "AveragePrecision": "averagePrecision"}
    value = metrics.get(names.get(select_by, "accuracy"))
    return float(metrics["accuracy"] if value is None else value)


def _trust(found: Reliability) -> dict[str, float]:
    return {
        "logLoss": found.log_loss,
        "brier": found.brier,
        "expectedCalibrationError": found.expected_calibration_error,
    }


def _before(found: Reliability) -> dict[str, Any]:
    return {**_trust(found), "reliability": {"bins": found.bins}}


def _labels(
    labels: Sequence[str], counts: Counts, rankings: Sequence[Ranking], limits: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    first = 1 if len(counts.true_positives) > len(labels) else 0  # Binary: its label is the second class
    precision, recall, f1 = counts.precision, counts.recall, counts.f1
    result = {}
    for index, (label, ranking) in enumerate(zip(labels, rankings, strict=True), start=first):
        entry: dict[str, Any] = {
            "precision": _number(precision[index]),
            "recall": _number(recall[index]),
            "f1": _number(f1[index]),
            "support": int(counts.support[index]),
            "rocAuc": ranking.roc_auc,
            "averagePrecision": ranking.average_precision,
            "threshold": limits.get(label),
        }
        if counts.confusion is None:
            # [[neither, only predicted], [only expected, both]]
            rows = (counts.true_negatives, counts.false_positives), (counts.false_negatives, counts.true_positives)
            entry["confusion"] = [[int(part[index]) for part in row] for row in rows]
        result[label] = entry
    return result


def _confusion(counts: Counts, labels: Sequence[str], task: Task, negative_label: str | None) -> dict[str, Any] | None:
    """Rows are expected, columns predicted; `top` has the most frequent mistakes, for matrices too large to show."""
    if counts.confusion is None:
        return None
    names = [negative_label or f"not {labels[0]}", labels[0]] if task == "Binary" else list(labels)
    wrong = counts.confusion.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:_TOP_CONFUSIONS]
    top = [(int(i) // len(names), int(i) % len(names)) for i in order]
    return {
        "labels": names,
        "matrix": counts.confusion.tolist(),
        "top": [
            {"expected": names[i], "predicted": names[j], "count": int(wrong[i, j])} for i, j in top if wrong[i, j]
        ],
    }


def _cut_rows(targets: Targets, predicted: Mask, cut: Mask | None, task: Task) -> dict[str, Any] | None:
    if cut is None or not cut.any():
        return None
    counts = count(targets[cut], predicted[cut], task)
    return {"rows": counts.rows, "accuracy": counts.accuracy, "macroF1": counts.macro_f1}


def _mean(values: Sequence[float | None]) -> float | None:
    return mean(np.array([np.nan if value is None else value for value in values]))


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
