"""Trainings of several processes: pods that find each other, and a process for each GPU of a pod."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.objects import config_map, rows, status, training_job, wait_for_phase
from support import kube
from support.claim import fill_claim, folder_files
from support.server_models import llama_folder

pytestmark = pytest.mark.e2e

SHARED = {"claim": {"accessModes": ["ReadWriteMany"]}}
PARTS: dict[str, dict[str, Any]] = {
    "pods": {"nodes": 2, "output": SHARED},
    # The local node says that it has GPUs; there are none, so that each process takes the CPU.
    "gpus": {"resources": {"requests": {"cpu": "100m"}, "limits": {"nvidia.com/gpu": 2}}},
}


@pytest.fixture(scope="module")
def shared_models(namespace: str, references: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A claim called `shared` that several nodes could mount, with the random tiny Llama `tiny`."""
    classes = json.loads(kube.kubectl("get", "storageclasses", "-o", "json"))["items"]
    if any(each["provisioner"] == "rancher.io/local-path" for each in classes):
        pytest.skip("kind's storage has no claims for several nodes")
    folder = tmp_path_factory.mktemp("shared")
    llama_folder(folder / "tiny", suffix=None)
    files, image = folder_files(folder, "."), references["trainer"]
    fill_claim("shared", files, image=image, namespace=namespace, size="1Gi", access_mode="ReadWriteMany")
    return "shared"


@pytest.fixture(scope="module")
def data(namespace: str, references: dict[str, str]) -> str:
    kube.apply(config_map("data", {"train.jsonl": rows(120)}), namespace=namespace)
    return namespace


@pytest.mark.parametrize("name", PARTS)
def test_two_processes_train_together(data: str, shared_models: str, name: str) -> None:
    base = {"uri": f"pvc://{shared_models}/tiny"}
    spec = {"baseModel": base, "testDataset": {"split": 0.2}, "backoffLimit": 0} | PARTS[name]
    kube.apply(training_job(name, **spec), namespace=data)
    done = wait_for_phase("ctj", name, data, "Succeeded", "Failed")
    assert done["phase"] == "Succeeded", done["message"]
    assert done["attempt"] == 1
    assert [each["name"] for each in done["checkpoints"]] == ["epoch-1", "epoch-2"]
    pods = kube.items("pods", data, f"classifiers.dev/training-job={name}")
    assert len(pods) == PARTS[name].get("nodes", 1)
    assert {pod["status"]["phase"] for pod in pods} == {"Succeeded"}


def test_a_mistake_fails_all_at_once(data: str, shared_models: str) -> None:
    kube.apply(config_map("wrong", {"train.jsonl": rows(2) + "{not json\n"}), namespace=data)
    dataset = {"configMap": {"name": "wrong", "key": "train.jsonl"}}
    for name, spec in PARTS.items():
        base = {"uri": f"pvc://{shared_models}/tiny"}
        kube.apply(training_job(f"wrong-{name}", baseModel=base, trainDataset=dataset, **spec), namespace=data)
    for name in PARTS:
        wait_for_phase("ctj", f"wrong-{name}", data, "Failed", "Succeeded")
        said = status("ctj", f"wrong-{name}", data)
        assert said["phase"] == "Failed", said
        assert "line 3 is not JSON" in said["message"]
