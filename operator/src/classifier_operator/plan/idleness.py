"""Whether a deployment is in use: by what its pods and the gateway say in seconds since, so that clocks may differ."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from classifier_operator.api import names
from classifier_operator.plan.awake import ScheduleNow
from classifier_operator.plan.rollout import is_late, is_rolling
from classifier_operator.plan.types import DeploymentObserved, PodStats
from classifier_operator.wire.wake import RENEW_SECONDS

ASKED_SECONDS: Final = 5 * RENEW_SECONDS
"""A gateway that holds a request says so again and again; after so long a silence it holds none."""
_AHEAD_SECONDS: Final = 60.0
_FAILED_SLACK_SECONDS: Final = 2.0
"""A gateway may ask once more before it hears that the wake failed; times in a status are whole seconds."""


@dataclass(frozen=True, slots=True)
class Idleness:
    """What is known of the use of a deployment."""

    active: bool
    why: str
    """In a few words, for the message."""
    unknown: bool = False
    """Whether it counts as active only because a pod does not say."""
    left: float | None = None
    """Seconds until it may be idle at the earliest; None: that is not known yet."""
    last_request: datetime | None = None


def idleness(observed: DeploymentObserved, schedule: ScheduleNow | None, failed_at: datetime | None) -> Idleness:
    """Whether the deployment is active, as control of sleep means it.

    It is while something is asked for, in flight, waking or unknown, and until inactivityTimeout has passed since the
    latest of: the last answer, becoming ready, the start of the window, the end of a suspension, a change of the model.
    """
    timeout = observed.deployment.spec.inactivity_timeout
    if timeout is None:
        return Idleness(True, "it never sleeps for idleness")
    app, status = observed.app, observed.deployment.status
    if app is None:
        return Idleness(True, "it starts for the first time")
    if status.phase == "Suspended" and status.observed_generation != observed.deployment.metadata.generation:
        return Idleness(True, "its suspension has ended")
    if _is_asked_for(observed, failed_at):
        return Idleness(True, "a request is held", left=ASKED_SECONDS)
    known = [each for each in observed.stats if each is not None]
    last_request = _last_request(observed, known)
    slept = _seconds_since_requested(observed, names.SLEEP_ANNOTATION)
    woken = _seconds_since_requested(observed, names.WAKE_ANNOTATION)
    since = [] if woken is None else [woken]
    if schedule is not None and schedule.started is not None:
        since.append((observed.now - schedule.started).total_seconds())
    if app.wanted > 0 and failed_at is None:
        if not observed.stats and not is_late(observed):
            return Idleness(True, "its pods start", last_request=last_request)
        if is_rolling(app) and app.late is None:
            return Idleness(True, "its pods are replaced", last_request=last_request)
    if len(known) < len(observed.stats):
        return Idleness(True, "a pod does not say what it does", unknown=True, last_request=last_request)
    in_flight = sum(each.in_flight for each in known)
    if in_flight:
        return Idleness(True, f"{in_flight} requests are in flight", last_request=last_request)
    asked = observed.wake.since_asked if observed.wake is not None else None
    requests = [seconds for each in known if (seconds := each.since_completion) is not None]
    requests += [] if asked is None else [asked]
    since += requests + [each.since_ready for each in known]
    if slept is not None and all(each > slept for each in since):
        return Idleness(False, "it was asked to sleep", last_request=last_request)
    if failed_at is not None:  # what was before led to pods that did not become ready
        since = [each for each in since if each < (observed.now - failed_at).total_seconds()]
    left = timeout.total_seconds() - min(since, default=float("inf"))
    if left > 0:
        return Idleness(True, "it was used a while ago", left=left, last_request=last_request)
    return Idleness(False, f"nothing was asked for {_words(timeout)}", last_request=last_request)


def _is_asked_for(observed: DeploymentObserved, failed_at: datetime | None) -> bool:
    asked = observed.wake.since_asked if observed.wake is not None else None
    if asked is None or asked >= ASKED_SECONDS:
        return False
    if failed_at is None:
        return True
    return asked < (observed.now - failed_at).total_seconds() - _FAILED_SLACK_SECONDS


def _last_request(observed: DeploymentObserved, known: list[PodStats]) -> datetime | None:
    completions = [each.since_completion for each in known if each.since_completion is not None]
    latest = observed.now - timedelta(seconds=min(completions)) if completions else None
    before = observed.deployment.status.last_request_time
    return max((each for each in (latest, before) if each is not None), default=None)


def _seconds_since_requested(observed: DeploymentObserved, annotation: str) -> float | None:
    """Seconds since a person asked for it by an annotation; a clock may be a little ahead, but no wish is for later."""
    text = (observed.deployment.metadata.annotations or {}).get(annotation)
    if text is None:
        return None
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        return None
    since = (observed.now - when).total_seconds()
    return max(0.0, since) if since >= -_AHEAD_SECONDS else None


def _words(span: timedelta) -> str:
    seconds = int(span.total_seconds())
    for size, word in ((3600, "hour"), (60, "minute")):
        if seconds >= size and seconds % size == 0:
            count = seconds // size
            return f"{count} {word}" + ("s" if count > 1 else "")
    return f"{seconds} seconds"
