"""The specification of a ClassifierTrainingJob."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.hyperparameters import Hyperparameters
from classifier_operator.api.pod_template import PodTemplate, ResourceRequirements
from classifier_operator.api.scalars import (
    BaseModelAddress,
    DataKey,
    DatasetAddress,
    ImageName,
    ObjectName,
    Quantity,
)

TaskType = Literal["Binary", "Multiclass", "Multilabel"]
AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]

DEFAULT_CLAIM_SIZE: Final = "10Gi"
MUTABLE_FIELDS: Final = ("suspend", "activeDeadlineSeconds", "ttlSecondsAfterFinished")


class BaseModelSource(Model):
    """The model that training starts from."""

    uri: BaseModelAddress
    """Where the base model is: hf://org/name[@revision], pvc://claim/path, or file:///path in the image. Immutable."""
    secret_name: ObjectName | None = None
    """Secret whose keys become environment variables of the trainer, e.g. HF_TOKEN. Default: none. Immutable."""


class ConfigMapKey(Model):
    """A file in a ConfigMap of the same namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: DataKey
    """Key that holds the rows as JSON lines."""

    @property
    def uri(self) -> str:
        """The address by which the run configuration names this key."""
        return f"configmap://{self.name}/{self.key}"


class TrainDataset(Model):
    """The rows to train on; exactly one of uri and configMap."""

    uri: DatasetAddress | None = None
    """Where the rows are: pvc://claim/path, or file:///path in the image. Immutable."""
    config_map: ConfigMapKey | None = None
    """A ConfigMap of the same namespace that holds the rows. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.uri) != has(self.configMap)", "trainDataset needs exactly one of uri and configMap")
        )
    )


class TestDataset(Model):
    """The rows that every checkpoint is tested on; exactly one of split, uri and configMap."""

    __test__ = False  # not a test class for pytest

    split: float | None = Field(default=None, gt=0, lt=1)
    """Share of the train set that is set aside for testing, above 0 and below 1. Immutable."""
    uri: DatasetAddress | None = None
    """Where the rows are: pvc://claim/path, or file:///path in the image. Immutable."""
    config_map: ConfigMapKey | None = None
    """A ConfigMap of the same namespace that holds the rows. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.split), has(self.uri), has(self.configMap)].filter(x, x).size() == 1",
                "testDataset needs exactly one of split, uri and configMap",
            )
        )
    )


class OutputClaim(Model):
    """The PersistentVolumeClaim that holds the run: one that exists (name), or one made for this job."""

    name: ObjectName | None = None
    """A claim that exists. Default: the operator makes the claim <job>-output. Immutable."""
    path: (
        Annotated[str, StringConstraints(min_length=1, max_length=512, pattern=r"^[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*$")]
        | None
    ) = Field(
        default=None,
        json_schema_extra=rules(
            rule(
                "!self.split('/').exists(x, x == '..' || x == '.')",
                "output.claim.path must not contain '.' or '..': write the path from the top of the claim",
            )
        ),
    )
    """Folder in the claim. Default: its top. Immutable."""
    size: Quantity | None = None
    """Size of the claim that is made. Default: 10Gi. Immutable."""
    storage_class_name: ObjectName | None = None
    """StorageClass of the claim that is made. Default: the cluster's. Immutable."""
    access_modes: list[AccessMode] | None = Field(default=None, min_length=1, max_length=4)
    """Access modes of the claim that is made. Default: [ReadWriteOnce]. Immutable."""
    when_deleted: Literal["Retain", "Delete"] | None = None
    """What happens to the claim that is made when the job is deleted. Default: Retain. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!has(self.name) || !(has(self.size) || has(self.storageClassName) || has(self.accessModes)"
                " || has(self.whenDeleted))",
                "output.claim.name is a claim that exists: leave out size, storageClassName, accessModes and "
                "whenDeleted, or leave out name to have a claim made",
            )
        )
    )


class Output(Model):
    """Where the run is written."""

    claim: OutputClaim | None = None
    """The claim that holds the run. Default: the operator makes <job>-output with 10Gi. Immutable."""
    if_exists: Literal["Reuse", "Fail"] | None = None
    """What to do where the output holds a finished run of the same configuration: take it over, or fail. Another
    configuration always fails. Default: Reuse. Immutable."""


def _immutable(*fields: str) -> list[dict[str, str]]:
    return [
        rule(
            f"has(self.{field}) == has(oldSelf.{field}) && (!has(self.{field}) || self.{field} == oldSelf.{field})",
            f"{field} cannot be changed after creation: apply the job under a new name (only suspend, "
            "activeDeadlineSeconds and ttlSecondsAfterFinished may change)",
        )
        for field in fields
    ]


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
    hyperparameters: Hyperparameters | None = None
    """How the model is trained. Immutable."""
    output: Output | None = None
    """Where the run is written. Default: the operator makes the claim <job>-output. Immutable."""
    resources: ResourceRequirements | None = None
    """Compute resources of the trainer. Default: none. Immutable."""
    suspend: bool | None = None
    """Whether training is paused: the trainer stops, and resumes when this is false again. Default: false. Mutable."""
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
    """Labels, scheduling, environment and volumes of the trainer's pod. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            *_immutable(
                "baseModel",
                "taskType",
                "trainDataset",
                "testDataset",
                "hyperparameters",
                "output",
                "resources",
                "backoffLimit",
                "image",
                "podTemplate",
            )
        )
    )
