"""Where a run is written, and what of it is kept."""

from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, StringConstraints

from classifier_operator.api.addresses import OutputAddress
from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.scalars import ObjectName, Quantity

AccessMode = Literal["ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"]

DEFAULT_CLAIM_SIZE: Final = "10Gi"


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
    """Where the run is written; at most one of claim and uri."""

    claim: OutputClaim | None = None
    """The claim that holds the run. Default: the operator makes <job>-output with 10Gi. Immutable."""
    uri: OutputAddress | None = None
    """Where the run is written on an object store, s3://bucket/prefix, instead of a claim. Immutable."""
    secret_name: ObjectName | None = None
    """With uri: Secret whose keys become environment variables of the trainer, e.g. AWS_ACCESS_KEY_ID,
    AWS_SECRET_ACCESS_KEY and AWS_ENDPOINT_URL. Default: none. Immutable."""
    if_exists: Literal["Reuse", "Fail"] | None = None
    """What to do where the output holds a finished run of the same configuration: take it over, or fail. Another
    configuration always fails. Default: Reuse. Immutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule("!(has(self.claim) && has(self.uri))", "output needs claim or uri, not both"),
            rule(
                "!has(self.secretName) || has(self.uri)",
                "output.secretName opens output.uri: write output.uri, or leave secretName out",
            ),
        )
    )


class Checkpoints(Model):
    """Which checkpoints are kept, and how they are written."""

    keep: Literal["All", "Best", "Last"] | None = None
    """Which checkpoints are kept; the best one is in model/ whatever is kept. Default: All. Immutable."""
    format: Literal["Auto", "Adapter", "Merged"] | None = None
    """How checkpoints are written; Auto is an adapter where the method is LoRA, and Merged else. model/ is always
    merged. Default: Auto. Immutable."""


class Report(Model):
    """What report.html shows."""

    rows: bool | None = None
    """Whether report.html shows texts of rows. Default: true. Immutable."""
