"""What becomes of training jobs, on a real API server."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api import names
from classifier_operator.errors import KubeError
from classifier_operator.kube.resources import (
    APP_DEPLOYMENTS,
    BATCH_JOBS,
    CLAIMS,
    CONFIG_MAPS,
    DEPLOYMENTS,
    PODS,
    SERVICES,
    TRAINING_JOBS,
)
from support.builders import deployment_manifest
from support.control_plane import CreationCounter, eventually
from support.fake_kubelet import Ending, words
from support.scene import Scene, true_conditions

pytestmark = pytest.mark.integration

DONE = words(
    "Succeeded",
    "accuracy 0.91",
    best="epoch-2",
    dataset={"taskType": "Multiclass", "labels": ["earn", "acq"], "labelCount": 2, "trainRows": 8, "testRows": 2},
    checkpoints=[
        {"name": f"epoch-{n}", "step": n, "path": f"checkpoints/epoch-{n}", "metrics": {"accuracy": f"0.{n}"}}
        for n in (1, 2)
    ],
)


async def test_a_run_from_apply_to_result(scene: Scene) -> None:
    scene.pod.say("Training", "epoch 1 of 2, loss 0.5", progress={"percent": 50, "epoch": 1, "epochs": 2})
    async with CreationCounter(scene.cluster, BATCH_JOBS) as counter:
        await scene.train("news", Ending(0, DONE, seconds=2))
        status = await scene.says(TRAINING_JOBS, "news", "epoch 1 of 2")
        assert status["phase"] == "Training"
        assert status["progress"]["display"] == "50%"
        assert true_conditions(status) == {"Ready": "Running"}
        scene.pod.say("Testing", "2 rows")
        await scene.phase(TRAINING_JOBS, "news", "Testing")
        status = await scene.phase(TRAINING_JOBS, "news", "Succeeded")
        counter.check()
    assert (counter.total, counter.second) == (1, 0)
    assert (status["message"], status["best"], status["score"], status["attempt"]) == (
        "accuracy 0.91",
        "epoch-2",
        "0.2",
        1,
    )
    assert [each["uri"] for each in status["checkpoints"]] == [
        "pvc://news-output/checkpoints/epoch-1",
        "pvc://news-output/checkpoints/epoch-2",
    ]
    assert status["dataset"]["labels"] == ["earn", "acq"]
    assert status["progress"]["display"] == "100%"
    assert true_conditions(status) == {"Complete": "Succeeded", "Ready": "Succeeded"}
    value = await scene.cluster.get(TRAINING_JOBS, "news")
    assert not value["metadata"].get("finalizers")
    assert not value["metadata"].get("annotations")
    managers = {each["manager"] for each in value["metadata"]["managedFields"] if each.get("subresource") == "status"}
    assert managers == {names.FIELD_MANAGER}
    claim = await scene.cluster.get(CLAIMS, "news-output")
    assert not claim["metadata"].get("ownerReferences"), "the output outlives the job"


async def test_the_users_mistake_fails_at_once(scene: Scene) -> None:
    sentence = "trainDataset.uri: line 3 is not JSON"
    await scene.train("wrong", Ending(42, words("Failed", sentence)))
    status = await scene.phase(TRAINING_JOBS, "wrong", "Failed")
    assert (status["message"], status["attempt"]) == (sentence, 1)
    assert true_conditions(status) == {"Failed": "InvalidInput", "Stalled": "InvalidInput"}


async def test_other_failures_are_tried_again(scene: Scene) -> None:
    await scene.train("again", Ending(1, "Traceback (most recent call last): x", 1.0), Ending(0, DONE, 1.0))
    status = await scene.says(TRAINING_JOBS, "again", "attempt 1 failed: the trainer ended with exit code 1;")
    assert "Traceback" not in str(status)
    status = await scene.phase(TRAINING_JOBS, "again", "Succeeded")
    assert status["attempt"] == 2


async def test_suspended_and_resumed(scene: Scene) -> None:
    await scene.train("pause", Ending(0, DONE, 2), suspend=True)
    status = await scene.phase(TRAINING_JOBS, "pause", "Suspended")
    assert true_conditions(status) == {"Suspended": "Suspended", "Ready": "Suspended"}
    job = await scene.job("pause")
    assert job["spec"]["suspend"] is True
    assert await scene.cluster.find(CLAIMS, "pause-output") is None, "a job that waits takes no storage"
    await scene.cluster.patch(TRAINING_JOBS, "pause", {"spec": {"suspend": False}})
    await scene.phase(TRAINING_JOBS, "pause", "Preparing", "Training")
    await scene.cluster.patch(TRAINING_JOBS, "pause", {"spec": {"suspend": True}})
    await scene.phase(TRAINING_JOBS, "pause", "Suspended")
    await scene.cluster.patch(TRAINING_JOBS, "pause", {"spec": {"suspend": False}})
    status = await scene.phase(TRAINING_JOBS, "pause", "Succeeded")
    assert (await scene.job("pause"))["metadata"]["uid"] == job["metadata"]["uid"]


async def test_the_deadline_is_written_before_the_job_goes(scene: Scene) -> None:
    await scene.train("late", activeDeadlineSeconds=1)
    job = await scene.job("late")
    status = await scene.phase(TRAINING_JOBS, "late", "Failed")
    assert true_conditions(status) == {"Failed": "DeadlineExceeded", "Stalled": "DeadlineExceeded"}
    assert 1 <= status["activeSeconds"] <= 4

    async def gone() -> bool:
        return await scene.cluster.find(BATCH_JOBS, job["metadata"]["name"]) is None

    await eventually("the Job goes", gone)


async def test_done_is_done(scene: Scene) -> None:
    await scene.train("done", Ending(0, DONE))
    await scene.phase(TRAINING_JOBS, "done", "Succeeded")
    async with CreationCounter(scene.cluster, BATCH_JOBS) as counter:
        await scene.cluster.delete(BATCH_JOBS, (await scene.job("done"))["metadata"]["name"])
        await scene.cluster.patch(TRAINING_JOBS, "done", {"spec": {"suspend": True}})
        await scene.cluster.patch(TRAINING_JOBS, "done", {"spec": {"suspend": False}})

        async def observed() -> bool:
            return bool((await scene.status(TRAINING_JOBS, "done"))["observedGeneration"] == 3)

        await eventually("the change is seen", observed)
        counter.check()
    assert counter.total == 0


async def test_time_to_live(scene: Scene) -> None:
    model = {"checkpoint": {"trainingJobName": "short"}}
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("user", model=model))
    await scene.train("short", Ending(0, DONE), ttlSecondsAfterFinished=1)
    await scene.phase(DEPLOYMENTS, "user", "Deploying")
    status = await scene.status(DEPLOYMENTS, "user")
    assert status["model"] == {
        "display": "short/epoch-2",
        "uri": "pvc://short-output/model",
        "checkpoint": "epoch-2",
    }
    with pytest.raises(AssertionError):
        await eventually("it must not go while it is served", lambda: _gone(scene, "short"), seconds=2)
    await scene.cluster.delete(DEPLOYMENTS, "user")
    await eventually("it goes", lambda: _gone(scene, "short"))
    assert await scene.cluster.find(CLAIMS, "short-output") is not None


async def _gone(scene: Scene, name: str) -> bool:
    return await scene.cluster.find(TRAINING_JOBS, name) is None


async def test_a_new_object_of_the_same_name_gets_a_job_of_its_own(scene: Scene) -> None:
    await scene.train("twin")
    first = await scene.job("twin")
    await scene.phase(TRAINING_JOBS, "twin", "Preparing")
    await scene.cluster.delete(TRAINING_JOBS, "twin")
    await scene.train("twin", Ending(0, DONE))
    status = await scene.phase(TRAINING_JOBS, "twin", "Succeeded")
    assert status["jobName"] != first["metadata"]["name"]
    jobs = {job["metadata"]["name"] for job in await scene.cluster.list(BATCH_JOBS)}
    assert jobs >= {status["jobName"]}


async def test_a_job_of_that_name_that_is_not_ours(scene: Scene) -> None:
    scene.operator.stop()
    await scene.train("taken")
    value = await scene.cluster.get(TRAINING_JOBS, "taken")
    name = names.job_name("taken", value["metadata"]["uid"])
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "x", "image": "x"}]}}
    stranger = {"metadata": {"name": name}, "spec": {"suspend": True, "template": template}}
    before = await scene.cluster.create(BATCH_JOBS, stranger)
    scene.operator.restart()
    status = await scene.says(TRAINING_JOBS, "taken", f"Job {name} exists and does not belong to this job")
    assert true_conditions(status) == {"Stalled": "NameConflict"}
    after = await scene.cluster.get(BATCH_JOBS, name)
    assert after["metadata"]["resourceVersion"] == before["metadata"]["resourceVersion"], "never written"
    await scene.cluster.delete(BATCH_JOBS, name)


async def test_a_claim_that_is_not_ours(scene: Scene) -> None:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    await scene.cluster.create(CLAIMS, {"metadata": {"name": "mine-output"}, "spec": spec})
    await scene.train("mine")
    text = "PersistentVolumeClaim mine-output exists and does not belong to this job: write output.claim.name to use it"
    await scene.says(TRAINING_JOBS, "mine", text)


async def test_what_only_the_api_server_can_refuse(scene: Scene) -> None:
    resources = {"requests": {"memory": "8Gi"}, "limits": {"memory": "4Gi"}}
    await scene.train("greedy", resources=resources)
    status = await scene.phase(TRAINING_JOBS, "greedy", "Failed")
    assert status["message"].startswith("the API server refuses the Job: ")
    assert "must be less than or equal to memory limit" in status["message"]
    assert true_conditions(status) == {"Failed": "InvalidSpec", "Stalled": "InvalidSpec"}


async def test_a_config_map_that_comes_later(scene: Scene) -> None:
    await scene.train("wait", Ending(0, DONE), trainDataset={"configMap": {"name": "r8", "key": "train.jsonl"}})
    await scene.says(TRAINING_JOBS, "wait", "there is no ConfigMap r8")
    await scene.cluster.create(CONFIG_MAPS, {"metadata": {"name": "r8"}, "data": {"other": "{}"}})
    await scene.says(TRAINING_JOBS, "wait", "ConfigMap r8 has no key train.jsonl, only other")
    await scene.cluster.patch(CONFIG_MAPS, "r8", {"data": {"train.jsonl": "{}"}})
    await scene.phase(TRAINING_JOBS, "wait", "Succeeded")


async def test_objects_that_are_deleted_hold_nothing(scene: Scene) -> None:
    """No finalizer anywhere, so that nothing hangs when the operator is gone; the rest is the garbage collector's."""
    await scene.train("plain")
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("plain"))
    await scene.phase(TRAINING_JOBS, "plain", "Preparing")
    await scene.phase(DEPLOYMENTS, "plain", "Deploying")
    scene.operator.kill()
    for resource in (TRAINING_JOBS, DEPLOYMENTS):
        await scene.cluster.delete(resource, "plain")
        assert await scene.cluster.find(resource, "plain") is None
    for resource in (BATCH_JOBS, PODS, APP_DEPLOYMENTS, SERVICES):
        for child in await scene.cluster.list(resource):
            assert not child["metadata"].get("finalizers"), child["metadata"]
            assert child["metadata"]["ownerReferences"][0]["controller"] is True


