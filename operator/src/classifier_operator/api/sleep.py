"""How a deployment sleeps and wakes, and how many pods it has while it is awake."""

from datetime import timedelta
from typing import Annotated, Final

from pydantic import ConfigDict, Field

from classifier_operator.api.base import Model, rule, rules
from classifier_operator.api.scalars import Duration, ObjectName, Time

DEFAULT_HOLD_TIMEOUT: Final = timedelta(minutes=5)
DEFAULT_MAX_HELD: Final = 1000
DEFAULT_TARGET_IN_FLIGHT: Final = 16


class Wake(Model):
    """What becomes of a request that comes while there is no pod that is ready."""

    on_request: bool = True
    """Whether a request wakes a deployment that sleeps because it was idle; if not, it gets 503. Default: true.
    Mutable."""
    hold_timeout: Duration = Field(
        default=DEFAULT_HOLD_TIMEOUT,
        json_schema_extra=rules(
            rule(
                "duration(self) >= duration('1s') && duration(self) <= duration('1h')",
                "wake.holdTimeout must be between 1s and 1h, e.g. 5m",
            )
        ),
    )
    """How long a request is held until a pod is ready, 1s to 1h; after it the request gets 503 with Retry-After.
    Default: 5m. Mutable."""
    max_held: int = Field(default=DEFAULT_MAX_HELD, ge=1, le=100_000)
    """Requests that are held at a time by each replica of the gateway; more get 503 with Retry-After. Default: 1000.
    Mutable."""


class Autoscaling(Model):
    """How many pods there are while the deployment is awake, by the requests in flight: up at once, down after a minute
    of less."""

    min_replicas: int = Field(default=1, ge=1, le=1000, json_schema_extra={"format": "int32"})
    """Least number of pods while awake, 1 to 1000. Default: 1. Mutable."""
    max_replicas: int = Field(ge=1, le=1000, json_schema_extra={"format": "int32"})
    """Largest number of pods, 1 to 1000. Required. Mutable."""
    target_in_flight: int = Field(default=DEFAULT_TARGET_IN_FLIGHT, ge=1, le=10_000)
    """Requests in flight that one pod is meant for. Default: 16. Mutable."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            rule(
                "(has(self.minReplicas) ? self.minReplicas : 1) <= self.maxReplicas",
                "autoscaling.minReplicas must not be larger than autoscaling.maxReplicas",
            )
        )
    )


class Auth(Model):
    """Who may ask."""

    api_key_secret_name: ObjectName
    """Secret of the same namespace; every value in it is a key, sent as X-API-Key or as Authorization: Bearer. Without
    the Secret, or with an empty one, nobody may ask. A change of it is in force within a minute asleep,
    within two awake. Required. Mutable."""


class ModelRequirement(Model):
    """What the test results of a checkpoint must hold before it is served."""

    metric: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z_][A-Za-z0-9_.:-]*$")] = Field(
        json_schema_extra=rules(
            rule(
                "!(self in ['logLoss', 'brier', 'expectedCalibrationError', 'loss'])",
                "model.require.metric must be a metric of which more is better, e.g. macroF1 or accuracy",
            )
        )
    )
    """Name of a test result as in the training job's status.checkpoints, of which more is better, e.g. macroF1.
    Required. Mutable."""
    at_least: Annotated[float, Field(ge=-1_000_000, le=1_000_000)] | None = None
    """The least value, e.g. 0.9. Default: none. Mutable."""


class NextTransition(Model):
    """The next change that is known."""

    display: str = Field(max_length=64)
    """The change, for people, e.g. Sleeping 20:00 CET."""
    time: Time
    """When."""
    to: Annotated[str, Field(max_length=32)]
    """Deployed or Sleeping."""
    why: Annotated[str, Field(max_length=32)]
    """schedule or idle."""
