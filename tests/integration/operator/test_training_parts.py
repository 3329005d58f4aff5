"""Training jobs that start from another one's checkpoint, run on several nodes, or name objects of others."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import BATCH_JOBS, CLAIMS, CONFIG_MAPS, SERVICES, TRAINING_JOBS
from classifier_operator.wire.run_config import RUN_CONFIG_VARIABLE
from support.builders import training_job_manifest
from support.control_plane import eventually
from support.fake_kubelet import Ending, words
from support.scene import Scene, true_conditions

pytestmark = pytest.mark.integration

DONE = words(
    "Succeeded",
    "macro-F1 0.9",
    best="epoch-1",
    dataset={"taskType": "Multiclass", "trainRows": 8, "validationRows": 1, "testRows": 2},
    checkpoints=[
        {"name": f"epoch-{n}", "step": n, "path": f"checkpoints/epoch-{n}", "metrics": {"macroF1": f"0.{n}"}}
        for n in (1, 2)
    ],
)
BROKEN = words("Failed", "trainDataset.uri: line 3 is not JSON")


def from_checkpoint(job: str, name: str = "best") -> dict[str, Any]:
    return {"baseModel": {"checkpoint": {"trainingJobName": job, "name": name}}}


async def run_config(scene: Scene, name: str) -> Json:
    """What the trainer of this training job is told."""
    container = (await scene.job(name))["spec"]["template"]["spec"]["containers"][0]
    (text,) = [each["value"] for each in container["env"] if each["name"] == RUN_CONFIG_VARIABLE]
    config: Json = json.loads(text)
    return config


async def test_a_job_waits_for_the_checkpoint_of_another(scene: Scene) -> None:
    await scene.train("second", Ending(0, DONE), **from_checkpoint("first", "last"))
    status = await scene.says(TRAINING_JOBS, "second", "waiting for ClassifierTrainingJob first to be created")
    assert true_conditions(status) == {"Reconciling": "WaitingForTrainingJob"}
    await scene.train("first", Ending(0, DONE, seconds=2))
    text = "waiting for checkpoint last of ClassifierTrainingJob first, which is Preparing"
    status = await scene.says(TRAINING_JOBS, "second", text)
    assert await scene.cluster.find(CLAIMS, "second-output") is None, "a job that waits takes no storage"
    status = await scene.phase(TRAINING_JOBS, "second", "Succeeded")
    uri = "pvc://first-output/checkpoints/epoch-2"
    assert status["baseModel"] == {"display": "first/epoch-2", "uri": uri, "adapterBase": "file:///model"}
    assert (status["score"], status["dataset"]["validationRows"]) == ("0.1", 1)
    config = await run_config(scene, "second")
    assert config["baseModel"] == {"uri": uri, "adapterBase": "file:///model"}
    assert config["mounts"][uri] == "/inputs/base-model/checkpoints/epoch-2"


async def test_a_job_whose_base_failed(scene: Scene) -> None:
    await scene.train("next", **from_checkpoint("broken"))
    await scene.train("broken", Ending(42, BROKEN))
    text = "ClassifierTrainingJob broken failed, so it has no checkpoint best: trainDataset.uri: line 3 is not JSON"
    status = await scene.says(TRAINING_JOBS, "next", text)
    assert (status["phase"], true_conditions(status)) == ("Pending", {"Stalled": "TrainingJobFailed"})
    # Applied again, it works.
    await scene.cluster.delete(TRAINING_JOBS, "broken")
    await scene.train("broken", Ending(0, DONE))
    await scene.phase(TRAINING_JOBS, "next", "Preparing")


async def test_a_base_stays_until_it_was_used(scene: Scene) -> None:
    await scene.train("user", Ending(0, DONE, seconds=3), **from_checkpoint("short"))
    await scene.train("short", Ending(0, DONE), ttlSecondsAfterFinished=0)
    await scene.phase(TRAINING_JOBS, "user", "Preparing")
    assert await scene.cluster.find(TRAINING_JOBS, "short") is not None

    async def gone() -> bool:
        return await scene.cluster.find(TRAINING_JOBS, "short") is None

    await eventually("it goes when the other one has ended", gone)
    await scene.phase(TRAINING_JOBS, "user", "Succeeded")


async def test_a_test_function_that_comes_later(scene: Scene) -> None:
    function = {"name": "cost", "configMap": {"name": "functions", "key": "cost.py"}}
    await scene.train("scored", Ending(0, DONE), testFunctions=[{"builtin": "LabelMatch"}, function])
    await scene.says(TRAINING_JOBS, "scored", "testFunctions[1].configMap.name: there is no ConfigMap functions")
    await scene.cluster.create(CONFIG_MAPS, {"metadata": {"name": "functions"}, "data": {"cost.py": "def cost(): ..."}})
    await scene.phase(TRAINING_JOBS, "scored", "Succeeded")
    path = (await run_config(scene, "scored"))["mounts"]["configmap://functions/cost.py"]
    assert path == "/inputs/test-function-1/cost.py"


async def test_an_object_store_takes_no_claim(scene: Scene) -> None:
    await scene.train("cloud", Ending(0, DONE), output={"uri": "s3://models/news", "secretName": "store"})
    status = await scene.phase(TRAINING_JOBS, "cloud", "Succeeded")
    assert [each["uri"] for each in status["checkpoints"]] == [
        "s3://models/news/checkpoints/epoch-1",
        "s3://models/news/checkpoints/epoch-2",
    ]
    assert await scene.cluster.find(CLAIMS, "cloud-output") is None
    container = (await scene.job("cloud"))["spec"]["template"]["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "store"}}]


async def test_several_nodes_find_each_other(scene: Scene) -> None:
    output = {"claim": {"accessModes": ["ReadWriteMany"]}}
    await scene.train("wide", nodes=2, suspend=True, output=output)
    await scene.phase(TRAINING_JOBS, "wide", "Suspended")
    job = await scene.job("wide")
    name = job["metadata"]["name"]
    assert (job["spec"]["completionMode"], job["spec"]["completions"], job["spec"]["parallelism"]) == ("Indexed", 2, 2)
    assert job["spec"]["template"]["spec"]["subdomain"] == name
    service = await scene.cluster.get(SERVICES, name)
    assert service["spec"]["clusterIP"] == "None"
    assert service["metadata"]["ownerReferences"][0]["name"] == "wide"
    await scene.cluster.delete(SERVICES, name)
    await eventually("the Service is made again", lambda: scene.cluster.find(SERVICES, name))


async def test_nodes_and_a_service_of_that_name_that_is_not_ours(scene: Scene) -> None:
    scene.operator.stop()
    await scene.train("taken", nodes=2, output={"uri": "s3://models/news"})
    value = await scene.cluster.get(TRAINING_JOBS, "taken")
    name = names.job_name("taken", value["metadata"]["uid"])
    stranger = {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]}}
    before = await scene.cluster.create(SERVICES, stranger)
    scene.operator.restart()
    await scene.says(TRAINING_JOBS, "taken", f"Service {name} exists and does not belong to this job")
    after = await scene.cluster.get(SERVICES, name)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"], "never written"


async def test_a_claim_that_only_one_node_can_use(scene: Scene) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await scene.cluster.create(CLAIMS, {"metadata": {"name": "narrow"}, "spec": spec})
    await scene.train("writes", nodes=2, output={"claim": {"name": "narrow"}})
    text = "several nodes cannot write PersistentVolumeClaim narrow, which is ReadWriteOnce: make it ReadWriteMany, or"
    await scene.says(TRAINING_JOBS, "writes", text)
    base = {"uri": "pvc://narrow/model"}
    await scene.train("reads", nodes=2, baseModel=base, output={"uri": "s3://models/news"})
    text = "several nodes cannot read PersistentVolumeClaim narrow, which is ReadWriteOnce: make it ReadWriteMany or "
    await scene.says(TRAINING_JOBS, "reads", text)
    assert await scene.cluster.list(BATCH_JOBS) == []


async def test_many_jobs_from_one_checkpoint(scene: Scene) -> None:
    made = (training_job_manifest(f"child-{n}", suspend=True, **from_checkpoint("parent")) for n in range(20))
    await asyncio.gather(*(scene.cluster.create(TRAINING_JOBS, manifest) for manifest in made))
    await scene.train("parent", Ending(0, DONE))
    for number in range(20):
        status = await scene.phase(TRAINING_JOBS, f"child-{number}", "Suspended")
        assert status["baseModel"] == {"display": "parent/epoch-1", "uri": "pvc://parent-output/model"}
