"""What the API server accepts as a ClassifierDeployment, what it says where it does not, and how it scales."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api import crdgen, names
from classifier_operator.api.deployment import DeploymentSpec
from integration.schema_server import LEAST, SchemaServer, merged

pytestmark = pytest.mark.integration
DEPLOYMENTS = names.DEPLOYMENT_PLURAL
LEAST_DEPLOYMENT = LEAST[DEPLOYMENTS]

WORKDAYS = {"start": "0 8 * * 1-5", "stop": "0 20 * * 1-5"}
ONCE = {"start": "2026-12-24T08:00:00", "stop": "2026-12-24T12:00:00"}


def schedule(*windows: dict[str, str], outside: str | None = None, zone: str = "Europe/Berlin") -> dict[str, Any]:
    return {"timeZone": zone, "windows": [*windows], **({"outside": outside} if outside else {})}


def required(**fields: Any) -> dict[str, Any]:
    """A checkpoint with model.require."""
    return {"model": {"uri": None, "checkpoint": {"trainingJobName": "news"}, "require": fields}}


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
    "pickled weights": {"server": {"allowPickle": True}},
    "dialects": {"server": {"classifyDialect": "Infinity", "unflaggedLabels": ["ok", "other things"]}},
    "pod": {"suspend": True, "image": "a/b:c", "podTemplate": {"spec": {"runtimeClassName": "nvidia"}}},
    "resources": {"resources": {"limits": {"nvidia.com/gpu": 1}}},
    "idle": {"inactivityTimeout": "30m"},
    "idle soon": {"inactivityTimeout": "10s"},
    "idle late": {"inactivityTimeout": "720h"},
    "wake": {"wake": {"onRequest": False, "holdTimeout": "1s", "maxHeld": 1}, "inactivityTimeout": "1h"},
    "wake late": {"wake": {"onRequest": True, "holdTimeout": "1h", "maxHeld": 100000}},
    "autoscaling": {"autoscaling": {"maxReplicas": 4}},
    "autoscaling in bounds": {"autoscaling": {"minReplicas": 4, "maxReplicas": 4, "targetInFlight": 1}},
    "workdays": {"schedule": schedule(WORKDAYS)},
    "names of days": {"schedule": schedule({"start": "30 7,19 * JAN-NOV MON-FRI", "stop": "0  12,22 * * *"})},
    "a date": {"schedule": schedule(ONCE, zone="UTC", outside="Sleep")},
    "dates without seconds": {"schedule": schedule({"start": "2026-12-24T08:00", "stop": "2026-12-24T08:00:01"})},
    "the most windows": {"schedule": schedule(*[WORKDAYS, ONCE] * 16, zone="America/Argentina/Buenos_Aires")},
    "wakes outside": {"schedule": schedule(WORKDAYS, outside="WakeOnRequest"), "inactivityTimeout": "15m"},
    "wakes outside, and says so": {
        "schedule": schedule(WORKDAYS, outside="WakeOnRequest", zone="Etc/GMT+5"),
        "inactivityTimeout": "15m",
        "wake": {"onRequest": True},
    },
    "sleeps outside without a request": {
        "schedule": schedule(WORKDAYS, outside="Sleep"),
        "inactivityTimeout": "15m",
        "wake": {"onRequest": False},
    },
    "a better checkpoint": required(metric="macroF1"),
    "a good checkpoint": required(metric="my_score", atLeast=0.9),
    "keys": {"auth": {"apiKeySecretName": "news-keys"}},
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
    "idle at once": ({"inactivityTimeout": "9s"}, "inactivityTimeout must be between 10s and 720h, e.g. 30m"),
    "idle never": ({"inactivityTimeout": "720h1s"}, "inactivityTimeout must be between 10s and 720h, e.g. 30m"),
    "idle in days": ({"inactivityTimeout": "1d"}, "spec.inactivityTimeout"),
    "held too short": ({"wake": {"holdTimeout": "500ms"}}, "wake.holdTimeout must be between 1s and 1h, e.g. 5m"),
    "held too long": ({"wake": {"holdTimeout": "61m"}}, "wake.holdTimeout must be between 1s and 1h, e.g. 5m"),
    "held by none": ({"wake": {"maxHeld": 0}}, "maxHeld in body should be greater than or equal to 1"),
    "held too many": ({"wake": {"maxHeld": 100001}}, "maxHeld in body should be less than or equal to 100000"),
    "autoscaling without a limit": ({"autoscaling": {}}, "spec.autoscaling.maxReplicas: Required value"),
    "autoscaling to nothing": (
        {"autoscaling": {"minReplicas": 0, "maxReplicas": 1}},
        "minReplicas in body should be greater than or equal to 1",
    ),
    "autoscaling upside down": (
        {"autoscaling": {"minReplicas": 3, "maxReplicas": 2}},
        "autoscaling.minReplicas must not be larger than autoscaling.maxReplicas",
    ),
    "a target of nothing": (
        {"autoscaling": {"maxReplicas": 2, "targetInFlight": 0}},
        "targetInFlight in body should be greater than or equal to 1",
    ),
    "no zone": ({"schedule": {"windows": [WORKDAYS]}}, "spec.schedule.timeZone: Required value"),
    "zone with a blank": ({"schedule": schedule(WORKDAYS, zone="Europe Berlin")}, "spec.schedule.timeZone"),
    "zone as an offset": ({"schedule": schedule(WORKDAYS, zone="+02:00")}, "spec.schedule.timeZone"),
    "no windows": ({"schedule": {"timeZone": "UTC"}}, "spec.schedule.windows: Required value"),
    "not one window": ({"schedule": schedule()}, "spec.schedule.windows in body should have at least 1 items"),
    "too many windows": ({"schedule": schedule(*[WORKDAYS] * 33)}, "must have at most 32 items"),
    "window without an end": (
        {"schedule": {"timeZone": "UTC", "windows": [{"start": "0 8 * * *"}]}},
        "spec.schedule.windows[0].stop: Required value",
    ),
    "cron and date": (
        {"schedule": schedule({"start": "0 8 * * *", "stop": "2026-12-24T12:00:00"})},
        "start and stop of a window must be written alike, each cron with five fields, e.g. 0 8 * * 1-5, or a date of "
        "the years 2000 to 2999 without an offset, e.g. 2026-12-24T08:00:00",
    ),
    "six fields": ({"schedule": schedule({"start": "0 0 8 * * 1-5", "stop": "0 20 * * *"})}, "cron with five fields"),
    "four fields": ({"schedule": schedule(WORKDAYS, {"start": "0 8 * *", "stop": "0 20 * * *"})}, "windows[1]"),
    "a word": ({"schedule": schedule({"start": "@daily", "stop": "@daily"})}, "must be written alike"),
    "an offset": (
        {"schedule": schedule({"start": "2026-12-24T08:00:00Z", "stop": "2026-12-24T12:00:00Z"})},
        "without an offset",
    ),
    "a day without a time": ({"schedule": schedule({"start": "2026-12-24", "stop": "2026-12-25"})}, "must be written"),
    "another century": (
        {"schedule": schedule({"start": "1999-12-24T08:00", "stop": "1999-12-24T09:00"})},
        "the years 2000 to 2999",
    ),
    "stop before start": (
        {"schedule": schedule({"start": ONCE["stop"], "stop": ONCE["start"]})},
        "stop of a window must be after its start",
    ),
    "stop at the start": (
        {"schedule": schedule({"start": "2026-12-24T08:00:00", "stop": "2026-12-24T08:00"})},
        "stop of a window must be after its start",
    ),
    "an expression too long": ({"schedule": schedule({"start": "0 8 * * " + "1," * 50, "stop": "0 9 * * *"})}, "100"),
    "outside of its own": (
        {"schedule": schedule(WORKDAYS, outside="Off")},
        'supported values: "Sleep", "WakeOnRequest"',
    ),
    "wakes outside, and never sleeps again": (
        {"schedule": schedule(WORKDAYS, outside="WakeOnRequest")},
        "schedule.outside: WakeOnRequest needs inactivityTimeout, after which it sleeps again: write e.g. 30m",
    ),
    "wakes outside, and does not": (
        {
            "schedule": schedule(WORKDAYS, outside="WakeOnRequest"),
            "inactivityTimeout": "30m",
            "wake": {"onRequest": False},
        },
        "schedule.outside: WakeOnRequest and wake.onRequest: false contradict each other: write one of them",
    ),
    "test results of an address": (
        {"model": {"require": {"metric": "macroF1"}}},
        "model.require looks at test results of a checkpoint: write model.checkpoint, or leave it out",
    ),
    "no metric": (required(atLeast=0.9), "spec.model.require.metric: Required value"),
    "a metric that is none": (required(metric="macro F1"), "spec.model.require.metric"),
    "a result as text": (required(metric="macroF1", atLeast="0.9"), "must be of type number"),
    "keys of nobody": ({"auth": {}}, "spec.auth.apiKeySecretName: Required value"),
    "keys without a name": ({"auth": {"apiKeySecretName": ""}}, "spec.auth.apiKeySecretName"),
    "keys in capitals": ({"auth": {"apiKeySecretName": "News"}}, "spec.auth.apiKeySecretName"),
    "keys in the specification": ({"auth": {"apiKeys": ["a"]}}, 'unknown field "spec.auth.apiKeys"'),
    "a dialect in small letters": ({"server": {"classifyDialect": "vllm"}}, 'supported values: "VLLM", "Infinity"'),
    "a label without letters": ({"server": {"unflaggedLabels": [""]}}, "spec.server.unflaggedLabels[0]"),
    "too many labels": (
        {"server": {"unflaggedLabels": ["a"] * 1001}},
        "must have at most 1000 items",
    ),
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


@pytest.mark.parametrize("metric", ["logLoss", "brier", "expectedCalibrationError", "loss"])
def test_refuses_to_require_what_is_better_when_it_is_less(schema: SchemaServer, metric: str) -> None:
    said = schema.refusal(DEPLOYMENTS, merged(LEAST_DEPLOYMENT, required(metric=metric, atLeast=0.1)))
    assert "model.require.metric must be a metric of which more is better, e.g. macroF1 or accuracy" in said


def fields(schema_of: dict[str, Any], prefix: str = "") -> set[str]:
    """The paths of all fields, down to where a map, or what both kinds have in common, begins."""
    found = set()
    for name, each in schema_of.get("properties", {}).items():
        path = f"{prefix}{name}"
        found.add(path)
        if path not in ("resources", "podTemplate"):
            found |= fields(each.get("items", each), f"{path}.")
    return found


def written(value: Any, prefix: str = "") -> set[str]:
    """The paths of all fields that a specification has."""
    if isinstance(value, list):
        return set().union(*(written(each, prefix) for each in value))
    if not isinstance(value, dict):
        return set()
    return set().union(*({f"{prefix}{name}"} | written(each, f"{prefix}{name}.") for name, each in value.items()))


def test_every_field_is_tried() -> None:
    kind = next(kind for kind in crdgen.KINDS if kind.plural == DEPLOYMENTS)
    version = crdgen.custom_resource_definition(kind)["spec"]["versions"][0]
    known = fields(version["schema"]["openAPIV3Schema"]["properties"]["spec"])
    assert len(known) > 40
    assert known <= set().union(*(written(merged(LEAST_DEPLOYMENT, each)) for each in ACCEPTED.values()))


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
