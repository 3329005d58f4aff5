"""What a trainer says is clipped before it stands in a status."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api.training_status import Checkpoint, DatasetStatus, Progress
from classifier_operator.plan.report import (
    checkpoints_status,
    dataset_status,
    duration_for_people,
    progress_status,
    score,
)
from classifier_operator.plan.sentences import last_sentence, one_line
from classifier_operator.plan.standing import selecting_metric
from classifier_operator.wire.progress import ReportedCheckpoint, ReportedDataset, ReportedProgress
from support.builders import NOW, ago, ended_pod, training_job


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (9.4, "9s"), (74, "1m14s"), (3600, "1h0m"), (7510, "2h5m"), (-3, "0s")]
)
def test_durations_for_people(seconds: float, text: str) -> None:
    assert duration_for_people(seconds) == text


def test_figures_that_did_not_change_are_not_written() -> None:
    reported = ReportedProgress(percent=63.7, step=412, steps=651, loss=0.21449, seconds_left=74, epoch=1.9)
    first = progress_status(reported, None, ago(20))
    assert first is not None
    assert (first.display, first.percent, first.epoch, first.loss, first.eta) == ("63%", 63, 1, 0.2145, "1m14s")
    assert progress_status(reported.model_copy(update={"seconds_left": 70.0}), first, NOW) is first
    later = progress_status(reported.model_copy(update={"step": 413}), first, NOW)
    assert later is not None
    assert later.update_time == NOW


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0, 1e300])
def test_figures_that_are_none(value: float) -> None:
    reported = ReportedProgress.model_construct(percent=value, seconds_left=value, loss=value, samples_per_second=None)
    for name in ReportedProgress.model_fields:
        if not hasattr(reported, name):
            object.__setattr__(reported, name, None)
    status = progress_status(reported, Progress(percent=3), NOW)
    assert status is not None
    assert Progress.model_validate(status.to_json_object()) == status


def test_lists_are_cut() -> None:
    status = dataset_status(
        ReportedDataset(
            labels=[f"l{n}" * 200 for n in range(300)], label_count=300, validation_rows=7, warnings=["w\nw"] * 50
        ),
        None,
    )
    assert status is not None
    assert status.labels is not None
    assert (len(status.labels), status.label_count, status.validation_rows) == (100, 300, 7)
    # A termination message may have left out what was known.
    assert dataset_status(ReportedDataset(label_count=300), status) == status
    assert max(map(len, status.labels)) <= 256
    assert status.warnings == ["w w"] * 20


def test_of_many_checkpoints_the_newest_and_the_best_stay() -> None:
    reported = [ReportedCheckpoint(name=f"epoch-{n}", step=n, path=f"checkpoints/epoch-{n}") for n in range(1, 80)]
    kept = checkpoints_status(reported, None, best="epoch-3", output_uri="pvc://o/p")
    assert kept is not None
    assert len(kept) == 50
    assert (kept[0].name, kept[0].uri) == ("epoch-3", "pvc://o/p/checkpoints/epoch-3")
    assert [each.name for each in kept[1:]] == [f"epoch-{n}" for n in range(31, 80)]


def test_a_deleted_checkpoint_keeps_its_metrics_and_has_no_address() -> None:
    before = [Checkpoint(name="epoch-1", step=1, uri="pvc://o/checkpoints/epoch-1", metrics={"macroF1": "0.8"})]
    reported = ReportedCheckpoint(name="epoch-1", step=1, metrics={"macroF1": "0.8"})
    assert checkpoints_status([reported], before, best=None, output_uri="pvc://o") == [
        Checkpoint(name="epoch-1", step=1, metrics={"macroF1": "0.8"})
    ]


@pytest.mark.parametrize(
    ("metrics", "best", "text"),
    [
        ({"accuracy": "0.91", "macroF1": "0.88"}, "epoch-1", "0.88"),
        ({"sampleMatchCombined": "0.9", "accuracy": "0.91"}, "epoch-1", "0.91"),
        ({"macroF1": "0.88"}, None, "0.88"),
        ({}, "epoch-1", None),
    ],
)
def test_score(metrics: dict[str, str], best: str | None, text: str | None) -> None:
    assert score([Checkpoint(name="epoch-1", metrics=metrics)], best, "macroF1") == text


@pytest.mark.parametrize(
    ("hyperparameters", "task", "metric"),
    [
        (None, "Multiclass", "macroF1"),
        (None, None, "macroF1"),
        ({}, "Multilabel", "macroF1"),
        ({"selectBy": "Auto"}, "Binary", "averagePrecision"),
        ({"selectBy": "LogLoss"}, "Binary", "logLoss"),
        ({"selectBy": "MicroF1"}, "Multilabel", "microF1"),
    ],
)
def test_the_metric_that_selects(hyperparameters: Any, task: Any, metric: str) -> None:
    job = training_job(**({} if hyperparameters is None else {"hyperparameters": hyperparameters}))
    assert selecting_metric(job, DatasetStatus(task_type=task) if task else None) == metric


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ('{"phase": "Failed", "message": "line 3: not JSON"}', "line 3: not JSON"),
        ("pvc://a/b has no config.json\n", "pvc://a/b has no config.json"),
        ("Traceback (most recent call last):\n  File x", ""),
        ('{"message": "Traceback (most recent call last): boom"}', ""),
        ("{broken", ""),
        ('{"other": 1}', ""),
        ("a\x00b\x1b[31m", "a b [31m"),
        ("", ""),
    ],
)
def test_last_sentence(words: str, sentence: str) -> None:
    assert last_sentence(ended_pod(1, words)) == sentence


def test_long_text_is_clipped() -> None:
    text: Any = one_line("x" * 5000)
    assert len(text) == 1024
    assert text.endswith("…")
