"""Decisions about a deployment: one pure function from what is observed to what is done and said."""

from typing import Final

from classifier_operator.api import names
from classifier_operator.api.deployment import DeploymentStatus, ModelStatus
from classifier_operator.plan import conditions
from classifier_operator.plan.checkpoint import grace_left
from classifier_operator.plan.conditions import Aspect
from classifier_operator.plan.sentences import why_ended, why_waiting
from classifier_operator.plan.served_model import Resolved, resolve
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyService,
    AppView,
    DeploymentAction,
    DeploymentObserved,
    DeploymentPlan,
    PodView,
    ProbeService,
    Problem,
    ScaleToZero,
)
from classifier_operator.wire.progress import USER_ERROR_EXIT_CODE

PROBE_AGAIN_SECONDS: Final = 1.0
PROBLEM_SECONDS: Final = 30.0
_KEPT: Final = "; the pods of before keep serving"


def plan_deployment(observed: DeploymentObserved) -> DeploymentPlan:
    """Decides about a deployment."""
    deployment = observed.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan(deployment.status)  # its children go with it, by their owner references
    if observed.problem is not None:
        return _with_problem(observed, observed.problem, deployment.status.model)
    found = resolve(observed)
    if isinstance(found, Problem):
        return _without_model(observed, found)
    wanted = 0 if deployment.spec.suspend else deployment.spec.replicas
    actions: list[DeploymentAction] = [
        ApplyService(),  # first: without it the pods would be of no use
        ApplyDeployment(wanted, found.uri, found.status.checkpoint, found.base_model_uri),
    ]
    if wanted == 0:
        return DeploymentPlan(_asleep(observed, found), tuple(actions))
    return _awake(observed, found, wanted, actions)


def _with_problem(observed: DeploymentObserved, problem: Problem, model: ModelStatus | None) -> DeploymentPlan:
    aspects = (conditions.stalled if problem.stalled else conditions.reconciling)(problem.reason, problem.message)
    phase = "Failed" if problem.stalled else "Pending"
    return DeploymentPlan(
        _status(observed, phase, problem.message, aspects, model),
        again_after=PROBLEM_SECONDS if problem.stalled else None,
    )


def _without_model(observed: DeploymentObserved, problem: Problem) -> DeploymentPlan:
    """No checkpoint: nothing is made. What runs from before keeps running, unless it is to be off."""
    plan = _with_problem(observed, problem, observed.deployment.status.model)
    again = None
    if observed.training_job is None and not problem.stalled:
        again = max(1.0, grace_left(observed.deployment.metadata.creation_timestamp, observed.now))
    actions: tuple[DeploymentAction, ...] = ()
    if observed.deployment.spec.suspend:
        if observed.app is not None and observed.app.wanted > 0:
            actions = (ScaleToZero(observed.app.uid),)
        text = f"suspended; {problem.message}"
        status = _status(
            observed, "Suspended", text, conditions.ready("Suspended", text), observed.deployment.status.model
        )
        return DeploymentPlan(status, actions, again)
    return DeploymentPlan(plan.status, actions, again)


def _asleep(observed: DeploymentObserved, found: Resolved) -> DeploymentStatus:
    left = observed.app.replicas if observed.app else 0
    reason = "Suspended" if observed.deployment.spec.suspend else "ScaledToZero"
    text = "suspended, without pods" if reason == "Suspended" else "replicas is 0: write 1 or more to serve"
    if left:
        text = f"{'suspending' if reason == 'Suspended' else 'scaling to 0'}: {left} pods finish what they have"
    aspects = conditions.reconciling(reason, text) if left else conditions.ready(reason, text)
    return _status(observed, "Suspended", text, aspects, found.status)


