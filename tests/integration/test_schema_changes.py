"""Which fields of a training job may change; that applying twice changes nothing; and what `kubectl get` shows."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api import crdgen, names
from classifier_operator.api.deployment import DeploymentStatus
from classifier_operator.api.training import MUTABLE_FIELDS
from integration.schema_server import LEAST, SchemaServer

pytestmark = pytest.mark.integration
JOBS = names.TRAINING_JOB_PLURAL
LEAST_JOB = LEAST[JOBS]

# Two values for each field of the specification.
VALUES: dict[str, tuple[Any, Any]] = {
    "baseModel": ({"uri": "hf://a/b"}, {"uri": "hf://a/b", "secretName": "hf-token"}),
    "taskType": ("Binary", "Multilabel"),
    "trainDataset": ({"uri": "pvc://a/b"}, {"configMap": {"name": "a", "key": "b"}}),
    "testDataset": ({"split": 0.2}, {"split": 0.3}),
    "validation": ({"split": 0.1}, {"split": 0}),
    "rebalance": ({"shares": {"a": 0.5, "b": 0.5}}, {"shares": {"a": 0.25, "b": 0.75}}),
    "hyperparameters": ({"lora": {"rank": 4}}, {"lora": {"rank": 4, "alpha": 8}}),
    "testFunctions": ([{"builtin": "LabelMatch"}], [{"builtin": "LabelMatch"}, {"builtin": "SampleMatchCombined"}]),
    "output": ({"claim": {"size": "1Gi"}}, {"claim": {"size": "2Gi"}}),
    "checkpoints": ({"keep": "All"}, {"keep": "All", "format": "Merged"}),
    "report": ({"rows": True}, {"rows": False}),
    "nodes": (1, 2),
    "resources": ({"limits": {"cpu": 1}}, {"limits": {"cpu": 2}}),
    "suspend": (False, True),
    "backoffLimit": (1, 2),
    "activeDeadlineSeconds": (60, 120),
    "ttlSecondsAfterFinished": (60, 120),
    "image": ("a/b:c", "a/b:d"),
    "podTemplate": ({"spec": {"env": [{"name": "A"}]}}, {"spec": {"env": [{"name": "A", "value": "b"}]}}),
}
REQUIRED = ("baseModel", "trainDataset")


# What another field needs beside it.
BESIDE: dict[str, dict[str, Any]] = {"nodes": {"output": {"uri": "s3://models/news"}}}


def job(**spec: Any) -> dict[str, Any]:
    return {**LEAST_JOB, **spec}


def changes(field: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    first, second = VALUES[field]
    least = job(**BESIDE.get(field, {}))
    changed = (least | {field: first}, least | {field: second})
    if field in REQUIRED:
        return [changed]
    return [changed, (least, changed[0]), (changed[0], least)]


def test_every_field_is_tried() -> None:
    kind = next(kind for kind in crdgen.KINDS if kind.plural == JOBS)
    version = crdgen.custom_resource_definition(kind)["spec"]["versions"][0]
    spec = version["schema"]["openAPIV3Schema"]["properties"]["spec"]
    assert spec["properties"].keys() == VALUES.keys()
    assert sorted(spec["required"]) == sorted(REQUIRED)


@pytest.mark.parametrize("field", [field for field in VALUES if field not in MUTABLE_FIELDS])
def test_field_cannot_be_changed_added_or_removed(schema: SchemaServer, field: str) -> None:
    for before, after in changes(field):
        said = schema.change_refusal(JOBS, before, after)
        assert f"{field} cannot be changed after creation: apply the job under a new name" in said
        assert schema.change_refusal(JOBS, before, before) == ""


@pytest.mark.parametrize("field", MUTABLE_FIELDS)
def test_field_may_be_changed_added_and_removed(schema: SchemaServer, field: str) -> None:
    for before, after in changes(field):
        assert schema.change_refusal(JOBS, before, after) == ""


NUMBERS = """
apiVersion: {group}/v1alpha1
kind: ClassifierTrainingJob
metadata: {{name: numbers, namespace: {namespace}}}
spec:
  baseModel: {{uri: pvc://models/smollm2}}
  trainDataset: {{uri: pvc://data/train.jsonl}}
  testDataset: {{split: 0.3}}
  validation: {{split: 0.1}}
  rebalance: {{shares: {{a: 0.30, b: 0.7, c: 0}}}}
  hyperparameters: {{learningRate: 2e-4, headLearningRate: 0.001, maxGradNorm: 1.0, weightDecay: 0, warmupRatio: 0.30}}
"""


def test_numbers_applied_twice_give_no_difference(schema: SchemaServer) -> None:
    manifest = NUMBERS.format(group=schema.group, namespace=schema.namespace)
    schema.kubectl("apply", manifest)
    first = schema.get(JOBS, "numbers")
    schema.kubectl("diff", manifest)  # fails where there is a difference
    schema.kubectl("apply", manifest)
    again = schema.get(JOBS, "numbers")
    assert again["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert again["spec"]["testDataset"] == {"split": 0.3}
    assert again["spec"]["rebalance"] == {"shares": {"a": 0.3, "b": 0.7, "c": 0}}
    assert again["spec"]["hyperparameters"] == {
        "learningRate": 2e-4,
        "headLearningRate": 0.001,
        "maxGradNorm": 1,
        "weightDecay": 0,
        "warmupRatio": 0.3,
    }


def test_numbers_in_other_spellings_are_the_same_numbers(schema: SchemaServer) -> None:
    before = job(hyperparameters={"maxGradNorm": 1.0, "learningRate": 0.0002}, resources={"limits": {"cpu": 1}})
    after = job(hyperparameters={"maxGradNorm": 1, "learningRate": 2e-4}, resources={"limits": {"cpu": 1}})
    assert schema.change_refusal(JOBS, before, after) == ""


def test_status_is_not_written_with_the_object_nor_the_object_with_the_status(schema: SchemaServer) -> None:
    made = schema.create(JOBS, LEAST_JOB)
    assert "status" not in made
    name = made["metadata"]["name"]
    written = schema.set_status(JOBS, name, {"phase": "Pending", "observedGeneration": 1})
    assert written["status"]["phase"] == "Pending"
    assert written["metadata"]["generation"] == 1


def test_columns_of_a_training_job(schema: SchemaServer) -> None:
    name = schema.create(JOBS, LEAST_JOB)["metadata"]["name"]
    status = {
        "phase": "Training",
        "message": "epoch 2 of 3, loss 0.214",
        "attempt": 1,
        "score": "0.9125",
        "baseModel": {"display": "earlier/epoch-3", "uri": "pvc://earlier-output/model"},
        "progress": {"display": "63%", "eta": "1m14s", "loss": 0.214},
    }
    schema.set_status(JOBS, name, status)
    columns, cells = schema.table(JOBS, name)
    assert [column["name"] for column in columns if column["priority"] == 0] == [
        "Name",
        "Phase",
        "Progress",
        "Loss",
        "Score",
        "ETA",
        "Age",
    ]
    shown = dict(zip((column["name"] for column in columns), cells, strict=True))
    del shown["Age"]
    assert shown == {
        "Name": name,
        "Phase": "Training",
        "Progress": "63%",
        "Loss": 0.214,
        "Score": "0.9125",
        "ETA": "1m14s",
        "Base Model": "earlier/epoch-3",
        "Attempt": 1,
        "Message": "epoch 2 of 3, loss 0.214",
    }


def test_columns_of_a_deployment(schema: SchemaServer) -> None:
    plural = names.DEPLOYMENT_PLURAL
    name = schema.create(plural, LEAST[plural])["metadata"]["name"]
    url = "http://news.default.svc"
    model = {"display": "news/epoch-3", "uri": "pvc://news-output/model"}
    upcoming = {"display": "Sleeping 20:00 CET", "time": "2026-12-01T19:00:00Z", "to": "Sleeping", "why": "schedule"}
    status = {"phase": "Deployed", "ready": "1/1", "model": model, "url": url, "nextTransition": upcoming}
    schema.set_status(plural, name, status)
    columns, cells = schema.table(plural, name)
    assert [column["name"] for column in columns if column["priority"] == 0] == [
        "Name",
        "Phase",
        "Ready",
        "Model",
        "URL",
        "Next",
        "Age",
    ]
    assert cells[:6] == [name, "Deployed", "1/1", "news/epoch-3", url, "Sleeping 20:00 CET"]


def test_status_of_a_deployment_is_kept_as_it_is_written(schema: SchemaServer) -> None:
    plural = names.DEPLOYMENT_PLURAL
    name = schema.create(plural, LEAST[plural])["metadata"]["name"]
    condition = {
        "type": "Awake",
        "status": "False",
        "reason": "Idle",
        "message": "",
        "lastTransitionTime": "2026-12-01T10:00:00Z",
        "observedGeneration": 1,
    }
    status = {
        "observedGeneration": 1,
        "phase": "Sleeping",
        "message": "asleep; the next request wakes it",
        "model": {
            "display": "news/epoch-3",
            "uri": "pvc://a/b",
            "checkpoint": "epoch-3",
            "metric": "macroF1",
            "score": "0.91",
        },
        "url": "http://news.default.svc",
        "ready": "0/0",
        "replicas": 0,
        "readyReplicas": 0,
        "selector": "a=b",
        "lastRequestTime": "2026-12-01T09:30:00Z",
        "nextTransition": {
            "display": "Deployed Mon 08:00 CET",
            "time": "2026-12-02T07:00:00Z",
            "to": "Deployed",
            "why": "schedule",
        },
        "wakeSeconds": 7.9,
        "conditions": [condition],
    }
    assert status.keys() == {field.alias or key for key, field in DeploymentStatus.model_fields.items()}
    assert schema.set_status(plural, name, status)["status"] == status
    # The operator reads what it wrote, and would write the same again.
    assert DeploymentStatus.from_json_object(status).to_json_object() == status
