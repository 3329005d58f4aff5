"""The specification of a ClassifierTrainingJob."""

from typing import Final, Literal

from pydantic import ConfigDict, Field

from classifier_operator.api.addresses import BaseModelAddress, FunctionAddress
from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.datasets import Rebalance, TestDataset, TrainDataset, Validation
from classifier_operator.api.hyperparameters import Hyperparameters
from classifier_operator.api.output import Checkpoints, Output, Report
from classifier_operator.api.pod_template import PodTemplate, ResourceRequirements
from classifier_operator.api.references import CheckpointReference, ConfigMapKey
from classifier_operator.api.scalars import ImageName, ObjectName

TaskType = Literal["Binary", "Multiclass", "Multilabel"]

MUTABLE_FIELDS: Final = ("suspend", "activeDeadlineSeconds", "ttlSecondsAfterFinished")
MAX_NODES: Final = 64


METRICS: Final = (
    *("accuracy", "balancedAccuracy", "macroF1", "microF1", "weightedF1", "sampleMatchCombined", "labelMatch"),
    *("logLoss", "brier", "expectedCalibrationError", "rocAuc", "averagePrecision"),
    *("baselineAccuracy", "baselineMacroF1"),
)
"""Scores that are there anyway, by whose names no function can go."""


class BaseModelSource(Model):
    """The model that training starts from; exactly one of uri and checkpoint."""

    uri: BaseModelAddress | None = None
    """Where the base model is: hf://org/name[@revision], pvc://claim/path, s3://bucket/prefix,
    https://host/archive.tar.gz, or file:///path in the image. Immutable."""
    checkpoint: CheckpointReference | None = None
    """A checkpoint of another training job to continue from; this job waits until it exists. Immutable."""
    secret_name: ObjectName | None = None
    """Secret whose keys become environment variables of the trainer, e.g. HF_TOKEN. Default: none. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.uri) != has(self.checkpoint)", "baseModel needs exactly one of uri and checkpoint")
        )
    )


class TestFunction(Model):
    """A score that is computed for every checkpoint: a built-in one, or a Python function of the user's own, as
    def name(input, expected, predicted), in a ConfigMap or file."""

    __test__ = False  # not a test class for pytest

    builtin: Literal["SampleMatchCombined", "LabelMatch"] | None = None
    """A built-in score, instead of name. Immutable."""
    name: str | None = Field(default=None, max_length=63, pattern=r"^[a-z][A-Za-z0-9_]{0,62}$")
    """Name of the score and of the function in the file, at most 63 characters. Immutable."""
    config_map: ConfigMapKey | None = None
    """A ConfigMap of the same namespace that holds the file. Immutable."""
    uri: FunctionAddress | None = None
    """Where the file is: pvc://claim/path, or file:///path in the image. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.builtin), has(self.configMap), has(self.uri)].filter(x, x).size() == 1",
                "a test function needs exactly one of builtin, configMap and uri",
            ),
            rule(
                "has(self.builtin) != has(self.name)",
                "a test function needs a name with configMap or uri, and none with builtin",
            ),
            rule(
                f"!has(self.name) || !(self.name.lowerAscii() in {[name.lower() for name in METRICS]})",
                "the name of a test function is that of a score which is there anyway: call yours otherwise",
            ),
        )
    )


def _immutable(*fields: str) -> list[dict[str, str]]:
    return [
        rule(
            f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
            f"{field} cannot be changed after creation: apply the job under a new name (only suspend, "
            "activeDeadlineSeconds and ttlSecondsAfterFinished may change)",
        )
        for field in fields
    ]


_SHARED_OUTPUT: Final = rule(
    "!has(self.nodes) || self.nodes == 1 || (has(self.output) && (has(self.output.uri) || (has(self.output.claim)"
    " && (has(self.output.claim.name) || (has(self.output.claim.accessModes)"
    " && 'ReadWriteMany' in self.output.claim.accessModes)))))",
    "nodes above 1 need an output that all of them can write: write output.uri: s3://bucket/prefix, a claim that "
    "exists, or output.claim.accessModes: [ReadWriteMany]",
)
_ONE_TASK: Final = rule(
    "!(has(self.rebalance) && has(self.taskType) && self.taskType == 'Multilabel')",
    "rebalance does not work with taskType Multilabel, whose rows have several labels: leave one of the two out",
)


