"""A deployment that sleeps after ten minutes, in the situations that decisions about it are made in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from classifier_operator.api.deployment import DeploymentStatus
from classifier_operator.plan.deployment import plan_deployment
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyOrder,
    AppView,
    DeploymentObserved,
    DeploymentPlan,
    GatewayView,
    PodStats,
    ServiceView,
    SliceView,
    WakeView,
)
from classifier_operator.wire.wake import GatewayOrder
from support.builders import NOW, deployment, pod_view

PORT = 10_001
GATEWAY = GatewayView("10.0.0.1", "node-a", "gateway-1")
SLICE = SliceView("slice", PORT, frozenset({"10.0.0.1"}))
AWAKE_APP = AppView(uid="app", observed_generation=1, wanted=1, replicas=1, updated=1, ready=1)
STARTING = replace(AWAKE_APP, ready=0)
ASLEEP_APP = AppView(uid="app", observed_generation=1, wanted=0)
IDLE = PodStats(0, 700.0, 5000.0, 3.0)
IDLE_NOW = PodStats(0, 700.0, 5000.0, 0.1)
BUSY = PodStats(1, 700.0, 5000.0, 0.1)
AWAKE: dict[str, Any] = {
    "app": AWAKE_APP,
    "pods": (pod_view(),),
    "ready_endpoints": 1,
    "stats": (IDLE,),
    "answers": True,
}
ASLEEP: dict[str, Any] = {"app": ASLEEP_APP, "slice": SLICE}


def observed(
    *, status: dict[str, Any] | None = None, metadata: dict[str, Any] | None = None, **given: Any
) -> DeploymentObserved:
    """A deployment that sleeps after ten minutes, with a gateway pod that listens for it."""
    names = {field: given.pop(field) for field in list(given) if field not in DeploymentObserved.__slots__}
    spec = {"inactivityTimeout": "10m", **names}
    fields = {
        "now": NOW,
        "service": ServiceView("svc", "10.1.2.3"),
        "gateways": (GATEWAY,),
        "wake": WakeView(PORT),
        **given,
    }
    return DeploymentObserved(deployment=deployment(status=status, metadata=metadata, **spec), **fields)


def decide(**given: Any) -> DeploymentPlan:
    return plan_deployment(observed(**given))


def replicas(plan: DeploymentPlan) -> int | None:
    return next((each.replicas for each in plan.actions if isinstance(each, ApplyDeployment)), None)


def order(plan: DeploymentPlan) -> GatewayOrder:
    return next(each.order for each in plan.actions if isinstance(each, ApplyOrder))


def kinds(plan: DeploymentPlan) -> list[str]:
    """The actions by name, without those that are always there."""
    always = ("ApplyService", "ApplyOrder", "ApplyDeployment")
    return [name for each in plan.actions if (name := type(each).__name__) not in always]


def verdict(status: DeploymentStatus, kind: str) -> str:
    return next(f"{each.status}/{each.reason}" for each in status.conditions or () if each.type == kind)
