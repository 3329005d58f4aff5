"""What the API server accepts as a ClassifierDeployment, what it says where it does not, and how it scales."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.api.deployment import DeploymentSpec
from integration.schema_server import LEAST, SchemaServer, merged

pytestmark = pytest.mark.integration
DEPLOYMENTS = names.DEPLOYMENT_PLURAL
LEAST_DEPLOYMENT = LEAST[DEPLOYMENTS]

ACCEPTED: dict[str, dict[str, Any]] = {
    "the least": {},
    "hub": {"model": {"uri": "hf://a/b@main", "secretName": "hf-token"}},
    "object store": {"model": {"uri": "s3://models/news/model", "secretName": "store"}},
    "web": {"model": {"uri": "https://models.example/news.tar.gz"}},
    "checkpoint": {"model": {"uri": None, "checkpoint": {"trainingJobName": "news"}}},
    "best": {"model": {"uri": None, "checkpoint": {"trainingJobName": "news", "name": "best"}}},
    "last": {"model": {"uri": None, "checkpoint": {"trainingJobName": "news", "name": "last"}}},
    "an epoch": {"model": {"uri": None, "checkpoint": {"trainingJobName": "news", "name": "epoch-12"}}},
    "no pods": {"replicas": 0},
    "timeouts": {"startupTimeout": "1h30m"},
    "service": {"service": {"type": "NodePort", "port": 8080, "annotations": {"a": "b"}}, "updateStrategy": "Recreate"},
    "server": {"server": {"maxLength": 512, "maxBatchTokens": "Auto", "maxQueue": 1, "precision": "BFloat16"}},
    "batch tokens": {"server": {"maxBatchTokens": 16384}},
    "pod": {"suspend": True, "image": "a/b:c", "podTemplate": {"spec": {"runtimeClassName": "nvidia"}}},
}

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no model": ({"model": None}, "spec.model: Required value"),
    "empty model": ({"model": {"uri": None}}, "model needs exactly one of checkpoint and uri"),
    "two models": (
        {"model": {"checkpoint": {"trainingJobName": "news"}}},
        "model needs exactly one of checkpoint and uri",
    ),
    "model of another kind": (
        {"model": {"uri": "gs://models/news"}},
        "model.uri must be pvc://claim/path, hf://org/name[@revision], s3://bucket/prefix, "
        "https://host/archive.tar.gz or file:///path",
    ),
    "no such checkpoint": (
        {"model": {"uri": None, "checkpoint": {"trainingJobName": "news", "name": "newest"}}},
        "checkpoint.name must be best, last, or epoch-N",
    ),
    "epoch 0": (
        {"model": {"uri": None, "checkpoint": {"trainingJobName": "news", "name": "epoch-0"}}},
        "checkpoint.name must be best, last, or epoch-N",
    ),
    "too short a timeout": ({"startupTimeout": "1s"}, "startupTimeout must be between 10s and 24h"),
    "too long a timeout": ({"startupTimeout": "25h"}, "startupTimeout must be between 10s and 24h"),
    "timeout without unit": ({"startupTimeout": "30"}, "spec.startupTimeout"),
    "timeout as a number": ({"startupTimeout": 30}, "must be of type string"),
    "auto in small letters": ({"server": {"maxBatchTokens": "auto"}}, "a number of tokens, e.g. 16384, or Auto"),
    "no batch tokens": ({"server": {"maxBatchTokens": 0}}, "should be greater than or equal to 1"),
    "port": ({"service": {"port": 65536}}, "port in body should be less than or equal to 65535"),
    "headless": ({"service": {"type": "ExternalName"}}, 'supported values: "ClusterIP", "NodePort", "LoadBalancer"'),
    "negative replicas": ({"replicas": -1}, "replicas in body should be greater than or equal to 0"),
    "not yet": ({"inactivityTimeout": "30m"}, 'unknown field "spec.inactivityTimeout"'),
}


@pytest.mark.parametrize("case", ACCEPTED)
def test_accepts(schema: SchemaServer, case: str) -> None:
    spec = merged(LEAST_DEPLOYMENT, ACCEPTED[case])
    assert schema.refusal(DEPLOYMENTS, spec) == ""
    # What the API server lets in, the operator can read, and nothing is lost.
    assert DeploymentSpec.from_json_object(spec).user_set() == spec


@pytest.mark.parametrize("case", REFUSED)
def test_refuses_with_a_sentence(schema: SchemaServer, case: str) -> None:
    patch, sentence = REFUSED[case]
    assert sentence in schema.refusal(DEPLOYMENTS, merged(LEAST_DEPLOYMENT, patch))


def test_refuses_names_that_services_cannot_have(schema: SchemaServer) -> None:
    assert "metadata.name must have at most 48 characters" in schema.refusal(DEPLOYMENTS, LEAST_DEPLOYMENT, "2news")


@pytest.mark.parametrize("case", ACCEPTED)
def test_everything_may_be_changed(schema: SchemaServer, case: str) -> None:
    changed = merged(LEAST_DEPLOYMENT, ACCEPTED[case])
    assert schema.change_refusal(DEPLOYMENTS, LEAST_DEPLOYMENT, changed) == ""
    assert schema.change_refusal(DEPLOYMENTS, changed, LEAST_DEPLOYMENT) == ""


def test_scales_without_a_value_in_the_specification(schema: SchemaServer) -> None:
    name = schema.create(DEPLOYMENTS, LEAST_DEPLOYMENT)["metadata"]["name"]
    assert schema.get(DEPLOYMENTS, name)["spec"]["replicas"] == 1
    schema.set_status(DEPLOYMENTS, name, {"replicas": 1, "selector": "classifiers.dev/deployment=news"})
    scaled = schema.scale(DEPLOYMENTS, name, 3)
    assert scaled["status"] == {"replicas": 1, "selector": "classifiers.dev/deployment=news"}
    assert schema.get(DEPLOYMENTS, name)["spec"]["replicas"] == 3
