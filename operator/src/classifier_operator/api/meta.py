"""What the two kinds share with every object of Kubernetes."""

from typing import Literal

from pydantic import Field

from classifier_operator.api.base import Model
from classifier_operator.api.scalars import Time


class ObjectMeta(Model):
    """The part of metav1.ObjectMeta that the operator reads."""

    name: str
    namespace: str
    uid: str
    generation: int = 1
    resource_version: str = ""
    creation_timestamp: Time | None = None
    deletion_timestamp: Time | None = None
    labels: dict[str, str] = Field(default_factory=dict)
    annotations: dict[str, str] = Field(default_factory=dict)


class Condition(Model):
    """One aspect of the state of the object, as metav1.Condition."""

    type: str = Field(max_length=316)
    """Name of the condition, in CamelCase."""
    status: Literal["True", "False", "Unknown"]
    """Whether the condition holds."""
    reason: str = Field(min_length=1, max_length=1024, pattern=r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$")
    """Why the condition has this status, in one CamelCase word for programs."""
    message: str = Field(default="", max_length=32768)
    """Why the condition has this status, in a sentence for people."""
    last_transition_time: Time
    """When the status of the condition last changed."""
    observed_generation: int | None = Field(default=None, ge=0)
    """The metadata.generation that this condition was computed from."""
