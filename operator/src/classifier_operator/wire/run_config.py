"""The run configuration: from the operator to the trainer, in one environment variable of its pod."""

from collections.abc import Mapping
from typing import Any, Final, Literal, Self, TypeVar

from pydantic import Field

from classifier_operator.api.datasets import Rebalance, Source, TestDataset, TrainDataset, Validation
from classifier_operator.api.hyperparameters import Hyperparameters
from classifier_operator.api.output import Checkpoints, Report
from classifier_operator.api.training import TestFunction, TrainingJobSpec
from classifier_operator.wire.model import WIRE_VERSION, Message

S = TypeVar("S", bound=Source)

RUN_CONFIG_VARIABLE: Final = "CLASSIFIER_RUN_CONFIG"


class RunBaseModel(Message):
    """The base model: an address, resolved where the specification names a checkpoint."""

    uri: str
    adapter_base: str | None = None
    """Address of the base model of a checkpoint that holds only an adapter."""


class RunOutput(Message):
    """Where the run is written: an address, resolved from the claim of the specification."""

    uri: str
    if_exists: Literal["Reuse", "Fail"] | None = None


class RunConfig(Message):
    """What the trainer shall do: the training part of the specification verbatim, and where things are mounted.

    Secrets travel as environment, so not even their names are here.
    """

    version: str = WIRE_VERSION
    base_model: RunBaseModel
    task_type: Literal["Auto", "Binary", "Multiclass", "Multilabel"] | None = None
    train_dataset: TrainDataset
    test_dataset: TestDataset | None = None
    validation: Validation | None = None
    rebalance: Rebalance | None = None
    hyperparameters: Hyperparameters | None = None
    test_functions: list[TestFunction] | None = None
    checkpoints: Checkpoints | None = None
    report: Report | None = None
    output: RunOutput
    mounts: dict[str, str] = Field(default_factory=dict)
    """Absolute paths in the pod by the addresses that stand above, `configmap://name/key` for a ConfigMap."""

    @classmethod
    def of(cls, spec: TrainingJobSpec, *, base_model: RunBaseModel, output_uri: str, mounts: Mapping[str, str]) -> Self:
        """The run configuration of a specification."""
        return cls(
            base_model=base_model,
            task_type=spec.task_type,
            train_dataset=_without_secret(spec.train_dataset),
            test_dataset=spec.test_dataset and _without_secret(spec.test_dataset),
            validation=spec.validation,
            rebalance=spec.rebalance,
            hyperparameters=spec.hyperparameters,
            test_functions=spec.test_functions,
            checkpoints=spec.checkpoints,
            report=spec.report,
            output=RunOutput(uri=output_uri, if_exists=spec.output.if_exists if spec.output else None),
            mounts=dict(mounts),
        )

    def fields(self) -> dict[str, Any]:
        """The message as a JSON object: what the user left out stays out, but mounts are always there."""
        return {**self.to_json_object(), "version": self.version, "mounts": dict(self.mounts)}


def _without_secret(source: S) -> S:
    return source.model_copy(update={"secret_name": None})