class TrainingJobSpec(Model):
    """What to train. Immutable but for suspend, activeDeadlineSeconds and ttlSecondsAfterFinished."""

    base_model: BaseModelSource
    """The model that training starts from. Required. Immutable."""
    task_type: Literal["Auto", "Binary", "Multiclass", "Multilabel"] | None = None
    """What is to be learnt; Auto finds it from the labels of all rows. Default: Auto. Immutable."""
    train_dataset: TrainDataset
    """The rows to train on. Required. Immutable."""
    test_dataset: TestDataset | None = None
    """The rows that every checkpoint is tested on. Default: none, and no testing. Immutable."""
    validation: Validation | None = None
    """The rows that decide the best checkpoint. Default: a share of the train set. Immutable."""
    rebalance: Rebalance | None = None
    """How often each label stands in the train set. Default: as in the data. Immutable."""
    hyperparameters: Hyperparameters | None = None
    """How the model is trained. Immutable."""
    test_functions: list[TestFunction] | None = Field(
        default=None,
        max_length=32,
        json_schema_extra=rules(
            rule(
                "self.all(x, self.exists_one(y,"
                " (has(y.name) ? y.name : y.builtin) == (has(x.name) ? x.name : x.builtin)))",
                "testFunctions has a function twice: give each a name of its own",
            )
        ),
    )
    """Scores beside the usual ones, computed for every checkpoint, at most 32. Default: none. Immutable."""
    output: Output | None = None
    """Where the run is written. Default: the operator makes the claim <job>-output. Immutable."""
    checkpoints: Checkpoints | None = None
    """Which checkpoints are kept, and how they are written. Immutable."""
    report: Report | None = None
    """What report.html shows. Immutable."""
    nodes: int | None = Field(default=None, ge=1, le=MAX_NODES)
    """Pods that train together, 1 to 64, each with the resources below and a process for each of its GPUs. Above 1 the
    claims that are used must be mountable by several nodes, and the output is a ReadWriteMany claim or s3://. Default:
    1. Immutable."""
    resources: ResourceRequirements | None = None
    """Compute resources of the trainer, for each of its pods. What is downloaded, what is cached and, with output.uri,
    what is to be uploaded lies on the disk of the node meanwhile: ephemeral-storage bounds it. Default: none.
    Immutable."""
    suspend: bool | None = None
    """Whether training is paused: the trainer saves its state and stops, and resumes from there when this is false
    again. Default: false. Mutable."""
    backoff_limit: int | None = Field(default=None, ge=0, le=1000)
    """Failed attempts before the job fails; a mistake in data or configuration fails at once, and a disruption of the
    node does not count. Default: 3. Immutable."""
    active_deadline_seconds: int | None = Field(default=None, ge=1, le=2**31 - 1)
    """Seconds for which the job may be active, suspensions not counted, before it fails. Default: no limit. Mutable."""
    ttl_seconds_after_finished: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Seconds after its end at which the job is deleted, without its output. Default: never. Mutable."""
    image: ImageName | None = None
    """Image of the trainer. Default: from the operator's settings. Immutable."""
    pod_template: PodTemplate | None = None
    """Labels, scheduling, environment and volumes of the trainer's pods. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            _SHARED_OUTPUT,
            _ONE_TASK,
            *_immutable(
                "baseModel",
                "taskType",
                "trainDataset",
                "testDataset",
                "validation",
                "rebalance",
                "hyperparameters",
                "testFunctions",
                "output",
                "checkpoints",
                "report",
                "nodes",
                "resources",
                "backoffLimit",
                "image",
                "podTemplate",
            ),
        )
    )
