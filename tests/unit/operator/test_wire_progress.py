"""What the trainer reports is read leniently where it may grow, and strictly where it must be right."""

import json
from typing import Any

import pytest

from classifier_operator.wire.errors import WireError
from classifier_operator.wire.model import MAX_BYTES
from classifier_operator.wire.progress import ProgressReport

REPORT: dict[str, Any] = {
    "version": "v1alpha1",
    "phase": "Training",
    "message": "epoch 2 of 3, loss 0.214",
    "progress": {
        "percent": 63,
        "epoch": 2,
        "epochs": 3,
        "step": 412,
        "steps": 651,
        "loss": 0.214,
        "samplesPerSecond": 118.0,
        "tokensPerSecond": 9310.0,
        "secondsLeft": 74,
    },
    "dataset": {
        "taskType": "Multiclass",
        "labels": ["earn", "acq"],
        "labelCount": 2,
        "trainRows": 9051,
        "testRows": 2262,
        "warnings": ["12 rows stand in both sets"],
    },
    "checkpoints": [
        {"name": "epoch-1", "step": 217, "path": "checkpoints/epoch-1", "metrics": {"accuracy": "0.8400"}},
    ],
    "best": "epoch-1",
}


def test_reads_a_report() -> None:
    report = ProgressReport.decode(json.dumps(REPORT).encode())
    assert report.progress is not None
    assert (report.progress.percent, report.progress.loss) == (63, 0.214)
    assert report.dataset is not None
    assert report.dataset.train_rows == 9051
    assert report.checkpoints[0].metrics == {"accuracy": "0.8400"}
    assert report.best == "epoch-1"


def test_reads_the_least_report() -> None:
    report = ProgressReport.decode('{"version": "v1alpha1", "phase": "Preparing"}')
    assert (report.message, report.progress, report.dataset, report.checkpoints) == ("", None, None, [])


def test_ignores_fields_of_a_newer_trainer() -> None:
    newer = REPORT | {"more": 1, "progress": REPORT["progress"] | {"more": 1}}
    assert ProgressReport.decode(json.dumps(newer)) == ProgressReport.decode(json.dumps(REPORT))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "Invalid JSON"),
        ("[1]", "the message"),
        ('{"phase": "Dancing"}', "phase"),
        ('{"phase": "Training", "progress": {"loss": "much"}}', "progress.loss"),
        ('{"phase": "Training", "progress": {"loss": NaN}}', "progress.loss"),
        ('{"phase": "Training", "message": "' + "x" * MAX_BYTES + '"}', "more than 65536"),
    ],
)
def test_refuses_what_is_no_report(text: str, message: str) -> None:
    with pytest.raises(WireError, match=message):
        ProgressReport.decode(text)
