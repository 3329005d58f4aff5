"""One write of the status per change: transitions at once, progress at its pace."""

from datetime import datetime, timedelta
from typing import Any, Final

from classifier_operator.api.deployment import DeploymentStatus
from classifier_operator.api.training_status import TrainingJobStatus

Json = dict[str, Any]

_CHATTER: Final = frozenset({"message", "progress", "dataset"})
"""Fields that change all the time while a job trains."""


def merge_patch(before: Json, after: Json) -> Json:
    """The JSON merge patch (RFC 7386) from one object to another; empty if they are equal. Lists are replaced."""
    patch: Json = {name: None for name in before if name not in after}
    for name, value in after.items():
        if name not in before:
            patch[name] = value
        elif isinstance(value, dict) and isinstance(before[name], dict):
            if inner := merge_patch(before[name], value):
                patch[name] = inner
        elif before[name] != value:
            patch[name] = value
    return patch


def status_patch(before: Json, after: TrainingJobStatus | DeploymentStatus) -> Json:
    """What is to be written; fields that this version does not know are left alone."""
    wanted = after.to_json_object()
    known = {field.alias or name for name, field in type(after).model_fields.items()}
    return merge_patch({name: value for name, value in before.items() if name in known}, wanted)


def is_chatter(patch: Json, before: Json) -> bool:
    """Whether a patch holds nothing but the figures of a training that goes on.

    Messages of conditions are chatter too; that a condition flips is not.
    """
    if not set(patch) <= _CHATTER | {"conditions"}:
        return False
    if "conditions" not in patch:
        return True
    return _flips(patch["conditions"]) == _flips(before.get("conditions") or [])


def _flips(conditions: list[Json]) -> dict[str, tuple[str, str]]:
    return {each["type"]: (each["status"], each["reason"]) for each in conditions}


def wait_seconds(status: TrainingJobStatus, now: datetime, *, pause: float, written: datetime | None) -> float:
    """Seconds until the progress may be written again: `pause` after it was written last."""
    last = written or (status.progress.update_time if status.progress else None)
    if last is None:
        return 0.0
    return max(0.0, (last + timedelta(seconds=pause) - now).total_seconds())
