"""How far the pods of a deployment are: ready, on their way, late, or failing, and why."""

from typing import Final

from classifier_operator.plan.sentences import why_ended, why_waiting
from classifier_operator.plan.types import AppView, DeploymentObserved, PodView, Problem
from classifier_operator.wire.progress import USER_ERROR_EXIT_CODE

STARTUP_TIMEOUT: Final = "StartupTimeout"
_LATE_SLACK_SECONDS: Final = 15.0
"""The startup probe ends first, so that the container's own words are there when the time is over."""


def is_rolled_out(app: AppView, wanted: int) -> bool:
    """Whether all pods are there, new and ready."""
    return (
        app.observed_generation >= app.generation
        and app.wanted == wanted
        and app.updated == app.replicas == wanted
        and app.ready >= wanted
    )


def is_rolling(app: AppView) -> bool:
    """Whether pods of an older template are being replaced."""
    return app.observed_generation < app.generation or app.updated < app.replicas


def is_late(observed: DeploymentObserved) -> bool:
    """Whether no pod became ready within startupTimeout.

    The Deployment's own deadline does not count while it is scaled up from 0: the age of the pods does.
    """
    app = observed.app
    if app is None or app.wanted == 0:
        return False
    if app.late is not None:
        return True
    limit = observed.deployment.spec.startup_timeout.total_seconds() + _LATE_SLACK_SECONDS
    ages = [(observed.now - pod.created).total_seconds() for pod in newest_pods(observed)]
    return app.ready == 0 and bool(ages) and max(ages) >= limit


def newest_pods(observed: DeploymentObserved) -> list[PodView]:
    """The pods of the newest template: what they suffer from tells how the rollout goes."""
    if not observed.pods:
        return []
    newest = observed.pods[-1].generation
    return [pod for pod in observed.pods if pod.generation == newest and not pod.deleting]


def failure(observed: DeploymentObserved) -> Problem | None:
    """What keeps the pods from becoming ready, if it is more than time."""
    for pod in reversed(newest_pods(observed)):
        if pod.ready:
            continue
        if pod.exit_code == USER_ERROR_EXIT_CODE:
            return Problem("InvalidModel", why_ended(pod, "server").partition(": ")[2] or _unsaid(observed))
        if pod.waiting_reason == "CrashLoopBackOff" and not is_late(observed):
            text = f"{why_ended(pod, 'server')}; see kubectl logs deployment/{observed.deployment.metadata.name}"
            return Problem("CrashLoopBackOff", text)
    if not is_late(observed):
        return None
    blocked = next(filter(None, (_blocked(pod) for pod in reversed(newest_pods(observed)))), None)
    limit = observed.deployment.spec.startup_timeout
    text = f"no pod became ready within startupTimeout ({int(limit.total_seconds())} s)"
    return Problem(STARTUP_TIMEOUT, f"{text}: {blocked}" if blocked else text)


def _blocked(pod: PodView) -> str | None:
    if pod.exit_code is not None:
        return why_ended(pod, "server")
    waiting = why_waiting(pod)
    return waiting[1] if waiting is not None else None


def _unsaid(observed: DeploymentObserved) -> str:
    name = observed.deployment.metadata.name
    return f"the server refused the model or its configuration without saying why: see kubectl logs deployment/{name}"


def why_not_yet(observed: DeploymentObserved, wanted: int) -> tuple[str, str]:
    """Reason and sentence of pods that are on their way."""
    app = observed.app
    for pod in reversed(newest_pods(observed)):
        blocked = None if pod.ready else why_waiting(pod)
        if blocked:
            return blocked
        if not pod.ready and pod.exit_code is not None:
            return "Restarting", f"{why_ended(pod, 'server')}; it is started again"
    ready = app.ready if app else 0
    if ready and app is not None and app.updated < wanted:
        return "RollingOut", f"{app.updated} of {wanted} pods are replaced"
    return "PodsStarting", f"{ready} of {wanted} pods are ready"
