"""Which folder a deployment serves, and with which base model."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.plan.served_model import Resolved, resolve
from classifier_operator.plan.types import DeploymentObserved, Problem
from classifier_operator.wire.serve_config import ModelSource, ServeConfig
from support.builders import NOW, condition, deployment, training_job

LAST = {"checkpoint": {"trainingJobName": "r8", "name": "last"}}
STATUS = {
    "phase": "Succeeded",
    "conditions": [condition("Complete", True)],
    "best": "epoch-1",
}


def checkpoints(output: str, *kept: str) -> list[dict[str, Any]]:
    """Two checkpoints of a run, of which those that are kept have an address."""
    names = ("epoch-1", "epoch-2")
    return [
        {"name": name, "step": step, **({"uri": f"{output}/checkpoints/{name}"} if name in kept else {})}
        for step, name in enumerate(names, 1)
    ]


KNOWN = {"model": {"display": "r8/epoch-2", "uri": "s3://models/r8/checkpoints/epoch-2", "checkpoint": "epoch-2"}}


def served(
    model: dict[str, Any] = LAST,
    status: dict[str, Any] | None = None,
    config: ServeConfig | None = None,
    kept: tuple[str, ...] = ("epoch-1", "epoch-2"),
    **spec: Any,
) -> Resolved | Problem:
    there = checkpoints((spec.get("output") or {}).get("uri", "pvc://r8-output").rstrip("/"), *kept)
    job = training_job("r8", status=STATUS | {"checkpoints": there}, **spec) if spec else None
    made = deployment(model=model, status=status)
    return resolve(DeploymentObserved(deployment=made, now=NOW, training_job=job, served=config))


@pytest.mark.parametrize(
    ("spec", "uri", "base"),
    [
        ({"output": {"uri": "s3://models/r8"}}, "s3://models/r8/checkpoints/epoch-2", "file:///model"),
        ({"checkpoints": {"format": "Merged"}}, "pvc://r8-output/checkpoints/epoch-2", None),
        ({"checkpoints": {"format": "Adapter"}}, "pvc://r8-output/checkpoints/epoch-2", "file:///model"),
        ({"hyperparameters": {"method": "Full"}}, "pvc://r8-output/checkpoints/epoch-2", None),
        ({"hyperparameters": {"method": "HeadOnly"}}, "pvc://r8-output/checkpoints/epoch-2", None),
    ],
)
def test_only_adapters_need_a_base_model(spec: dict[str, Any], uri: str, base: str | None) -> None:
    found = served(**spec)
    assert isinstance(found, Resolved)
    assert (found.uri, found.base_model_uri) == (uri, base)


def test_the_best_on_an_object_store() -> None:
    found = served({"checkpoint": {"trainingJobName": "r8"}}, output={"uri": "s3://models/r8/"})
    assert isinstance(found, Resolved)
    assert (found.uri, found.status.checkpoint, found.base_model_uri) == ("s3://models/r8/model", "epoch-1", None)


def test_a_whole_checkpoint_stays_whole_when_its_job_is_gone() -> None:
    uri = KNOWN["model"]["uri"]
    found = served(status=KNOWN, config=ServeConfig(name="news", model=ModelSource(uri=uri)))
    assert isinstance(found, Resolved)
    assert (found.uri, found.base_model_uri) == (uri, None)


def test_an_adapter_whose_base_model_nobody_knows() -> None:
    problem = served(status=KNOWN)
    assert isinstance(problem, Problem)
    assert problem.message.startswith("ClassifierTrainingJob r8, which names the base model of r8/epoch-2, is gone")


@pytest.mark.parametrize(
    ("kept", "choices"),
    [(("epoch-1",), "best, epoch-1"), (("epoch-2",), "best, last, epoch-2"), ((), "best")],
)
def test_a_checkpoint_that_was_not_kept(kept: tuple[str, ...], choices: str) -> None:
    missing = "epoch-2" if "epoch-2" not in kept else "epoch-1"
    model = {"checkpoint": {"trainingJobName": "r8", "name": missing}}
    problem = served(model, kept=kept, checkpoints={"keep": "Best"})
    assert isinstance(problem, Problem)
    assert problem.message == f"ClassifierTrainingJob r8 has no checkpoint {missing}: write one of {choices}"
