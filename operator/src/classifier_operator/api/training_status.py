"""The status of a ClassifierTrainingJob."""

from typing import Annotated, Literal

from pydantic import Field

from classifier_operator.api.base import Model, list_map
from classifier_operator.api.meta import Condition
from classifier_operator.api.scalars import LongText, Text, Time
from classifier_operator.api.training import TaskType

TrainingPhase = Literal["Pending", "Suspended", "Preparing", "Training", "Testing", "Succeeded", "Failed"]

MAX_CHECKPOINTS = 50
MAX_LABELS = 100


class Progress(Model):
    """How far training is."""

    display: str | None = Field(default=None, max_length=16)
    """Share that is done, for people, e.g. 63%."""
    eta: str | None = Field(default=None, max_length=32)
    """Estimated time left, for people, e.g. 4m10s."""
    percent: int | None = Field(default=None, ge=0, le=100)
    """Share that is done, in percent."""
    epoch: int | None = Field(default=None, ge=0)
    """Epoch that runs, from 1."""
    epochs: int | None = Field(default=None, ge=0)
    """Number of epochs."""
    step: int | None = Field(default=None, ge=0)
    """Updates made."""
    steps: int | None = Field(default=None, ge=0)
    """Updates to make."""
    loss: float | None = None
    """Mean loss of the last logged updates."""
    samples_per_second: float | None = Field(default=None, ge=0)
    """Rows trained per second."""
    tokens_per_second: float | None = Field(default=None, ge=0)
    """Tokens trained per second."""
    estimated_completion_time: Time | None = None
    """When training will probably be complete."""
    update_time: Time | None = None
    """When these figures last changed."""


class DatasetStatus(Model):
    """What the data looks like."""

    task_type: TaskType | None = None
    """The task that was found or declared."""
    labels: list[Text] | None = Field(default=None, max_length=MAX_LABELS)
    """Names of the labels, at most the first 100."""
    label_count: int | None = Field(default=None, ge=0)
    """Number of labels."""
    train_rows: int | None = Field(default=None, ge=0)
    """Rows to train on."""
    validation_rows: int | None = Field(default=None, ge=0)
    """Rows that decide the best checkpoint."""
    test_rows: int | None = Field(default=None, ge=0)
    """Rows to test on."""
    warnings: list[Text] | None = Field(default=None, max_length=20)
    """What may be wrong with the data, at most 20 sentences."""


class BaseModelStatus(Model):
    """The model that training starts from, as it was found."""

    display: str | None = Field(default=None, max_length=2048)
    """The base model, for people, e.g. hf://Qwen/Qwen3-4B-Base or newsgroups/epoch-3."""
    uri: str | None = Field(default=None, max_length=2048)
    """Where it is."""
    adapter_base: str | None = Field(default=None, max_length=2048)
    """Where the base model of a checkpoint is that holds only an adapter."""


class Checkpoint(Model):
    """A checkpoint of the run."""

    name: str = Field(max_length=64)
    """Name, e.g. epoch-1."""
    step: int | None = Field(default=None, ge=0)
    """Updates made until then."""
    uri: str | None = Field(default=None, max_length=2048)
    """Where it is; absent once it is deleted again, as checkpoints.keep says."""
    metrics: dict[str, Annotated[str, Field(max_length=64)]] | None = Field(default=None, max_length=64)
    """Test results by name, e.g. accuracy: \"0.9125\"."""


class TrainingJobStatus(Model):
    """What the operator has seen; written by the operator alone."""

    observed_generation: int | None = Field(default=None, ge=0)
    """The metadata.generation that this status was computed from."""
    phase: TrainingPhase | None = None
    """Where the job stands, in one word."""
    message: LongText | None = None
    """Where the job stands, or what is wrong and what to write instead, in a sentence."""
    attempt: int | None = Field(default=None, ge=0)
    """Number of the attempt that runs or ran last, from 1; a suspension begins no new one."""
    job_name: str | None = Field(default=None, max_length=63)
    """Name of the batch Job that trains."""
    start_time: Time | None = None
    """When the first pod began to run."""
    completion_time: Time | None = None
    """When the job succeeded or failed."""
    active_seconds: int | None = Field(default=None, ge=0)
    """Seconds for which the job was active before activeSince, suspensions not counted."""
    active_since: Time | None = None
    """Since when the job has been active without a break; absent while it is not."""
    base_model: BaseModelStatus | None = None
    """The model that training starts from, as it was found."""
    progress: Progress | None = None
    """How far training is."""
    dataset: DatasetStatus | None = None
    """What the data looks like."""
    checkpoints: list[Checkpoint] | None = Field(
        default=None, max_length=MAX_CHECKPOINTS, json_schema_extra=list_map("name")
    )
    """At most 50 checkpoints: the best, the last and the newest. run.json in the output has all."""
    best: str | None = Field(default=None, max_length=64)
    """Name of the best checkpoint."""
    score: str | None = Field(default=None, max_length=64)
    """Result of the best checkpoint in what selects it (hyperparameters.selectBy), e.g. 0.9125."""
    conditions: list[Condition] | None = Field(default=None, max_length=16, json_schema_extra=list_map("type"))
    """Complete, Failed and Suspended as batch Jobs have them; Ready, Reconciling and Stalled as kstatus reads them."""
