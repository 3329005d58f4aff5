"""The run configuration: what a ClassifierTrainingJob's spec says about the training, in its own words.

Light on purpose: `--help` and a mistake in the configuration answer without importing torch.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from classifier_trainer.errors import UserError

VERSION = "v1alpha1"
DIGEST_VERSION = "v1"

TaskType = Literal["Auto", "Binary", "Multiclass", "Multilabel"]
Method = Literal["LoRA", "HeadOnly"]
Scheduler = Literal["Linear", "Cosine", "Constant"]
Precision = Literal["Auto", "BFloat16", "Float32"]


class Part(BaseModel):
    """Frozen, camel case outside, unknown fields refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_alias=True,
        validate_by_name=False,
        strict=True,
        allow_inf_nan=False,
    )


class BaseModelSource(Part):
    uri: str = Field(min_length=1, description="hf://org/name[@revision], pvc://claim/path or file:///path")


class ConfigMapKey(Part):
    name: str = Field(min_length=1)
    key: str = Field(min_length=1)


class TrainDataset(Part):
    uri: str | None = Field(default=None, min_length=1, description="pvc://claim/path or file:///path of a JSONL file")
    config_map: ConfigMapKey | None = Field(default=None, description="a key of a ConfigMap that holds JSONL")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.uri is None) == (self.config_map is None):
            raise ValueError("write exactly one of uri and configMap")
        return self

    @property
    def source(self) -> str:
        """The URI under which it is resolved and shown."""
        return source_of(self.uri, self.config_map)


class TestDataset(Part):
    split: float | None = Field(default=None, gt=0, lt=1, description="share of the train set, stratified and seeded")
    uri: str | None = Field(default=None, min_length=1, description="as in trainDataset")
    config_map: ConfigMapKey | None = Field(default=None, description="as in trainDataset")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.split, self.uri, self.config_map)) != 1:
            raise ValueError("write exactly one of split, uri and configMap")
        return self

    @property
    def source(self) -> str | None:
        """The URI under which it is resolved and shown; None for a split of the train set."""
        return None if self.split is not None else source_of(self.uri, self.config_map)


def source_of(uri: str | None, config_map: ConfigMapKey | None) -> str:
    """The key of `mounts` for a dataset."""
    if config_map is not None:
        return f"configmap://{config_map.name}/{config_map.key}"
    return uri or ""


class Lora(Part):
    rank: int = Field(default=16, ge=1, le=1024)
    alpha: float = Field(default=32, gt=0, le=4096)
    dropout: float = Field(default=0, ge=0, lt=1)
    target_modules: Literal["AllLinear"] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = (
        Field(default="AllLinear", description="AllLinear, or names of layers such as [q_proj, v_proj]")
    )


class Hyperparameters(Part):
    """The only place that knows the defaults."""

    method: Method = Field(default="LoRA", description="LoRA, or HeadOnly: the backbone stays as it is")
    epochs: int | None = Field(default=None, ge=1, le=1000, description="default 3; not with HeadOnly")
    learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="default by the model's width: 5e-4 at 576"
    )
    head_learning_rate: float | None = Field(default=None, gt=0, le=1, description="default twice the learningRate")
    batch_size: int = Field(default=16, ge=1, le=4096, description="rows in one update")
    max_length: int | None = Field(
        default=None,
        ge=8,
        le=131072,
        description="tokens of a row, the template's included; default 1024, or what the model bears",
    )
    template: str = Field(
        default="Auto", max_length=1024, description="what stands around {prompt}; Auto chooses, '{prompt}' is none"
    )
    scheduler: Scheduler = "Linear"
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1, description="share of the updates")
    weight_decay: float = Field(default=0, ge=0, le=1)
    max_grad_norm: float = Field(default=1.0, gt=0, le=1000)
    lora: Lora = Lora()
    precision: Precision = Field(default="Auto", description="Auto is BFloat16 where the hardware has it")
    seed: int = Field(default=42, ge=0, le=2**31 - 1)

    @field_validator("template")
    @classmethod
    def _has_prompt(cls, value: str) -> str:
        if value != "Auto" and value.count("{prompt}") != 1:
            raise ValueError("write Auto, or a text that holds {prompt} exactly once")
        return value

    @model_validator(mode="after")
    def _head_only(self) -> Self:
        if self.method == "HeadOnly" and self.epochs is not None:
            raise ValueError(
                "method HeadOnly fits the head until it converges: leave epochs out, or write method: LoRA"
            )
        return self

    def without_effect(self) -> list[str]:
        """Fields that the user set although the method makes no use of them."""
        if self.method != "HeadOnly":
            return []
        idle = (
            "learning_rate",
            "head_learning_rate",
            "lora",
            "scheduler",
            "warmup_ratio",
            "weight_decay",
            "max_grad_norm",
        )
        return [to_camel(name) for name in (*idle, "batch_size") if name in self.model_fields_set]


class Output(Part):
    uri: str = Field(min_length=1, description="pvc://claim[/path], file:///path or a path of this machine")
    if_exists: Literal["Reuse", "Fail"] = Field(
        default="Reuse", description="Reuse takes a finished run of the same configuration over"
    )


class RunConfig(Part):
    version: Literal["v1alpha1"] = "v1alpha1"
    base_model: BaseModelSource
    task_type: TaskType = "Auto"
    train_dataset: TrainDataset
    test_dataset: TestDataset | None = None
    hyperparameters: Hyperparameters = Hyperparameters()
    output: Output
    mounts: dict[str, str] = Field(default_factory=dict, description="URI to path, written by the operator")

    def as_set(self) -> dict[str, Any]:
        """What the user set, without output and mounts: JSON values under their outside names."""
        content = self.model_dump(mode="json", by_alias=True, exclude_unset=True, exclude={"output", "mounts"})
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

    from classifier_trainer.config_errors import sentence

    if not isinstance(content, dict):
        raise UserError("the run configuration must be a mapping with baseModel, trainDataset and output.")
    try:
        # By way of JSON: strict about types, and 1 is still a float there.
        return RunConfig.model_validate_json(json.dumps(content, allow_nan=False))
    except ValidationError as error:
        raise UserError(sentence(error, RunConfig)) from None
    except (TypeError, ValueError) as error:
        raise UserError(f"the run configuration holds a value that JSON does not have: {error}.") from None
