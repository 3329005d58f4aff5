"""Hyperparameters of training. Their defaults live in the trainer alone; here they are only told."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from classifier_operator.api.base import Model, rule, rules

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


class Hyperparameters(Model):
    """How the model is trained; every field has a good default."""

    method: Literal["LoRA", "HeadOnly"] | None = None
    """LoRA trains adapters and the head; HeadOnly trains the head on the frozen base model. Default: LoRA."""
    epochs: int | None = Field(default=None, ge=1, le=1000)
    """Passes over the training data, 1 to 1000; not with method HeadOnly. Default: 3."""
    learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Learning rate of the adapters. Default: by the width of the base model, 5e-4 at 576 and 2e-4 at 2560."""
    head_learning_rate: float | None = Field(default=None, gt=0, le=1)
    """Learning rate of the head. Default: twice the learning rate of the adapters."""
    batch_size: int | None = Field(default=None, ge=1, le=4096)
    """Rows in one update. How they are cut into micro-batches is the trainer's business. Default: 16."""
    max_length: int | None = Field(default=None, ge=8, le=131072)
    """Tokens of a text, after which it is cut, 8 to 131072. Default: 1024 or what the base model bears."""
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

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.method) && self.method == 'HeadOnly' && has(self.epochs))",
                "method HeadOnly fits the head until it converges: leave epochs out, or write method: LoRA",
            )
        )
    )
