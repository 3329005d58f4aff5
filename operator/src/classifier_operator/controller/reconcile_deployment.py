"""One pass over a deployment."""

from dataclasses import dataclass, replace
from functools import partial
from math import ceil
from typing import Final

from classifier_operator.api.kinds import ClassifierDeployment
from classifier_operator.controller.api_keys import ApiKeys
from classifier_operator.controller.apply_deployment import DeploymentApplier
from classifier_operator.controller.apply_gateway import WakeLeases
from classifier_operator.controller.clock import Clock
from classifier_operator.controller.cycle import Cycle
from classifier_operator.controller.demand import SteadyDemand
from classifier_operator.controller.gateways import GatewayFleet
from classifier_operator.controller.keys import Key
from classifier_operator.controller.observe import observe_deployment, parse_deployment, server_pods
from classifier_operator.controller.ports import PortAllocator
from classifier_operator.controller.sleep_metrics import SleepMetrics
from classifier_operator.controller.state import State
from classifier_operator.controller.status import status_patch
from classifier_operator.controller.views import pod_stats
from classifier_operator.controller.wakes import Wakes
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import DEPLOYMENTS
from classifier_operator.manifests.pod import gpu_count
from classifier_operator.plan.deployment import plan_deployment
from classifier_operator.plan.types import DeploymentObserved, DeploymentPlan, PodStats, Problem
from classifier_operator.pods.stats import StatsPoller

_SCALING_SECONDS: Final = 1.0
"""Pods are asked at least so often while their number follows the requests."""


@dataclass(frozen=True, slots=True)
class Senses:
    """All that is known of deployments beside what the stores hold."""

    fleet: GatewayFleet
    ports: PortAllocator
    leases: WakeLeases
    stats: StatsPoller[Key]
    keys: ApiKeys
    wakes: Wakes
    demand: SteadyDemand[Key]
    metrics: SleepMetrics


class DeploymentReconciler:
    """Brings a deployment nearer to what it says."""

    def __init__(
        self,
        cycle: Cycle,
        state: State,
        senses: Senses,
        *,
        applier: DeploymentApplier,
        clock: Clock,
        stats_seconds: float,
    ) -> None:
        self._cycle = cycle
        self._state = state
        self._senses = senses
        self._applier = applier
        self._clock = clock
        self._stats_seconds = stats_seconds

    def forget(self, key: Key, uid: str) -> None:
        """The deployment is gone; its port and its Lease are left to the janitor."""
        self._applier.forget(uid)
        self._senses.stats.forget(key)
        self._senses.keys.forget(uid)
        self._senses.wakes.forget(uid)
        self._senses.demand.forget(key)
        self._senses.metrics.forget(key)

    async def reconcile(self, key: Key, value: Json) -> None:
        """One pass. Raises SpecError where the object cannot be read, and KubeError where it is to be tried again."""
        observed = await self._observe(key, value, None)
        plan = plan_deployment(observed)
        made = observed.deployment
        done = await self._cycle.carry_out(
            DEPLOYMENTS, key, value, [partial(self._applier.apply, made, action) for action in plan.actions]
        )
        if done.value is None:
            return
        if plan.actions:
            observed = await self._observe(key, done.value, done.problem)
            plan = self._cycle.next_plan(key, plan, plan_deployment(observed), done)
        self._measure(key, observed, plan)
        patch = status_patch(done.value.get("status") or {}, plan.status)
        if patch and done.tells:
            await self._cycle.write_status(DEPLOYMENTS, key, done.value, patch)
        self._cycle.finish(key, plan, done)

    async def _observe(self, key: Key, value: Json, problem: Problem | None) -> DeploymentObserved:
        senses, deployment = self._senses, parse_deployment(value)
        if deployment.metadata.deletion_timestamp is not None:
            return observe_deployment(self._state, key, deployment, now=self._clock.now(), answers=None)
        keys = await senses.keys.read(deployment)
        pods = await self._ask_new_pods(key, deployment)
        # From here on nothing is waited for, so that all is of one moment.
        uid = deployment.metadata.uid
        observed = observe_deployment(
            self._state,
            key,
            deployment,
            now=self._clock.now(),
            answers=self._applier.answers(uid),
            problem=problem,
        )
        if observed.ready_endpoints == 0 and observed.answers is not None:
            self._applier.forget_answer(uid)
            observed = replace(observed, answers=None)
        lease = senses.leases.get(uid)
        turn = senses.wakes.see(
            uid,
            renewed=lease.get("renewTime") if lease is not None else None,
            wanted=observed.app.wanted if observed.app is not None else None,
            ready_endpoints=observed.ready_endpoints,
        )
        if turn.began:
            senses.metrics.began(key)
        if turn.took is not None:
            senses.metrics.took(key, turn.took)
        port = senses.ports.port(uid)
        stats = tuple(pod_stats(said) for said in senses.stats.said(key, pods))
        return replace(
            observed,
            stats=stats,
            gateways=senses.fleet.views(port, uid) if port is not None else (),
            wake=senses.wakes.view(uid, port) if port is not None else None,
            keys=keys,
            steady_demand=self._demand(key, observed, stats),
        )

    async def _ask_new_pods(self, key: Key, deployment: ClassifierDeployment) -> list[str]:
        """UIDs of the pods whose activity matters; those that were never asked are asked now."""
        spec, poller = deployment.spec, self._senses.stats
        if spec.inactivity_timeout is None and spec.autoscaling is None:
            poller.forget(key)
            return []
        ready = (pod for pod in server_pods(self._state, key) if pod.ready and not pod.deleting)
        pods = {pod.uid: pod.ip for pod in ready if pod.ip is not None}
        scales = spec.autoscaling is not None
        seconds = min(_SCALING_SECONDS, self._stats_seconds) if scales else self._stats_seconds
        if poller.watch(key, pods, seconds=seconds, counts=scales):
            await poller.ask_now(key)
        return list(pods)

    def _demand(self, key: Key, observed: DeploymentObserved, stats: tuple[PodStats | None, ...]) -> int | None:
        scaling, demand = observed.deployment.spec.autoscaling, self._senses.demand
        if scaling is None:
            demand.forget(key)
            return None
        if observed.app is None or not stats:
            return None
        in_flight = sum(each.in_flight for each in stats if each is not None)
        wanted = ceil(in_flight / scaling.target_in_flight)
        if None in stats:
            # What a silent pod has in flight is not known: it may be all that it can take.
            wanted = max(wanted, observed.app.wanted)
        return demand.note(key, wanted, running=observed.app.wanted)

    def _measure(self, key: Key, observed: DeploymentObserved, plan: DeploymentPlan) -> None:
        spared = _gpus(observed.deployment) if plan.status.phase == "Sleeping" else 0
        upcoming = plan.status.next_transition
        self._senses.metrics.see(
            key,
            awake=observed.app is not None and observed.app.wanted > 0,
            spared_gpus=spared,
            next_transition=upcoming.time if upcoming is not None else None,
        )


def _gpus(deployment: ClassifierDeployment) -> int:
    """GPUs of all pods that the deployment has at least while it is awake."""
    spec = deployment.spec
    pods = spec.replicas if spec.autoscaling is None else spec.autoscaling.min_replicas
    return pods * gpu_count(spec.resources)
