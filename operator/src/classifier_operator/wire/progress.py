"""Progress: from the trainer to the operator, polled over HTTP, and once more as the termination message."""

from typing import Literal

from pydantic import Field

from classifier_operator.api.training import TaskType
from classifier_operator.wire.model import WIRE_VERSION, Message

ReportPhase = Literal["Preparing", "Training", "Testing", "Succeeded", "Failed"]

PROGRESS_PORT = 9090
PROGRESS_PATH = "/progress"
USER_ERROR_EXIT_CODE = 42
TERMINATED_EXIT_CODE = 143
"""The trainer was stopped by SIGTERM, after it saved its state."""


class ReportedProgress(Message):
    """How far training is; what is unknown is absent."""

    percent: float | None = None
    epoch: float | None = None
    epochs: int | None = None
    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    samples_per_second: float | None = None
    tokens_per_second: float | None = None
    seconds_left: float | None = None


class ReportedDataset(Message):
    """What the data looks like."""

    task_type: TaskType | None = None
    labels: list[str] = Field(default_factory=list)
    label_count: int | None = None
    train_rows: int | None = None
    validation_rows: int | None = None
    test_rows: int | None = None
    warnings: list[str] = Field(default_factory=list)


class ReportedCheckpoint(Message):
    """A checkpoint; its path is relative to the output, and absent once it is deleted again."""

    name: str
    step: int | None = None
    path: str | None = None
    metrics: dict[str, str] = Field(default_factory=dict)


class ProgressReport(Message):
    """What the trainer says of itself."""

    version: str = WIRE_VERSION
    phase: ReportPhase
    message: str = ""
    progress: ReportedProgress | None = None
    dataset: ReportedDataset | None = None
    checkpoints: list[ReportedCheckpoint] = Field(default_factory=list)
    best: str | None = None
