"""Manifests, word for word. With WRITE_GOLDEN=1 they are written anew: look at the difference."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier_operator.api import names
from classifier_operator.api.training_status import BaseModelStatus
from classifier_operator.manifests.claim import output_claim
from classifier_operator.manifests.deployment import API_KEYS, server_deployment
from classifier_operator.manifests.disruption_budget import disruption_budget
from classifier_operator.manifests.endpointslice import GatewayEndpoint, gateway_slices
from classifier_operator.manifests.job import training_job as job_manifest
from classifier_operator.manifests.lease import wake_lease
from classifier_operator.manifests.rendezvous import headless_service
from classifier_operator.manifests.service import server_service
from classifier_operator.plan.output import output_uri
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.serve_config import SERVE_CONFIG_VARIABLE, ServeConfig
from classifier_operator.wire.wake import GatewayOrder
from support.builders import UID, deployment, training_job

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden" / "manifests"
IMAGE = "classifier-operator/trainer:1"
POD_TEMPLATE = {
    "metadata": {
        "labels": {"team": "nlp", "app.kubernetes.io/managed-by": "someone-else"},
        "annotations": {"note": "x"},
    },
    "spec": {
        "nodeSelector": {"gpu": "h100"},
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        "priorityClassName": "low",
        "imagePullSecrets": [{"name": "pull"}],
        "env": [
            {"name": "HTTPS_PROXY", "value": "http://proxy:3128"},
            {"name": "HOME", "value": "/root"},
            {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
        ],
        "volumes": [
            {"name": "certificates", "configMap": {"name": "ca"}},
            {"name": "output", "emptyDir": {}},
        ],
        "volumeMounts": [{"name": "certificates", "mountPath": "/certificates", "readOnly": True}],
    },
}


def job(base: BaseModelStatus | None = None, **spec: Any) -> dict[str, Any]:
    made = training_job(**spec)
    return job_manifest(
        made,
        name=names.job_name("news", UID),
        output_uri=output_uri(made),
        base_model=base or BaseModelStatus(uri=made.spec.base_model.uri),
        suspended=False,
        image=IMAGE,
    )


def served(replicas: int = 1, uri: str = "file:///model", **spec: Any) -> dict[str, Any]:
    checkpoint, base = ("epoch-3", "pvc://smollm2/model") if uri.startswith("pvc://r8") else (None, None)
    return server_deployment(
        deployment(**spec),
        replicas=replicas,
        model_uri=uri,
        checkpoint=checkpoint,
        base_model_uri=base,
        image="classifier-operator/server:1",
    )


ORDER = GatewayOrder(
    namespace="default",
    name="news",
    uid=UID,
    port=10_007,
    answer="Hold",
    reason="Idle",
    message="news sleeps, since nothing was asked for 30 minutes.",
    key_digests=("0" * 64,),
    max_held=1000,
    hold_seconds=300.0,
    wake_seconds=7.9,
)


def slices(*addresses: str) -> list[dict[str, Any]]:
    endpoints = (GatewayEndpoint(address, f"node-{number}") for number, address in enumerate(addresses))
    return gateway_slices(deployment(), port=10_007, endpoints=endpoints)


CASES = {
    "job-least": lambda: job(),
    "job-full": lambda: job(
        baseModel={"uri": "pvc://smollm2/model", "secretName": "hub"},
        taskType="Multiclass",
        trainDataset={"configMap": {"name": "r8", "key": "train.jsonl"}},
        testDataset={"uri": "pvc://smollm2/test.jsonl"},
        hyperparameters={"epochs": 2, "learningRate": 2e-4, "lora": {"rank": 8}},
        output={"ifExists": "Fail"},
        resources={"limits": {"nvidia.com/gpu": 1, "memory": "16Gi"}, "requests": {"cpu": "500m"}},
        backoffLimit=0,
        image="mine:2",
        podTemplate=POD_TEMPLATE,
    ),
    "job-continued": lambda: job(
        BaseModelStatus(
            display="earlier/epoch-2",
            uri="pvc://earlier-output/checkpoints/epoch-2",
            adapter_base="hf://Qwen/Qwen3-4B-Base",
        ),
        baseModel={"checkpoint": {"trainingJobName": "earlier", "name": "epoch-2"}},
    ),
    "job-object-store": lambda: job(
        baseModel={"uri": "s3://models/qwen", "secretName": "store"},
        trainDataset={
            "uri": "s3://data/train.csv",
            "secretName": "store",
            "format": "CSV",
            "columns": {"prompt": "text", "completion": "topic"},
            "limit": 1000,
        },
        testDataset={"uri": "hf://datasets/org/name", "secretName": "hub", "hub": {"split": "validation"}},
        validation={"split": 0.1},
        rebalance={"counts": {"a": 10, "b": 20}},
        testFunctions=[
            {"builtin": "SampleMatchCombined"},
            {"name": "cost", "configMap": {"name": "functions", "key": "cost.py"}},
            {"name": "gain", "uri": "pvc://functions/gain.py"},
        ],
        output={"uri": "s3://models/news/", "secretName": "store-writer"},
        checkpoints={"keep": "Best", "format": "Merged"},
        report={"rows": False},
    ),
    "job-nodes": lambda: job(
        nodes=4,
        backoffLimit=2,
        output={"claim": {"accessModes": ["ReadWriteMany"]}},
        resources={"limits": {"nvidia.com/gpu": 8}},
        podTemplate={"spec": {"env": [{"name": "RANK", "value": "7"}, {"name": "NCCL_DEBUG", "value": "INFO"}]}},
    ),
    "job-node-gpus": lambda: job(resources={"limits": {"nvidia.com/gpu": 2}}),
    "job-nodes-cpu": lambda: job(nodes=2, output={"uri": "s3://models/news"}),
    "service-headless": lambda: headless_service(training_job(nodes=4), name=names.job_name("news", UID)),
    "claim-least": lambda: output_claim(training_job(), name="news-output"),
    "claim-full": lambda: output_claim(
        training_job(
            output={
                "claim": {
                    "size": "50Gi",
                    "storageClassName": "fast",
                    "accessModes": ["ReadWriteMany"],
                    "whenDeleted": "Delete",
                }
            }
        ),
        name="news-output",
    ),
    "deployment-least": lambda: served(),
    "deployment-full": lambda: served(
        replicas=3,
        uri="pvc://r8-output/checkpoints/epoch-3",
        startupTimeout="90s",
        updateStrategy="Recreate",
        auth={"apiKeySecretName": "news-keys"},
        server={"maxLength": 256, "maxBatchTokens": "Auto", "maxQueue": 64, "precision": "Float32"},
        resources={"limits": {"memory": "4Gi"}},
        podTemplate=POD_TEMPLATE,
    ),
    "service-least": lambda: server_service(deployment()),
    "service-full": lambda: server_service(
        deployment(service={"type": "NodePort", "port": 8000, "annotations": {"a": "b"}})
    ),
    "slice-ipv4": lambda: slices("10.0.0.9", "10.0.0.7")[0],
    "slice-ipv6": lambda: slices("10.0.0.7", "fd00::7")[1],
    "disruption-budget": lambda: disruption_budget(deployment(replicas=3)),
    "lease": lambda: wake_lease("classifier-system", ORDER),
}


@pytest.mark.parametrize("name", CASES)
def test_golden(name: str) -> None:
    manifest, path = CASES[name](), GOLDEN / f"{name}.yaml"
    if os.environ.get("WRITE_GOLDEN"):
        path.write_text(yaml.safe_dump(manifest, sort_keys=False, width=120))
    assert yaml.safe_load(path.read_text()) == manifest


def test_every_golden_file_has_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.yaml")} == set(CASES)


def test_one_claim_is_one_volume() -> None:
    manifest = job(baseModel={"uri": "pvc://data/model"}, trainDataset={"uri": "pvc://data/train.jsonl"})
    pod = manifest["spec"]["template"]["spec"]
    assert [each["name"] for each in pod["volumes"] if "persistentVolumeClaim" in each] == ["output", "base-model"]
    mounts = {each["mountPath"]: each["name"] for each in pod["containers"][0]["volumeMounts"]}
    assert mounts["/inputs/train"] == mounts["/inputs/base-model"] == "base-model"


def test_the_output_is_writable_also_on_a_claim_that_is_read() -> None:
    manifest = job(baseModel={"uri": "pvc://all/model"}, output={"claim": {"name": "all", "path": "runs/1"}})
    mounts = manifest["spec"]["template"]["spec"]["containers"][0]["volumeMounts"]
    assert {each["mountPath"]: each.get("readOnly", False) for each in mounts} == {
        "/output": False,
        "/inputs/base-model": True,
        "/tmp": False,
    }


def test_each_ip_family_has_a_slice_of_its_own() -> None:
    assert slices() == []
    found = {each["metadata"]["name"]: each for each in slices("10.0.0.7", "fd00::7", "10.0.0.8")}
    addresses = {name: [each["addresses"] for each in value["endpoints"]] for name, value in found.items()}
    assert addresses == {"news-gateway": [["10.0.0.7"], ["10.0.0.8"]], "news-gateway-ipv6": [["fd00::7"]]}
    assert {name: value["addressType"] for name, value in found.items()} == {
        "news-gateway": "IPv4",
        "news-gateway-ipv6": "IPv6",
    }


def test_a_slice_leads_where_the_service_does() -> None:
    # kube-proxy puts endpoints together by the name of the port; the labels are what the operator watches.
    service, (made,) = server_service(deployment()), slices("10.0.0.7")
    assert [each["name"] for each in made["ports"]] == [each["name"] for each in service["spec"]["ports"]]
    assert made["metadata"]["labels"]["kubernetes.io/service-name"] == service["metadata"]["name"]
    assert made["metadata"]["labels"].items() >= service["metadata"]["labels"].items()


def test_a_pod_without_a_node_has_no_node_in_the_slice() -> None:
    (made,) = gateway_slices(deployment(), port=1, endpoints=[GatewayEndpoint("10.0.0.7", "")])
    assert "nodeName" not in made["endpoints"][0]


def test_the_server_is_told_where_its_keys_are() -> None:
    manifest = served(auth={"apiKeySecretName": "k"})
    config = ServeConfig.decode(_environment(manifest)[SERVE_CONFIG_VARIABLE])
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    assert mounts[config.api_keys_dir or ""] == {"name": "api-keys", "mountPath": API_KEYS, "readOnly": True}
    assert ServeConfig.decode(_environment(served())[SERVE_CONFIG_VARIABLE]).api_keys_dir is None


def _environment(manifest: dict[str, Any]) -> dict[str, str]:
    (container,) = manifest["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", "") for each in container["env"]}


def test_a_configuration_that_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # The bounds of the schema leave room; this is for the day when they do not.
    monkeypatch.setattr("classifier_operator.wire.model.MAX_BYTES", 100)
    with pytest.raises(WireError, match="at most 100 are possible: shorten it"):
        job()
