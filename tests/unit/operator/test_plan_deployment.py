"""Decisions about deployments, a row a situation."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from classifier_operator.plan.deployment import plan_deployment
from classifier_operator.plan.types import (
    ApplyDeployment,
    ApplyService,
    AppView,
    DeploymentObserved,
    DeploymentPlan,
    PodView,
    ProbeService,
    Problem,
    ScaleToZero,
    ServiceView,
)
from classifier_operator.wire.serve_config import ModelSource, ServeConfig
from support.builders import NOW, condition, deployment, pod_view, training_job

BEST = {"checkpoint": {"trainingJobName": "r8"}}
LAST = {"checkpoint": {"trainingJobName": "r8", "name": "last"}}
SECOND = {"checkpoint": {"trainingJobName": "r8", "name": "epoch-2"}}
CHECKPOINTS = [{"name": f"epoch-{n}", "step": n, "uri": f"pvc://r8-output/checkpoints/epoch-{n}"} for n in (1, 2, 3)]
TRAINING = training_job("r8", status={"phase": "Training", "checkpoints": CHECKPOINTS[:1]})
SUCCEEDED = training_job(
    "r8",
    status={
        "phase": "Succeeded",
        "conditions": [condition("Complete", True)],
        "best": "epoch-2",
        "checkpoints": CHECKPOINTS,
    },
    baseModel={"uri": "pvc://smollm2/model"},
)
BROKEN = training_job(
    "r8",
    status={
        "phase": "Failed",
        "message": "line 3: not JSON",
        "conditions": [condition("Failed", True)],
        "checkpoints": CHECKPOINTS[:1],
    },
)
RESOLVED = {"model": {"display": "r8/epoch-2", "uri": "pvc://r8-output/model", "checkpoint": "epoch-2"}}
RESOLVED_LAST = {
    "model": {"display": "r8/epoch-3", "uri": "pvc://r8-output/checkpoints/epoch-3", "checkpoint": "epoch-3"}
}
READY = AppView(uid="app", observed_generation=1, wanted=1, replicas=1, updated=1, ready=1)
STARTING = AppView(uid="app", observed_generation=1, wanted=1, replicas=1, updated=1, ready=0)
ROLLING = AppView(uid="app", generation=2, observed_generation=2, wanted=1, replicas=2, updated=1, ready=1)
SERVICE = ServiceView("svc", "10.1.2.3")
SERVE = (ApplyService(), ApplyDeployment(1, "file:///model"))
UNREADY = {"ready": False, "generation": "new"}


def plan(
    *,
    status: dict[str, Any] | None = None,
    metadata: dict[str, Any] | None = None,
    model: dict[str, Any] | None = None,
    spec: dict[str, Any] | None = None,
    **observed: Any,
) -> DeploymentPlan:
    fields: dict[str, Any] = {"model": model} if model else {}
    made = deployment(status=status, metadata=metadata, **fields, **(spec or {}))
    return plan_deployment(DeploymentObserved(deployment=made, now=NOW, **observed))


@dataclass(frozen=True)
class Row:
    name: str
    given: dict[str, Any]
    actions: tuple[Any, ...]
    phase: str
    true: dict[str, str]
    says: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


def crashed(code: int, words: str, **more: Any) -> PodView:
    return pod_view(**UNREADY, exit_code=code, last_words=words, waiting_reason="CrashLoopBackOff", restarts=3, **more)


ROWS = [
    Row("new", {}, SERVE, "Deploying", {"Reconciling": "PodsStarting"}, "0 of 1 pods are ready", {"ready": "0/1"}),
    Row(
        "no node",
        {"app": STARTING, "pods": (pod_view(**UNREADY, phase="Pending", unschedulable="no GPU"),)},
        SERVE,
        "Deploying",
        {"Reconciling": "Unschedulable"},
        "the pod waits for a node: no GPU",
    ),
    Row(
        "ready, the endpoints not yet",
        {"app": READY, "service": SERVICE, "pods": (pod_view(),)},
        SERVE,
        "Deploying",
        {"Reconciling": "WaitingForService"},
    ),
    Row(
        "ready, not asked yet",
        {"app": READY, "service": SERVICE, "ready_endpoints": 1},
        (*SERVE, ProbeService()),
        "Deploying",
        {"Reconciling": "WaitingForService"},
    ),
    Row(
        "ready, the Service does not answer",
        {"app": READY, "service": SERVICE, "ready_endpoints": 1, "answers": False, "status": {"phase": "Deployed"}},
        (*SERVE, ProbeService()),
        "Deploying",
        {"Reconciling": "WaitingForService"},
    ),
    Row(
        "answers",
        {"app": READY, "service": SERVICE, "ready_endpoints": 1, "answers": True},
        SERVE,
        "Deployed",
        {"Ready": "Deployed"},
        "file:///model answers at http://news.default.svc",
        {"ready": "1/1", "ready_replicas": 1, "url": "http://news.default.svc"},
    ),
    Row(
        "the operator began anew: no step back, but asked again",
        {
            "app": READY,
            "service": SERVICE,
            "ready_endpoints": 1,
            "status": {"phase": "Deployed", "observedGeneration": 1},
        },
        (*SERVE, ProbeService()),
        "Deployed",
        {"Ready": "Deployed"},
    ),
    Row(
        "rolling out",
        {"app": ROLLING, "service": SERVICE, "ready_endpoints": 1, "answers": True, "pods": (pod_view(**UNREADY),)},
        SERVE,
        "Deploying",
        {"Reconciling": "PodsStarting"},
        "1 of 1 pods are ready",
    ),
    Row(
        "the new model is refused, the old pods stay",
        {
            "app": ROLLING,
            "ready_endpoints": 1,
            "pods": (pod_view(generation="old"), crashed(42, '{"message": "pvc://x/y has no config.json"}')),
        },
        SERVE,
        "Failed",
        {"Stalled": "InvalidModel"},
        "pvc://x/y has no config.json; the pods of before keep serving",
    ),
    Row(
        "crash loop",
        {"app": STARTING, "pods": (crashed(1, "Traceback (most recent call last):"),)},
        SERVE,
        "Failed",
        {"Stalled": "CrashLoopBackOff"},
        "the server ended with exit code 1; see kubectl logs deployment/news",
    ),
    Row(
        "an old pod's crash is not the new one's",
        {"app": STARTING, "pods": (crashed(42, "old", name="p0"), pod_view(ready=False, generation="newer"))},
        SERVE,
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "too late",
        {
            "app": AppView(uid="app", observed_generation=1, replicas=1, updated=1, late="late"),
            "pods": (
                pod_view(**UNREADY, phase="Pending", waiting_reason="ImagePullBackOff", waiting_message="no such"),
            ),
        },
        SERVE,
        "Failed",
        {"Stalled": "StartupTimeout"},
        "no pod became ready within startupTimeout (1800 s): the container cannot start (ImagePullBackOff): no such",
    ),
    Row(
        "suspended",
        {"spec": {"suspend": True}, "app": AppView(uid="app", observed_generation=1, wanted=0)},
        (ApplyService(), ApplyDeployment(0, "file:///model")),
        "Suspended",
        {"Ready": "Suspended"},
        "suspended, without pods",
        {"ready": "0/0"},
    ),
    Row(
        "suspending",
        {"spec": {"suspend": True}, "app": READY},
        (ApplyService(), ApplyDeployment(0, "file:///model")),
        "Suspended",
        {"Reconciling": "Suspended"},
        "suspending: 1 pods finish what they have",
    ),
    Row(
        "no replicas",
        {"spec": {"replicas": 0}},
        (ApplyService(), ApplyDeployment(0, "file:///model")),
        "Suspended",
        {"Ready": "ScaledToZero"},
    ),
    Row(
        "the best of a running job",
        {"model": BEST, "training_job": TRAINING},
        (),
        "Pending",
        {"Reconciling": "WaitingForCheckpoint"},
        "waiting for checkpoint best of ClassifierTrainingJob r8, which is Training",
    ),
    Row(
        "the first epoch of a running job",
        {"model": {"checkpoint": {"trainingJobName": "r8", "name": "epoch-1"}}, "training_job": TRAINING},
        (
            ApplyService(),
            ApplyDeployment(1, "pvc://r8-output/checkpoints/epoch-1", "epoch-1", "file:///model"),
        ),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "the last of a running job moves",
        {"model": LAST, "training_job": TRAINING},
        (),
        "Pending",
        {"Reconciling": "WaitingForCheckpoint"},
    ),
    Row(
        "the best",
        {"model": BEST, "training_job": SUCCEEDED},
        (ApplyService(), ApplyDeployment(1, "pvc://r8-output/model", "epoch-2")),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "the last",
        {"model": LAST, "training_job": SUCCEEDED},
        (
            ApplyService(),
            ApplyDeployment(1, "pvc://r8-output/checkpoints/epoch-3", "epoch-3", "pvc://smollm2/model"),
        ),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "a checkpoint that never was",
        {"model": {"checkpoint": {"trainingJobName": "r8", "name": "epoch-9"}}, "training_job": SUCCEEDED},
        (),
        "Failed",
        {"Stalled": "CheckpointNotFound"},
        "ClassifierTrainingJob r8 has no checkpoint epoch-9: write one of best, last, epoch-1, epoch-2, epoch-3",
    ),
    Row(
        "the best of a failed job",
        {"model": BEST, "training_job": BROKEN},
        (),
        "Failed",
        {"Stalled": "TrainingJobFailed"},
        "ClassifierTrainingJob r8 failed, so it has no checkpoint best: line 3: not JSON",
    ),
    Row(
        "the last of a failed job",
        {"model": LAST, "training_job": BROKEN},
        (
            ApplyService(),
            ApplyDeployment(1, "pvc://r8-output/checkpoints/epoch-1", "epoch-1", "file:///model"),
        ),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "applied together with its job",
        {"model": BEST, "metadata": {"creationTimestamp": "2026-03-01T11:59:50Z"}},
        (),
        "Pending",
        {"Reconciling": "WaitingForTrainingJob"},
    ),
    Row(
        "the job is gone",
        {"model": BEST},
        (),
        "Failed",
        {"Stalled": "TrainingJobNotFound"},
        "ClassifierTrainingJob r8 does not exist: create it, or write model.uri with the address of a model, "
        "e.g. pvc://r8-output/model",
    ),
    Row(
        "the job is gone, but the model was found before",
        {"model": BEST, "status": RESOLVED},
        (ApplyService(), ApplyDeployment(1, "pvc://r8-output/model", "epoch-2")),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "another name in the specification is looked up anew",
        {"model": SECOND, "status": RESOLVED, "training_job": SUCCEEDED},
        (
            ApplyService(),
            ApplyDeployment(1, "pvc://r8-output/checkpoints/epoch-2", "epoch-2", "pvc://smollm2/model"),
        ),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "the job of an adapter is gone, the Deployment remembers the base model",
        {
            "model": LAST,
            "status": RESOLVED_LAST,
            "served": ServeConfig(
                name="news", model=ModelSource(uri="x"), base_model=ModelSource(uri="pvc://smollm2/model")
            ),
        },
        (
            ApplyService(),
            ApplyDeployment(1, "pvc://r8-output/checkpoints/epoch-3", "epoch-3", "pvc://smollm2/model"),
        ),
        "Deploying",
        {"Reconciling": "PodsStarting"},
    ),
    Row(
        "the job of an adapter is gone, nobody remembers",
        {"model": LAST, "status": RESOLVED_LAST},
        (),
        "Failed",
        {"Stalled": "TrainingJobNotFound"},
    ),
    Row(
        "no model, but to be off",
        {"model": BEST, "spec": {"suspend": True}, "app": READY},
        (ScaleToZero("app"),),
        "Suspended",
        {"Ready": "Suspended"},
    ),
    Row(
        "another's Deployment has the name",
        {"problem": Problem("NameConflict", "Deployment news exists")},
        (),
        "Failed",
        {"Stalled": "NameConflict"},
        "Deployment news exists",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_decision(row: Row) -> None:
    decided = plan(**row.given)
    assert decided.actions == row.actions
    assert decided.status.phase == row.phase
    true = {each.type: each.reason for each in decided.status.conditions or () if each.status == "True"}
    true.pop("Awake", None)  # see test_plan_sleep.py
    assert true == row.true
    if row.says is not None:
        assert decided.status.message == row.says
    assert {name: getattr(decided.status, name) for name in row.more} == row.more


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_same_again_changes_nothing(row: Row) -> None:
    first = plan(**row.given)
    second = plan(**(row.given | {"status": first.status.to_json_object()}))
    assert second == first


def test_deleted() -> None:
    decided = plan(metadata={"deletionTimestamp": "2026-03-01T11:59:59Z"}, app=READY)
    assert decided.actions == ()


def test_the_port_stands_in_the_url() -> None:
    decided = plan(service=SERVICE, spec={"service": {"port": 8000}})
    assert decided.status.url == "http://news.default.svc:8000"


def test_the_selector_is_that_of_the_scale_subresource() -> None:
    assert plan().status.selector == (
        "app.kubernetes.io/component=server,app.kubernetes.io/managed-by=classifier-operator,classifiers.dev/deployment=news"
    )
