"""How the model is trained: the only place that knows the defaults."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic.alias_generators import to_camel

from classifier_trainer.config.part import DURATION_PATTERN, Part

Method = Literal["LoRA", "Full", "HeadOnly"]
Scheduler = Literal["Linear", "Cosine", "Constant"]
Precision = Literal["Auto", "BFloat16", "Float32"]
SelectBy = Literal["Auto", "Accuracy", "MacroF1", "MicroF1", "AveragePrecision", "LogLoss"]
ClassWeights = Literal["None", "Balanced"]
TargetPrior = Literal["AsTrained", "Natural"]

DEFAULT_EPOCHS = 3
_LOOP_ONLY = (
    "learning_rate",
    "head_learning_rate",
    "scheduler",
    "warmup_ratio",
    "weight_decay",
    "max_grad_norm",
    "early_stopping",
    "state_every",
    "batch_size",
)


class Lora(Part):
    rank: int = Field(
        default=16, ge=1, le=1024, description="of the adapters' matrices; more learns more and costs more"
    )
    alpha: float = Field(default=32, gt=0, le=4096, description="the adapters' sum is scaled by alpha / rank")
    dropout: float = Field(
        default=0, ge=0, lt=1, description="share of the adapters' inputs that is left out at random"
    )
    target_modules: Literal["AllLinear"] | Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)] = (
        Field(default="AllLinear", description="AllLinear, or names of layers such as [q_proj, v_proj]")
    )


class EarlyStopping(Part):
    patience: int = Field(ge=1, le=1000, description="epochs without a better checkpoint after which training stops")


class Hyperparameters(Part):
    method: Method = Field(
        default="LoRA", description="LoRA, Full (every weight), or HeadOnly: the backbone stays as it is"
    )
    epochs: int | None = Field(default=None, ge=1, le=1000, description="default 3; not with HeadOnly")
    learning_rate: float | None = Field(
        default=None,
        gt=0,
        le=1,
        description="default by the model's width: 5e-4 at 576, 2e-4 at 2560; a tenth with Full",
    )
    head_learning_rate: float | None = Field(
        default=None, gt=0, le=1, description="default twice the learning rate of LoRA"
    )
    batch_size: int = Field(default=16, ge=1, le=4096, description="rows in one update")
    max_length: int | None = Field(
        default=None,
        ge=8,
        le=131072,
        description="tokens of a row, the template's included; default 1024, or what the model bears",
    )
    truncation_side: Literal["Right", "Left"] = Field(
        default="Right", description="the end of a text that is longer than maxLength from which it is cut"
    )
    template: str = Field(
        default="Auto", max_length=1024, description="what stands around {prompt}; Auto chooses, '{prompt}' is none"
    )
    scheduler: Scheduler = Field(default="Linear", description="how the learning rates fall after the warm-up")
    warmup_ratio: float = Field(default=0.03, ge=0, lt=1, description="share of the updates")
    weight_decay: float = Field(default=0, ge=0, le=1, description="of AdamW, on all that is trained")
    max_grad_norm: float = Field(default=1.0, gt=0, le=1000, description="to which the gradients of an update are cut")
    lora: Lora = Lora()
    precision: Precision = Field(default="Auto", description="Auto is BFloat16 where the hardware has it")
    seed: int = Field(default=42, ge=0, le=2**31 - 1, description="of splits, samples, the order of rows and dropout")
    early_stopping: EarlyStopping | None = None
    class_weights: ClassWeights = Field(
        default="None", description="Balanced weighs rows (Multilabel: labels) by the inverse of their frequency"
    )
    target_prior: TargetPrior | None = Field(
        default=None,
        description="frequencies that the probabilities are meant for: those trained on, or those of the data; "
        "default AsTrained, Natural with classWeights",
    )
    select_by: SelectBy = Field(
        default="Auto", description="what the best checkpoint is best at; Auto is MacroF1, for Binary AveragePrecision"
    )
    calibrate: bool = Field(default=True, description="whether temperature and thresholds are fitted on validation")
    state_every: str = Field(
        default="10m", pattern=DURATION_PATTERN, description="how much training a killed pod loses at most"
    )
    negative_label: str | None = Field(
        default=None, min_length=1, max_length=256, description="name of Binary's other class; default 'not <label>'"
    )

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

    @property
    def prior(self) -> TargetPrior:
        """`targetPrior` with its default filled in."""
        return self.target_prior or ("Natural" if self.class_weights == "Balanced" else "AsTrained")

    def without_effect(self) -> list[str]:
        """Fields that the user set although the method makes no use of them."""
        idle = {"HeadOnly": (*_LOOP_ONLY, "lora"), "Full": ("lora",), "LoRA": ()}[self.method]
        return [to_camel(name) for name in idle if name in self.model_fields_set]
