"""Conditions of a status: metav1.Condition, read by kubectl wait, Flux, Helm and Argo CD (kstatus)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from classifier_operator.api.meta import Condition


@dataclass(frozen=True, slots=True)
class Aspect:
    """A condition before it has a time."""

    type: str
    holds: bool
    reason: str
    message: str = ""


def merged(
    before: Sequence[Condition] | None, now: Sequence[Aspect], *, generation: int, at: datetime
) -> list[Condition]:
    """The conditions `now`, in their order; the time of transition stays where the status does."""
    known = {condition.type: condition for condition in before or ()}
    result = []
    for aspect in now:
        status = "True" if aspect.holds else "False"
        old = known.get(aspect.type)
        result.append(
            Condition(
                type=aspect.type,
                status=status,
                reason=aspect.reason,
                message=aspect.message,
                last_transition_time=old.last_transition_time if old and old.status == status else at,
                observed_generation=generation,
            )
        )
    return result


def holds(conditions: Sequence[Condition] | None, kind: str) -> bool:
    """Whether the condition is there and True."""
    return any(condition.type == kind and condition.status == "True" for condition in conditions or ())


def reason(conditions: Sequence[Condition] | None, kind: str) -> str | None:
    """The reason of a condition, if it is there."""
    return next((condition.reason for condition in conditions or () if condition.type == kind), None)


def ready(why: str, message: str = "") -> list[Aspect]:
    """As kstatus reads it: Current."""
    return [Aspect("Ready", True, why, message), Aspect("Reconciling", False, why), Aspect("Stalled", False, why)]


def reconciling(why: str, message: str = "") -> list[Aspect]:
    """As kstatus reads it: InProgress."""
    return [
        Aspect("Ready", False, why, message),
        Aspect("Reconciling", True, why, message),
        Aspect("Stalled", False, why),
    ]


def stalled(why: str, message: str = "") -> list[Aspect]:
    """As kstatus reads it: Failed."""
    return [
        Aspect("Ready", False, why, message),
        Aspect("Reconciling", False, why),
        Aspect("Stalled", True, why, message),
    ]