async def test_nothing_is_written_when_nothing_changes(scene: Scene) -> None:
    await scene.train("still", suspend=True)
    await scene.cluster.create(DEPLOYMENTS, deployment_manifest("still"))
    await scene.phase(TRAINING_JOBS, "still", "Suspended")
    await scene.phase(DEPLOYMENTS, "still", "Deploying")
    await eventually("the Service", lambda: scene.cluster.find(SERVICES, "still"))

    async def versions() -> dict[str, str]:
        found = {}
        for resource in (TRAINING_JOBS, DEPLOYMENTS, BATCH_JOBS, APP_DEPLOYMENTS, SERVICES):
            for item in await scene.cluster.list(resource):
                found[f"{resource.kind} {item['metadata']['name']}"] = item["metadata"]["resourceVersion"]
        return found

    await scene.says(DEPLOYMENTS, "still", "0 of 1 pods are ready")
    await _settled(versions)
    before = await versions()
    scene.operator.stop()
    scene.operator.restart()
    await eventually("the second operator works", lambda: _log_says(scene, "Every list is complete", 2), seconds=40)
    await scene.train("after", suspend=True)
    await scene.phase(TRAINING_JOBS, "after", "Suspended")
    after = await versions()
    assert {name: text for name, text in after.items() if name in before} == before


async def _log_says(scene: Scene, text: str, times: int) -> bool:
    return scene.operator.log().count(text) >= times


async def _settled(versions: Any) -> None:
    last: dict[str, str] = {}

    async def same() -> bool:
        nonlocal last
        now: dict[str, str] = await versions()
        unchanged = now == last
        last = now
        return unchanged

    await eventually("nothing moves", same, pause=0.5)


async def test_a_status_is_written_over_what_it_was_computed_from(scene: Scene) -> None:
    """A write over an older version is refused, whoever made it."""
    await scene.train("versioned", suspend=True)
    await scene.phase(TRAINING_JOBS, "versioned", "Suspended")
    with pytest.raises(KubeError) as refused:
        await scene.cluster.patch(
            TRAINING_JOBS, "versioned", {"metadata": {"resourceVersion": "1"}, "status": {"phase": "Failed"}}, "status"
        )
    assert refused.value.conflict
