"""How one object names another in the same namespace."""

from pydantic import Field

from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.scalars import DataKey, ObjectName


class CheckpointReference(Model):
    """A checkpoint of a ClassifierTrainingJob in the same namespace; who names it waits until it exists."""

    training_job_name: ObjectName
    """Name of the ClassifierTrainingJob."""
    name: str = Field(
        default="best",
        max_length=64,
        json_schema_extra=rules(
            rule(
                "self.matches('^(best|last|epoch-[1-9][0-9]*)$')",
                "checkpoint.name must be best, last, or epoch-N, e.g. epoch-2",
            )
        ),
    )
    """Which checkpoint: best, last or epoch-N. Default: best."""


class ConfigMapKey(Model):
    """A file in a ConfigMap of the same namespace."""

    name: ObjectName
    """Name of the ConfigMap."""
    key: DataKey
    """Key that holds the file."""

    @property
    def uri(self) -> str:
        """The address by which the run configuration names this key."""
        return f"configmap://{self.name}/{self.key}"
