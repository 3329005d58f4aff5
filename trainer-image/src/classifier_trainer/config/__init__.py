"""The run configuration: what a ClassifierTrainingJob's spec says about the training, in its own words.

Light on purpose: `--help` and a mistake in the configuration answer without importing torch.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from classifier_trainer.config.data import (
    Columns,
    ConfigMapKey,
    Hub,
    Rebalance,
    Source,
    TestDataset,
    TrainDataset,
    Validation,
)
from classifier_trainer.config.hyperparameters import (
    DEFAULT_EPOCHS,
    EarlyStopping,
    Hyperparameters,
    Lora,
    Method,
    Scheduler,
    SelectBy,
    TargetPrior,
)
from classifier_trainer.config.part import Part, seconds
from classifier_trainer.errors import UserError

__all__ = [
    "DEFAULT_EPOCHS",
    "VERSION",
    "BaseModelSource",
    "Builtin",
    "CheckpointFormat",
    "Checkpoints",
    "Columns",
    "ConfigMapKey",
    "EarlyStopping",
    "Hub",
    "Hyperparameters",
    "Keep",
    "Lora",
    "Method",
    "Output",
    "Rebalance",
    "Report",
    "RunConfig",
    "Scheduler",
    "SelectBy",
    "Source",
    "TargetPrior",
    "TaskType",
    "TestDataset",
    "TestFunction",
    "TrainDataset",
    "Validation",
    "parse",
    "seconds",
]

VERSION = "v1alpha1"
DIGEST_VERSION = "v1"

TaskType = Literal["Auto", "Binary", "Multiclass", "Multilabel"]
Builtin = Literal["SampleMatchCombined", "LabelMatch"]
Keep = Literal["All", "Best", "Last"]
CheckpointFormat = Literal["Auto", "Adapter", "Merged"]

# Neither changes the result, so neither is in the digest: where things lie, and which Secret opened them.
_NOT_DIGESTED = {"output", "mounts"}


class BaseModelSource(Part):
    uri: str = Field(
        min_length=1,
        description="hf://org/name[@revision], pvc://claim/path, s3://bucket/prefix, https://host/archive.tar.gz or "
        "file:///path of a model, or of a checkpoint to continue from",
    )
    adapter_base: str | None = Field(
        default=None,
        min_length=1,
        description="URI of the base model, where uri is a checkpoint that holds only an adapter",
    )
    secret_name: str | None = Field(
        default=None, min_length=1, description="its keys are the pod's environment (HF_TOKEN, AWS_*); unused here"
    )


class TestFunction(Part):
    """A score of the user's own, or a built-in one, computed for every checkpoint."""

    __test__ = False  # not a test class for pytest

    builtin: Builtin | None = Field(default=None, description="SampleMatchCombined or LabelMatch")
    name: str | None = Field(
        default=None,
        pattern=r"^[a-z][A-Za-z0-9_]{0,62}$",
        description="name of the metric and of the function in the file, def name(input, expected, predicted)",
    )
    config_map: ConfigMapKey | None = Field(default=None, description="a key of a ConfigMap that holds the function")
    uri: str | None = Field(default=None, min_length=1, description="file:///path or pvc://claim/path of the function")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.builtin, self.config_map, self.uri)) != 1:
            raise ValueError("write exactly one of builtin, configMap and uri")
        if (self.builtin is None) != (self.name is not None):
            raise ValueError("write name with configMap or uri, and not with builtin")
        return self

    @property
    def address(self) -> str | None:
        """The URI under which the file is resolved and shown; None for a built-in one."""
        return self.config_map.uri if self.config_map is not None else self.uri


class Checkpoints(Part):
    keep: Keep = Field(default="All", description="All, Best or Last; the best one is in model/ whatever is kept")
    format: CheckpointFormat = Field(
        default="Auto", description="Auto is an adapter an epoch where the method is LoRA, Merged else"
    )


class Report(Part):
    rows: bool = Field(default=True, description="whether report.html shows texts of rows")


class Output(Part):
    uri: str = Field(
        min_length=1, description="pvc://claim[/path], file:///path, a path of this machine or s3://bucket/prefix"
    )
    if_exists: Literal["Reuse", "Fail"] = Field(
        default="Reuse", description="Reuse takes a finished run of the same configuration over"
    )


class RunConfig(Part):
    version: Literal["v1alpha1"] = Field(default="v1alpha1", description="of this configuration's form")
    base_model: BaseModelSource
    task_type: TaskType = Field(
        default="Auto",
        description="Auto finds it in all rows: one label is Binary, exactly one of several a row is Multiclass",
    )
    train_dataset: TrainDataset
    test_dataset: TestDataset | None = None
    validation: Validation = Validation()
    rebalance: Rebalance | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    test_functions: list[TestFunction] = Field(default_factory=list, max_length=32)
    checkpoints: Checkpoints = Checkpoints()
    report: Report = Report()
    output: Output
    mounts: dict[str, Annotated[str, Field(min_length=1)]] = Field(
        default_factory=dict, description="URI to path, written by the operator"
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        names = [function.name or function.builtin for function in self.test_functions]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"testFunctions has {twice[0]} twice: give each a name of its own")
        if self.rebalance is not None and self.task_type == "Multilabel":
            raise ValueError("rebalance does not work with taskType Multilabel, whose rows have several labels")
        return self

    def as_set(self) -> dict[str, Any]:
        """What the user set, without output, mounts and secrets: JSON values under their outside names."""
        content = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude=_NOT_DIGESTED)
        for part in ("baseModel", "trainDataset", "testDataset"):
            content.get(part, {}).pop("secretName", None)
        return {**content, "version": self.version}

    def digest(self) -> str:
        """`v1:<sha256 hex>` of what the user set; two runs of one digest give the same result."""
        canonical = json.dumps(self.as_set(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return f"{DIGEST_VERSION}:{hashlib.sha256(canonical.encode()).hexdigest()}"


def parse(content: object) -> RunConfig:
    """Checks a parsed configuration.

    Raises:
        UserError: one sentence that names each wrong field and what to write instead.
    """
    from pydantic import ValidationError

    from classifier_trainer.config.sentences import sentence

    if not isinstance(content, dict):
        raise UserError("the run configuration must be a mapping with baseModel, trainDataset and output.")
    try:
        # By way of JSON: strict about types, and 1 is still a float there.
        return RunConfig.model_validate_json(json.dumps(content, allow_nan=False))
    except ValidationError as error:
        raise UserError(sentence(error, RunConfig)) from None
    except (TypeError, ValueError) as error:
        raise UserError(f"the run configuration holds a value that JSON does not have: {error}.") from None
