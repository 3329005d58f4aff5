"""Hyperparameters of training. Their defaults live in the trainer alone; here they are only told."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.scalars import DurationText

ModuleName = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_.]+$")]
Precision = Literal["Auto", "BFloat16", "Float32"]


class Lora(Model):
    """Low-rank adapters on the linear layers of the base model."""

    rank: int | None = Field(default=None, ge=1, le=1024)
    """Rank of the adapters, 1 to 1024. Default: 16."""
    alpha: float | None = Field(default=None, gt=0, le=4096)
    """Scale of the adapters, divided by the rank. Default: 32."""
    dropout: float | None = Field(default=None, ge=0, lt=1)
    """Share of the adapters' inputs that is dropped while training. Default: 0."""
    target_modules: list[ModuleName] | None = Field(
        default=None,
        min_length=1,
        max_length=64,
        json_schema_extra=rules(
            rule(
                "!self.exists(name, name == 'AllLinear')",
                "AllLinear is the default: leave lora.targetModules out, or list the names of layers",
            )
        ),
    )
    """Names of the layers that get an adapter, e.g. q_proj. Default: every linear layer but the head."""


class EarlyStopping(Model):
    """When training stops before its last epoch."""

    patience: int = Field(ge=1, le=1000)
    """Epochs without a better checkpoint after which training stops, 1 to 1000. Required."""


class Hyperparameters(Model):
    """How the model is trained; every field has a good default."""

    method: Literal["LoRA", "Full", "HeadOnly"] | None = None
    """LoRA trains adapters and the head, Full every weight, HeadOnly the head on the frozen base model. Default:
    LoRA."""
    epochs: int | None = Field(default=None, ge=1, le=1000)
    """Passes over the training data, 1 to 1000; not with method HeadOnly. Default: 3."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Learning rate of the adapters, or of every weight. Default: by the width of the base model, 5e-4 at 576 and 2e-4
    at 2560; a tenth with Full."""
    head_learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Learning rate of the head. Default: twice the learning rate of the adapters."""
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    """Rows in one update. How they are cut into micro-batches is the trainer's business. Default: 16."""
    max_length: int | None = Field(default=None, ge=8, le=131072)
    """Tokens of a text, after which it is cut, 8 to 131072. Default: 1024 or what the base model bears."""
    truncation_side: Literal["Right", "Left"] | None = None
    """The end of a text that is longer than maxLength from which it is cut. Default: Right."""
    template: str | None = Field(
        default=None,
        max_length=1024,
        json_schema_extra=rules(
            rule(
                "self == 'Auto' || self.split('{prompt}').size() == 2",
                "hyperparameters.template must contain {prompt} exactly once, where the text stands, or be Auto",
            )
        ),
    )
    """What stands around the text, with {prompt} in its place. Default: Auto, which takes a neutral suffix for
    decoders and nothing for encoders."""
    scheduler: Literal["Linear", "Cosine", "Constant"] | None = None
    """How the learning rate falls. Default: Linear."""
    warmup_ratio: float | None = Field(default=None, ge=0, lt=1)
    """Share of the steps in which the learning rate rises. Default: 0.03."""
    weight_decay: float | None = Field(default=None, ge=0, le=1)
    """Weight decay of AdamW. Default: 0."""
    max_grad_norm: float | None = Field(default=None, gt=0, le=1000)
    """Norm to which gradients are clipped. Default: 1."""
    lora: Lora | None = None
    """Low-rank adapters."""
    precision: Precision | None = None
    """Number format of the base model; what is trained is always Float32. Default: Auto, BFloat16 where the GPU has
    it."""
    seed: int | None = Field(default=None, ge=0, le=2**31 - 1)
    """Seed of everything random. Default: 42."""
    early_stopping: EarlyStopping | None = None
    """Stops training when checkpoints get no better. Default: off."""
    class_weights: Literal["None", "Balanced"] | None = None
    """Balanced weighs rows (Multilabel: labels) by the inverse of their frequency. Default: None."""
    target_prior: Literal["AsTrained", "Natural"] | None = None
    """Frequencies of the labels that the probabilities are meant for: those trained on, or those of the data. Default:
    AsTrained, or Natural with classWeights."""
    select_by: Literal["Auto", "Accuracy", "MacroF1", "MicroF1", "AveragePrecision", "LogLoss"] | None = None
    """What the best checkpoint is best at, on the validation rows; Auto is MacroF1, and AveragePrecision for Binary.
    Default: Auto."""
    calibrate: bool | None = None
    """Whether temperature and thresholds are fitted on the validation rows. Default: true."""
    state_every: DurationText | None = None
    """How often the state of training is saved: what a killed pod loses at most, e.g. 10m or 1h30m. Default: 10m."""
    negative_label: str | None = Field(default=None, min_length=1, max_length=256)
    """Name of Binary's other class, at most 256 characters. Default: not <label>."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.method) && self.method == 'HeadOnly' && has(self.epochs))",
                "method HeadOnly fits the head until it converges: leave epochs out, or write method: LoRA",
            )
        )
    )
