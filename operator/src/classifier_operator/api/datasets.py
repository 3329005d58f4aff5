"""Where rows come from, and what happens to them before training."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from classifier_operator.api.addresses import DatasetAddress
from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.references import ConfigMapKey
from classifier_operator.api.scalars import ObjectName

Name = Annotated[str, StringConstraints(min_length=1, max_length=256)]
DataFormat = Literal["Auto", "JSONL", "JSON", "CSV", "Parquet"]

MAX_LABELS = 1000


def _only_hub(field: str) -> dict[str, str]:
    return rule(
        "!has(self.hub) || (has(self.uri) && self.uri.startsWith('hf://datasets/'))",
        f"{field}.hub chooses a part of a data set of the hub: leave it out, or write uri: hf://datasets/org/name",
    )


class Columns(Model):
    """How the columns are called in data that does not call them prompt and completion."""

    prompt: Name | None = None
    """Column of the texts. Default: prompt, else input or text. Immutable."""
    completion: Name | None = None
    """Column of the labels. Default: completion, else expected_output or label. Immutable."""
    labels: list[Name] | None = Field(default=None, min_length=1, max_length=MAX_LABELS)
    """Columns of which each is a label, 0 or 1 in each row, instead of completion; at most 1000. Default: none.
    Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "!(has(self.completion) && has(self.labels))",
                "columns needs completion, or labels (a column a label), not both",
            )
        )
    )


class Hub(Model):
    """Which part of a data set of the hub."""

    config: Name | None = None
    """Configuration of the data set. Default: its first. Immutable."""
    split: Name | None = None
    """Split of the data set. Default: train, or test for the testDataset. Immutable."""


class Source(Model):
    """A file of rows."""

    uri: DatasetAddress | None = None
    """Where the rows are: pvc://claim/path, s3://bucket/key, hf://datasets/org/name[@revision][/glob],
    https://host/path, or file:///path in the image. Immutable."""
    config_map: ConfigMapKey | None = None
    """A ConfigMap of the same namespace that holds the rows. Immutable."""
    secret_name: ObjectName | None = None
    """Secret whose keys become environment variables of the trainer, e.g. AWS_ACCESS_KEY_ID or HF_TOKEN. Default: none.
    Immutable."""
    format: DataFormat | None = None
    """How the rows are written; Auto tells by the name's ending, else by the content. Default: Auto. Immutable."""
    columns: Columns | None = None
    """How the columns are called. Default: prompt and completion. Immutable."""
    hub: Hub | None = None
    """Which part of a data set of the hub; only with hf://datasets. Default: its first configuration. Immutable."""


class TrainDataset(Source):
    """The rows to train on; exactly one of uri and configMap."""

    limit: int | None = Field(default=None, ge=1)
    """Rows to take, drawn by class with the seed: for a small first run. Default: all. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.uri) != has(self.configMap)", "trainDataset needs exactly one of uri and configMap"),
            _only_hub("trainDataset"),
        )
    )


class TestDataset(Source):
    """The rows that every checkpoint is tested on; exactly one of split, uri and configMap."""

    __test__ = False  # not a test class for pytest

    split: float | None = Field(default=None, gt=0, lt=1)
    """Share of the train set that is set aside for testing, stratified and seeded, above 0 and below 1. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "[has(self.split), has(self.uri), has(self.configMap)].filter(x, x).size() == 1",
                "testDataset needs exactly one of split, uri and configMap",
            ),
            _only_hub("testDataset"),
        )
    )


class Validation(Model):
    """The rows that decide the best checkpoint, early stopping, temperature and thresholds; never the test set."""

    split: float | None = Field(default=None, ge=0, lt=1)
    """Share of the train set, stratified and seeded; 0 for none. Default: 10 %, at least 100 and at most 5000 rows, and
    none below 500 rows. Immutable."""


class Rebalance(Model):
    """How often each label stands in the train set; rows are removed at random or repeated. Exactly one of shares and
    counts; the labels of Binary are called positive and negative."""

    shares: dict[str, Annotated[float, Field(ge=0, le=1)]] | None = Field(default=None, max_length=MAX_LABELS)
    """Share of each label, 1 in all; the number of rows stays. Immutable."""
    counts: dict[str, Annotated[int, Field(ge=0, le=100_000_000)]] | None = Field(default=None, max_length=MAX_LABELS)
    """Rows of each label, at most 100000000. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("has(self.shares) != has(self.counts)", "rebalance needs exactly one of shares and counts"),
            rule(
                "!has(self.shares) || (self.shares.map(x, self.shares[x]).sum() > 0.999999"
                " && self.shares.map(x, self.shares[x]).sum() < 1.000001)",
                "rebalance.shares must add up to 1; for a number of rows a label write rebalance.counts",
            ),
        )
    )
