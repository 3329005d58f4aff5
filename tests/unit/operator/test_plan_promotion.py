"""Whether a checkpoint is let through to be served: model.require."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.plan.types import ApplyDeployment, DeploymentPlan, WakeView
from classifier_operator.wire.serve_config import ModelSource, ServeConfig
from support.builders import condition, training_job
from support.sleeper import ASLEEP, AWAKE, BUSY, PORT, decide, order, replicas, verdict

RESULTS = [
    {"name": "epoch-1", "step": 1, "uri": "pvc://r8-output/checkpoints/epoch-1", "metrics": {"macroF1": "0.91"}},
    {"name": "epoch-2", "step": 2, "uri": "pvc://r8-output/checkpoints/epoch-2", "metrics": {"macroF1": "0.88"}},
]
TRAINED = training_job(
    "r8",
    status={
        "phase": "Succeeded",
        "conditions": [condition("Complete", True)],
        "best": "epoch-1",
        "checkpoints": RESULTS,
    },
    checkpoints={"format": "Merged"},
)
SERVED: dict[str, str] = {
    "display": "r8/epoch-1",
    "uri": "pvc://r8-output/checkpoints/epoch-1",
    "checkpoint": "epoch-1",
    "metric": "macroF1",
    "score": "0.91",
}


def promote(name: str, floor: float | None = None, metric: str = "macroF1", **given: Any) -> DeploymentPlan:
    require = {"metric": metric} | ({"atLeast": floor} if floor is not None else {})
    model = {"checkpoint": {"trainingJobName": "r8", "name": name}, "require": require}
    return decide(training_job=TRAINED, model=model, **given)


def test_a_checkpoint_that_passes_is_served_with_its_score() -> None:
    plan = promote("epoch-1", 0.9, app=None)
    assert plan.status.model is not None
    assert (plan.status.model.metric, plan.status.model.score) == ("macroF1", "0.91")
    assert replicas(plan) == 1


@pytest.mark.parametrize(
    ("name", "floor", "metric", "says"),
    [
        ("epoch-2", 0.9, "macroF1", "r8/epoch-2 has macroF1 0.88, below model.require.atLeast 0.9"),
        ("epoch-2", None, "macroF1", "r8/epoch-1, which is served, has 0.91"),
        ("epoch-2", None, "recall", "r8/epoch-2 has no test result recall: write one of macroF1"),
    ],
    ids=["below the floor", "below what is served", "no such metric"],
)
def test_a_checkpoint_that_does_not_is_refused_and_the_served_one_stays(
    name: str, floor: float | None, metric: str, says: str
) -> None:
    served = ServeConfig(name="news", checkpoint="epoch-1", model=ModelSource(uri=SERVED["uri"]))
    used = {**AWAKE, "stats": (BUSY,)}
    plan = promote(name, floor, metric, **used, served=served, status={"model": SERVED})
    assert says in (plan.status.message or "")
    assert (plan.status.message or "").endswith("; r8/epoch-1 stays")
    assert verdict(plan.status, "Stalled") == "True/CheckpointRefused"
    assert [each for each in plan.actions if isinstance(each, ApplyDeployment)] == [
        ApplyDeployment(1, SERVED["uri"], "epoch-1")
    ]


def test_refused_while_asleep_the_served_one_is_still_there_to_wake() -> None:
    served = ServeConfig(name="news", checkpoint="epoch-1", model=ModelSource(uri=SERVED["uri"]))
    plan = promote("epoch-2", **ASLEEP, served=served, status={"model": SERVED})
    assert order(plan).answer == "Hold"
    asked = promote("epoch-2", **ASLEEP, served=served, status={"model": SERVED}, wake=WakeView(PORT, since_asked=0.1))
    assert replicas(asked) == 1
