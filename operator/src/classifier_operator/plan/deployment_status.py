"""The status of a deployment as a whole."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from classifier_operator.api import names
from classifier_operator.api.deployment import DeploymentPhase, DeploymentStatus, ModelStatus
from classifier_operator.api.sleep import NextTransition
from classifier_operator.plan import conditions
from classifier_operator.plan.conditions import Aspect
from classifier_operator.plan.types import DeploymentObserved

_REQUEST_STEP: Final = timedelta(minutes=1)
"""lastRequestTime is coarse: it is not worth a write a request."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a deployment stands, in the words of its status."""

    phase: DeploymentPhase
    message: str
    aspects: Sequence[Aspect]
    """Ready, Reconciling and Stalled."""


def url(observed: DeploymentObserved) -> str:
    """Where the model answers, inside the cluster."""
    metadata, port = observed.deployment.metadata, observed.deployment.spec.service.port
    return f"http://{names.service_name(metadata.name)}.{metadata.namespace}.svc" + ("" if port == 80 else f":{port}")


def deployment_status(
    observed: DeploymentObserved,
    standing: Standing,
    *,
    model: ModelStatus | None,
    wanted: int,
    extra: Sequence[Aspect] = (),
    upcoming: NextTransition | None = None,
    last_request: datetime | None = None,
) -> DeploymentStatus:
    """The status that says so; what was known before stays.

    Args:
        wanted: number of pods that there shall be.
        extra: conditions beside those of kstatus.
    """
    deployment, app, before = observed.deployment, observed.app, observed.deployment.status
    generation = deployment.metadata.generation
    ready = app.ready if app else 0
    labels = names.server_labels(deployment.metadata.name)
    took = observed.wake.took if observed.wake is not None else None
    return DeploymentStatus(
        observed_generation=generation,
        phase=standing.phase,
        message=standing.message,
        model=model,
        url=url(observed) if observed.service else None,
        ready=f"{ready}/{wanted}",
        replicas=app.replicas if app else 0,
        ready_replicas=ready,
        selector=",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        last_request_time=_coarse(last_request, before.last_request_time),
        next_transition=upcoming,
        wake_seconds=before.wake_seconds if took is None else round(took, 1),
        conditions=conditions.merged(
            before.conditions, [*standing.aspects, *extra], generation=generation, at=observed.now
        ),
    )


def _coarse(now: datetime | None, before: datetime | None) -> datetime | None:
    if now is None or (before is not None and now - before < _REQUEST_STEP):
        return before
    return now
