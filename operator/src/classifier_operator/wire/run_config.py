"""The run configuration: from the operator to the trainer, in one environment variable of its pod."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Self

from pydantic import Field

from classifier_operator.api.hyperparameters import Hyperparameters
from classifier_operator.api.training import TestDataset, TrainDataset, TrainingJobSpec
from classifier_operator.wire.model import WIRE_VERSION, Message

RUN_CONFIG_VARIABLE: Final = "CLASSIFIER_RUN_CONFIG"


class RunBaseModel(Message):
    """The base model; its Secret travels as environment, not here."""

    uri: str


class RunOutput(Message):
    """Where the run is written: an address, resolved from the claim of the specification."""

    uri: str
    if_exists: Literal["Reuse", "Fail"] | None = None


class RunConfig(Message):
    """What the trainer shall do: the training part of the specification verbatim, and where things are mounted."""

    version: str = WIRE_VERSION
    base_model: RunBaseModel
    task_type: Literal["Auto", "Binary", "Multiclass", "Multilabel"] | None = None
    train_dataset: TrainDataset
    test_dataset: TestDataset | None = None
    hyperparameters: Hyperparameters | None = None
    output: RunOutput
    mounts: dict[str, str] = Field(default_factory=dict)
    """Absolute paths in the pod by the addresses that stand above, `configmap://name/key` for a ConfigMap."""

    @classmethod
    def of(cls, spec: TrainingJobSpec, *, output_uri: str, mounts: Mapping[str, str]) -> Self:
        """The run configuration of a specification."""
        return cls(
            base_model=RunBaseModel(uri=spec.base_model.uri),
            task_type=spec.task_type,
            train_dataset=spec.train_dataset,
            test_dataset=spec.test_dataset,
            hyperparameters=spec.hyperparameters,
            output=RunOutput(uri=output_uri, if_exists=spec.output.if_exists if spec.output else None),
            mounts=dict(mounts),
        )

    def fields(self) -> dict[str, Any]:
        """The message as a JSON object: what the user left out stays out, but mounts are always there."""
        return {**self.to_json_object(), "version": self.version, "mounts": dict(self.mounts)}
