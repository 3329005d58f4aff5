"""Decisions about a deployment: one pure function from what is observed to what is done and said."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from classifier_operator.api.deployment import ModelStatus
from classifier_operator.errors import SpecError
from classifier_operator.plan import conditions, schedule
from classifier_operator.plan.awake import Facts, ScheduleNow, decide
from classifier_operator.plan.checkpoint import grace_left
from classifier_operator.plan.conditions import Aspect
from classifier_operator.plan.deployment_status import Standing, deployment_status, url
from classifier_operator.plan.gateway import gateway_actions, gateway_leads, gateway_order
from classifier_operator.plan.idleness import idleness
from classifier_operator.plan.next_transition import next_transition
from classifier_operator.plan.replicas import wanted_replicas
from classifier_operator.plan.rollout import STARTUP_TIMEOUT, failure, is_late, is_rolled_out, why_not_yet
from classifier_operator.plan.served_model import Resolved, resolve, served_before
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyDisruptionBudget,
    ApplyService,
    AskPods,
    DeleteDisruptionBudget,
    DeploymentAction,
    DeploymentObserved,
    DeploymentPlan,
    ProbeService,
    Problem,
    ScaleToZero,
)

PROBE_AGAIN_SECONDS: Final = 1.0
PROBLEM_SECONDS: Final = 30.0
LONGEST_WAIT_SECONDS: Final = 600.0
"""A clock may be set, and a machine may sleep: nothing is waited for longer without another look."""
KEYS_AGAIN_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.1
_UNKNOWN_AGAIN_SECONDS: Final = 5.0
_SCALE_DOWN_AGAIN_SECONDS: Final = 10.0
_FRESH_SECONDS: Final = 1.0
"""Age of what pods said, at which it still counts as a last look before they go."""
_KEPT: Final = "; the pods of before keep serving"


def plan_deployment(observed: DeploymentObserved) -> DeploymentPlan:
    """Decides about a deployment."""
    deployment = observed.deployment
    if deployment.metadata.deletion_timestamp is not None:
        return DeploymentPlan(deployment.status)  # its children go with it, by their owner references
    if observed.problem is not None:
        return _with_problem(observed, observed.problem)
    try:
        turns = _Turns(observed)
    except SpecError as error:
        return _with_problem(observed, Problem(error.reason, error.message))
    found = resolve(observed)
    if not isinstance(found, Problem):
        return _Decision(observed, turns, found).plan()
    kept = served_before(observed)
    if kept is None:
        return _without_model(observed, turns, found)
    return _laid_over(observed, _Decision(observed, turns, kept).plan(), found)


class _Turns:
    """The schedule of a deployment, now and next. Raises SpecError."""

    def __init__(self, observed: DeploymentObserved) -> None:
        self.now: ScheduleNow | None = None
        self.change: schedule.Change | None = None
        chosen = observed.deployment.spec.schedule
        if chosen is None:
            return
        parsed = schedule.parse_schedule(chosen)
        self.change = schedule.next_change(parsed, observed.now)
        self.now = ScheduleNow(
            on=schedule.active(parsed, observed.now),
            wakes_outside=chosen.outside == "WakeOnRequest",
            started=schedule.last_start(parsed, observed.now),
            next_start=schedule.next_start(parsed, observed.now),
        )


class _Decision:
    """What is to be done with a model that can be served."""

    def __init__(self, observed: DeploymentObserved, turns: _Turns, found: Resolved) -> None:
        spec = observed.deployment.spec
        self._observed = observed
        self._turns = turns
        self._found = found
        self._failed_at = _failed_at(observed)
        self._idle = idleness(observed, turns.now, self._failed_at)
        self._verdict = decide(_facts(observed, turns.now, has_model=True, active=self._idle.active))
        self._full = wanted_replicas(observed)
        """Pods when awake."""
        self._gives_up = spec.inactivity_timeout is not None and self._verdict.awake and is_late(observed)

    def plan(self) -> DeploymentPlan:
        observed, found = self._observed, self._found
        wanted, looking = self._wanted()
        failed_at = observed.now if self._gives_up and self._failed_at is None else self._failed_at
        order = gateway_order(observed, self._verdict, self._why_no_pods(), off=self._full == 0, failed_at=failed_at)
        pods = ApplyDeployment(wanted, found.uri, found.status.checkpoint, found.base_model_uri)
        actions: list[DeploymentAction] = [
            ApplyService(),
            *gateway_actions(observed, order, sleeps=not self._verdict.awake or self._full == 0),
            *looking,
        ]
        # Who waits, waits for the pods; else they come last: without a Service they are of no use, and before they go
        # the gateway must be there.
        wakes = observed.app is not None and observed.app.wanted == 0 < wanted
        actions = [pods, *actions] if wakes else [*actions, pods]
        if self._full > 1 and not observed.has_disruption_budget:
            actions.append(ApplyDisruptionBudget())
        elif self._full <= 1 and observed.has_disruption_budget:
            actions.append(DeleteDisruptionBudget())
        standing, probe = self._standing(wanted)
        actions += probe
        status = deployment_status(
            observed,
            standing,
            model=found.status,
            wanted=wanted,
            extra=self._extra(wanted),
            upcoming=next_transition(
                observed.deployment.spec,
                self._verdict,
                self._idle,
                self._turns.change,
                now=observed.now,
                before=observed.deployment.status.next_transition,
            ),
            last_request=self._idle.last_request,
        )
        return DeploymentPlan(status, tuple(actions), self._again(standing, wanted, looking=bool(looking)))

    def _wanted(self) -> tuple[int, list[DeploymentAction]]:
        """Number of pods for now, and the last look that is wanted before they go."""
        if self._verdict.awake:
            return self._full, []
        app = self._observed.app
        if not self._verdict.for_idleness or app is None or app.wanted == 0 or not self._observed.stats:
            return 0, []
        if not gateway_leads(self._observed):
            return app.wanted, []  # a request that came now would find nobody
        if any(each is None or each.age > _FRESH_SECONDS for each in self._observed.stats):
            return app.wanted, [AskPods()]
        return 0, []

    def _why_no_pods(self) -> str:
        name = self._observed.deployment.metadata.name
        match self._verdict.row:
            case 1:
                return f"{name} is suspended."
            case 3 | 5:
                return f"{name} is off by its schedule."
            case 8:
                return f"{name} sleeps, since {self._idle.why}."
        if self._full == 0:
            return f"{name} has replicas: 0."
        late = self._gives_up or self._failed_at is not None
        why = (failure(self._observed) or Problem("", self._observed.deployment.status.message or "")) if late else None
        return f"{name} did not become ready: {why.message}" if why else f"{name} is not ready yet."

    # -- what is said -----------------------------------------------------------------------------------------------

    def _standing(self, wanted: int) -> tuple[Standing, list[DeploymentAction]]:
        observed, app, before = self._observed, self._observed.app, self._observed.deployment.status
        if self._failed_at is not None and not self._idle.active:
            text = before.message or "no pod became ready within startupTimeout"
            return Standing("Failed", text, conditions.stalled(STARTUP_TIMEOUT, text)), []
        if not self._verdict.awake or self._full == 0:
            return self._asleep(wanted), []
        if app is not None and is_rolled_out(app, wanted) and observed.ready_endpoints > 0 and observed.slice is None:
            settled = (
                before.phase == "Deployed" and before.observed_generation == observed.deployment.metadata.generation
            )
            probe: list[DeploymentAction] = [] if observed.answers else [ProbeService()]
            if observed.answers or (observed.answers is None and settled):
                text = f"{self._found.status.display} answers at {url(observed)}"
                return Standing("Deployed", text, conditions.ready("Deployed", text)), probe
            return self._coming("WaitingForService", "the pods are ready; waiting for the Service to answer"), probe
        if app is not None and is_rolled_out(app, wanted):
            return self._coming("WaitingForService", "the pods are ready; waiting for the Service to answer"), []
        problem = failure(observed)
        if problem is not None:
            text = problem.message + (_KEPT if observed.ready_endpoints > 0 else "")
            return Standing("Failed", text, conditions.stalled(problem.reason, text)), []
        return self._coming(*why_not_yet(observed, wanted)), []

    def _coming(self, reason: str, text: str) -> Standing:
        was_asleep = self._observed.deployment.status.phase in ("Sleeping", "Waking")
        phase = "Waking" if was_asleep else "Deploying"
        return Standing(phase, text, conditions.reconciling(reason, text))  # type: ignore[arg-type]  # one of two

    def _asleep(self, wanted: int) -> Standing:
        left = self._observed.app.replicas if self._observed.app else 0
        verdict = self._verdict
        if verdict.row == 1 or self._full == 0:
            reason = "Suspended" if verdict.row == 1 else "ScaledToZero"
            text = "suspended, without pods" if verdict.row == 1 else "replicas is 0: write 1 or more to serve"
            doing, phase = "suspending" if verdict.row == 1 else "scaling to 0", "Suspended"
        else:
            reason, doing, phase = "Asleep", "going to sleep", "Sleeping"
            text = "asleep by its schedule" if verdict.row in (3, 5) else f"asleep, since {self._idle.why}"
            if verdict.answer == "Hold":
                text += "; the next request wakes it"
        if wanted > 0:
            text = f"{doing}: {self._what_holds_it_awake()}"
        elif left:
            text = f"{doing}: {left} pods finish what they have"
        aspects = conditions.reconciling(reason, text) if left else conditions.ready(reason, text)
        return Standing(phase, text, aspects)  # type: ignore[arg-type]  # one of two

    def _what_holds_it_awake(self) -> str:
        if not gateway_leads(self._observed):
            return "it stays awake until a gateway pod is ready to take its requests"
        return "a last look at its pods"

    def _extra(self, wanted: int) -> list[Aspect]:
        reason = STARTUP_TIMEOUT if self._gave_up else self._verdict.reason
        aspects = [Aspect("Awake", wanted > 0 and not self._gave_up, reason)]
        if self._observed.deployment.spec.inactivity_timeout is not None:
            unknown = self._idle.unknown
            text = "a pod does not say what it does, so that the deployment stays awake" if unknown else ""
            aspects.append(Aspect("ActivityUnknown", unknown, "PodSilent" if unknown else "Known", text))
        return aspects

    @property
    def _gave_up(self) -> bool:
        return self._gives_up or (self._failed_at is not None and not self._idle.active)

    def _again(self, standing: Standing, wanted: int, *, looking: bool) -> float:
        """Seconds until the next look, at the latest."""
        waits = [LONGEST_WAIT_SECONDS]
        now, spec = self._observed.now, self._observed.deployment.spec
        if self._turns.change is not None:
            waits.append((self._turns.change.time - now).total_seconds())
        if self._verdict.awake and self._idle.left is not None:
            waits.append(self._idle.left)
        if self._verdict.awake and spec.inactivity_timeout is not None and self._idle.left is None:
            waits.append(_UNKNOWN_AGAIN_SECONDS)
        if looking or self._gives_up:
            waits.append(0.0)
        elif not self._verdict.awake and wanted > 0:
            waits.append(PROBE_AGAIN_SECONDS)
        if standing.aspects[0].reason == "WaitingForService" or self._leads_to_both():
            waits.append(PROBE_AGAIN_SECONDS)
        if spec.auth is not None:
            waits.append(KEYS_AGAIN_SECONDS)
        if spec.autoscaling is not None and wanted > spec.autoscaling.min_replicas:
            waits.append(_SCALE_DOWN_AGAIN_SECONDS)  # that the demand of a while ago counts no more, nobody tells
        return max(_LOOK_SECONDS, min(waits))

    def _leads_to_both(self) -> bool:
        observed = self._observed
        return self._verdict.awake and observed.slice is not None and observed.ready_endpoints > 0


def _failed_at(observed: DeploymentObserved) -> datetime | None:
    """When the last wake failed, if the deployment has been given up since."""
    status = observed.deployment.status
    if status.phase != "Failed" or status.observed_generation != observed.deployment.metadata.generation:
        return None
    for each in status.conditions or ():
        if each.type == "Awake" and each.status == "False" and each.reason == STARTUP_TIMEOUT:
            return each.last_transition_time
    return None


def _facts(observed: DeploymentObserved, now: ScheduleNow | None, *, has_model: bool, active: bool) -> Facts:
    spec = observed.deployment.spec
    return Facts(
        suspended=spec.suspend,
        has_model=has_model,
        schedule=now,
        sleeps_when_idle=spec.inactivity_timeout is not None,
        wakes_on_request=spec.wake.on_request,
        active=active,
    )


# -- what cannot be served --------------------------------------------------------------------------------------------


def _with_problem(observed: DeploymentObserved, problem: Problem) -> DeploymentPlan:
    """Nothing is done: what runs keeps running."""
    deployment = observed.deployment
    aspects = (conditions.stalled if problem.stalled else conditions.reconciling)(problem.reason, problem.message)
    standing = Standing("Failed" if problem.stalled else "Pending", problem.message, aspects)
    wanted = 0 if deployment.spec.suspend else wanted_replicas(observed)
    status = deployment_status(
        observed, standing, model=deployment.status.model, wanted=wanted, extra=_kept_aspects(observed)
    )
    return DeploymentPlan(status, again_after=PROBLEM_SECONDS if problem.stalled else None)


def _kept_aspects(observed: DeploymentObserved) -> list[Aspect]:
    kept = ("Awake", "ActivityUnknown")
    known = observed.deployment.status.conditions or ()
    return [Aspect(each.type, each.status == "True", each.reason, each.message) for each in known if each.type in kept]


def _without_model(observed: DeploymentObserved, turns: _Turns, problem: Problem) -> DeploymentPlan:
    """No checkpoint, and none of before: there are no pods, and who asks is told why."""
    deployment = observed.deployment
    verdict = decide(_facts(observed, turns.now, has_model=False, active=False))
    again = PROBLEM_SECONDS if problem.stalled and not deployment.spec.suspend else None
    if observed.training_job is None and not problem.stalled:
        again = max(1.0, grace_left(deployment.metadata.creation_timestamp, observed.now))
    order = gateway_order(
        observed, verdict, f"{deployment.metadata.name} has no model yet: {problem.message}", off=True
    )
    actions: list[DeploymentAction] = []
    if observed.app is not None and observed.app.wanted > 0 and deployment.spec.suspend:
        actions.append(ScaleToZero(observed.app.uid))
    if observed.wake is not None:
        actions += [ApplyService(), *gateway_actions(observed, order, sleeps=True)]
    phase, text = ("Failed" if problem.stalled else "Pending"), problem.message
    aspects = (conditions.stalled if problem.stalled else conditions.reconciling)(problem.reason, text)
    if deployment.spec.suspend:
        phase, text = "Suspended", f"suspended; {problem.message}"
        aspects = conditions.ready("Suspended", text)
    standing = Standing(phase, text, aspects)  # type: ignore[arg-type]  # one of three
    awake = Aspect("Awake", False, "Suspended" if deployment.spec.suspend else problem.reason)
    wanted = 0 if deployment.spec.suspend else wanted_replicas(observed)
    status = deployment_status(observed, standing, model=deployment.status.model, wanted=wanted, extra=[awake])
    return DeploymentPlan(status, tuple(actions), again)


def _laid_over(observed: DeploymentObserved, plan: DeploymentPlan, problem: Problem) -> DeploymentPlan:
    """What was served before stays as it is; the status says why it is not what is wanted."""
    model: ModelStatus | None = plan.status.model
    text = f"{problem.message}; {model.display if model else 'what was served before'} stays"
    aspects = (conditions.stalled if problem.stalled else conditions.reconciling)(problem.reason, text)
    if observed.deployment.spec.suspend:
        return plan
    others = [each for each in plan.status.conditions or () if each.type not in ("Ready", "Reconciling", "Stalled")]
    merged = conditions.merged(
        observed.deployment.status.conditions,
        aspects,
        generation=observed.deployment.metadata.generation,
        at=observed.now,
    )
    status = plan.status.model_copy(
        update={
            "phase": "Failed" if problem.stalled else plan.status.phase,
            "message": text,
            "conditions": [*merged, *others],
        }
    )
    return replace(plan, status=status, again_after=min(plan.again_after or PROBLEM_SECONDS, PROBLEM_SECONDS))
