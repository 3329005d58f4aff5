"""Where rows come from, and what happens to them before training."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from classifier_trainer.config.part import Part

DataFormat = Literal["Auto", "JSONL", "JSON", "CSV", "Parquet"]
Name = Annotated[str, Field(min_length=1, max_length=256)]

_URI = "pvc://claim/path, file:///path, s3://bucket/key, https://host/path or hf://datasets/org/name[@revision][/glob]"


class ConfigMapKey(Part):
    name: str = Field(min_length=1, description="of the ConfigMap")
    key: str = Field(min_length=1, description="in its data")

    @property
    def uri(self) -> str:
        """The key of `mounts` for it."""
        return f"configmap://{self.name}/{self.key}"


class Columns(Part):
    """How the columns are called in data that does not call them prompt and completion."""

    prompt: Name | None = Field(default=None, description="column of the texts; default prompt, else input or text")
    completion: Name | None = Field(
        default=None, description="column of the labels; default completion, else expected_output or label"
    )
    labels: Annotated[list[Name], Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="a column a label, each 0 or 1; instead of completion"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if self.completion is not None and self.labels is not None:
            raise ValueError("write completion, or labels (a column a label), not both")
        return self


class Hub(Part):
    """Which part of a data set of the hub; only with hf://datasets."""

    config: Name | None = Field(default=None, description="configuration of the data set; default its first")
    split: Name | None = Field(default=None, description="split of it; default train, or test for the testDataset")


class Source(Part):
    """A file of rows."""

    uri: str | None = Field(default=None, min_length=1, description=_URI)
    config_map: ConfigMapKey | None = Field(default=None, description="a key of a ConfigMap that holds the rows")
    secret_name: str | None = Field(
        default=None, min_length=1, description="its keys are the pod's environment (AWS_*, HF_TOKEN); unused here"
    )
    format: DataFormat = Field(default="Auto", description="Auto tells by the name's ending, else by the content")
    columns: Columns | None = None
    hub: Hub | None = None

    @property
    def address(self) -> str | None:
        """The URI under which it is resolved and shown; None where the rows come from elsewhere."""
        return self.config_map.uri if self.config_map is not None else self.uri


class TrainDataset(Source):
    limit: int | None = Field(
        default=None, ge=1, description="only this many rows, drawn by class with the seed: for a small first run"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.uri is None) == (self.config_map is None):
            raise ValueError("write exactly one of uri and configMap")
        return self


class TestDataset(Source):
    __test__ = False  # not a test class for pytest

    split: float | None = Field(default=None, gt=0, lt=1, description="share of the train set, stratified and seeded")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(part is not None for part in (self.split, self.uri, self.config_map)) != 1:
            raise ValueError("write exactly one of split, uri and configMap")
        return self


class Validation(Part):
    """Rows that decide the best checkpoint, early stopping, temperature and thresholds."""

    split: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        description="share of the train set, stratified and seeded, 0 for none; "
        "default 10 %, at least 100 and at most 5000 rows, none below 500 rows",
    )


class Rebalance(Part):
    """How often each label stands in the train set; rows are removed at random or repeated."""

    shares: dict[Name, Annotated[float, Field(ge=0, le=1)]] | None = Field(
        default=None, description="share of each label, 1 in all; the number of rows stays"
    )
    counts: dict[Name, Annotated[int, Field(ge=0, le=100_000_000)]] | None = Field(
        default=None, description="rows of each label"
    )

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.shares is None) == (self.counts is None):
            raise ValueError("write exactly one of shares and counts")
        if self.shares is not None and abs(sum(self.shares.values()) - 1) > 1e-6:
            raise ValueError(f"the shares add up to {sum(self.shares.values()):g}: they must add up to 1")
        return self