def _awake(
    observed: DeploymentObserved, found: Resolved, wanted: int, actions: list[DeploymentAction]
) -> DeploymentPlan:
    app = observed.app
    before = observed.deployment.status
    if app is not None and _rolled_out(app, wanted):
        if observed.ready_endpoints > 0:
            if observed.answers is None:
                actions.append(ProbeService())
            settled = (
                before.phase == "Deployed" and before.observed_generation == observed.deployment.metadata.generation
            )
            if observed.answers or (observed.answers is None and settled):
                text = f"{found.status.display} answers at {url(observed)}"
                return DeploymentPlan(
                    _status(observed, "Deployed", text, conditions.ready("Deployed", text), found.status),
                    tuple(actions),
                )
            if observed.answers is False:
                actions.append(ProbeService())
        text = "the pods are ready; waiting for the Service to answer"
        status = _status(observed, "Deploying", text, conditions.reconciling("WaitingForService", text), found.status)
        return DeploymentPlan(status, tuple(actions), again_after=PROBE_AGAIN_SECONDS)
    failure = _failure(observed, app)
    if failure is not None:
        text = failure.message + (_KEPT if observed.ready_endpoints > 0 else "")
        aspects = conditions.stalled(failure.reason, text)
        return DeploymentPlan(_status(observed, "Failed", text, aspects, found.status), tuple(actions))
    reason, text = _why_not_yet(observed, app, wanted)
    status = _status(observed, "Deploying", text, conditions.reconciling(reason, text), found.status)
    return DeploymentPlan(status, tuple(actions))


def _rolled_out(app: AppView, wanted: int) -> bool:
    return (
        app.observed_generation >= app.generation
        and app.wanted == wanted
        and app.updated == app.replicas == wanted
        and app.ready >= wanted
    )


def _newest_pods(observed: DeploymentObserved) -> list[PodView]:
    """The pods of the newest template: what they suffer from tells how the rollout goes."""
    if not observed.pods:
        return []
    newest = observed.pods[-1].generation
    return [pod for pod in observed.pods if pod.generation == newest and not pod.deleting]


def _failure(observed: DeploymentObserved, app: AppView | None) -> Problem | None:
    for pod in reversed(_newest_pods(observed)):
        if pod.ready:
            continue
        if pod.exit_code == USER_ERROR_EXIT_CODE:
            return Problem("InvalidModel", why_ended(pod, "server").partition(": ")[2] or _unsaid(observed))
        if pod.waiting_reason == "CrashLoopBackOff":
            text = f"{why_ended(pod, 'server')}; see kubectl logs deployment/{observed.deployment.metadata.name}"
            return Problem("CrashLoopBackOff", text)
    if app is not None and app.late is not None:
        blocked = next(filter(None, (why_waiting(pod) for pod in reversed(_newest_pods(observed)))), None)
        limit = observed.deployment.spec.startup_timeout
        text = f"no pod became ready within startupTimeout ({int(limit.total_seconds())} s)"
        return Problem("StartupTimeout", f"{text}: {blocked[1]}" if blocked else text)
    return None


def _unsaid(observed: DeploymentObserved) -> str:
    name = observed.deployment.metadata.name
    return f"the server refused the model or its configuration without saying why: see kubectl logs deployment/{name}"


def _why_not_yet(observed: DeploymentObserved, app: AppView | None, wanted: int) -> tuple[str, str]:
    for pod in reversed(_newest_pods(observed)):
        blocked = None if pod.ready else why_waiting(pod)
        if blocked:
            return blocked
        if not pod.ready and pod.exit_code is not None:
            return "Restarting", f"{why_ended(pod, 'server')}; it is started again"
    ready = app.ready if app else 0
    if ready and app is not None and app.updated < wanted:
        return "RollingOut", f"{app.updated} of {wanted} pods are replaced"
    return "PodsStarting", f"{ready} of {wanted} pods are ready"


def url(observed: DeploymentObserved) -> str:
    """Where the model answers, inside the cluster."""
    metadata, port = observed.deployment.metadata, observed.deployment.spec.service.port
    return f"http://{names.service_name(metadata.name)}.{metadata.namespace}.svc" + ("" if port == 80 else f":{port}")


def _status(
    observed: DeploymentObserved, phase: str, message: str, aspects: list[Aspect], model: ModelStatus | None
) -> DeploymentStatus:
    deployment, app = observed.deployment, observed.app
    generation = deployment.metadata.generation
    wanted = 0 if deployment.spec.suspend else deployment.spec.replicas
    ready = app.ready if app else 0
    labels = names.server_labels(deployment.metadata.name)
    return DeploymentStatus(
        observed_generation=generation,
        phase=phase,
        message=message,
        model=model,
        url=url(observed) if observed.service else None,
        ready=f"{ready}/{wanted}",
        replicas=app.replicas if app else 0,
        ready_replicas=ready,
        selector=",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        conditions=conditions.merged(deployment.status.conditions, aspects, generation=generation, at=observed.now),
    )
