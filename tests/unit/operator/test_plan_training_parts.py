"""Decisions about training jobs that start from another one's checkpoint, run on several nodes, or write to S3."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api.training_status import BaseModelStatus
from classifier_operator.plan.types import CreateClaim, CreateJob, CreateService, DeleteTrainingJob
from support.builders import ago, condition, ended_pod, job_view, pod_view, training_job
from support.planning import JOB, Row, plan, report, verdicts

BASE = BaseModelStatus(display="file:///model", uri="file:///model")
OUTPUT = "pvc://news-output"
CHECKPOINTS = [{"name": f"epoch-{n}", "step": n, "uri": f"pvc://old-output/checkpoints/epoch-{n}"} for n in (1, 2, 3)]
COMPLETE = {"phase": "Succeeded", "conditions": [condition("Complete", True)], "best": "epoch-2"}
NEW = {"creationTimestamp": "2026-03-01T11:59:50Z"}


def continued(name: str = "best") -> dict[str, Any]:
    return {"baseModel": {"checkpoint": {"trainingJobName": "old", "name": name}}}


def old(status: dict[str, Any], **spec: Any) -> dict[str, Any]:
    """A training job that another one starts from."""
    return {"base_job": training_job("old", status={"checkpoints": CHECKPOINTS} | status, **spec)}


def starts(uri: str, name: str, adapter_base: str | None = None) -> tuple[Any, ...]:
    return (CreateJob(JOB, OUTPUT, False, BaseModelStatus(display=f"old/{name}", uri=uri, adapter_base=adapter_base)),)


ROWS = [
    Row(
        "the best of another job",
        continued() | old(COMPLETE),
        starts("pvc://old-output/model", "epoch-2"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "the last of another job is an adapter",
        continued("last") | old(COMPLETE, baseModel={"uri": "hf://a/b"}),
        starts("pvc://old-output/checkpoints/epoch-3", "epoch-3", "hf://a/b"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "merged checkpoints need no base model",
        continued("last") | old(COMPLETE, checkpoints={"format": "Merged"}),
        starts("pvc://old-output/checkpoints/epoch-3", "epoch-3"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "nor do those of other methods",
        continued("epoch-1") | old(COMPLETE, hyperparameters={"method": "HeadOnly"}),
        starts("pvc://old-output/checkpoints/epoch-1", "epoch-1"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "nor those of a job that began with an adapter",
        continued("epoch-1")
        | old(
            COMPLETE | {"baseModel": {"uri": "pvc://a/checkpoints/epoch-1", "adapterBase": "hf://a/b"}}, **continued()
        ),
        starts("pvc://old-output/checkpoints/epoch-1", "epoch-1"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "an adapter over another job's merged model",
        continued("epoch-1")
        | old(COMPLETE | {"baseModel": {"uri": "pvc://a/model", "display": "a/epoch-1"}}, **continued()),
        starts("pvc://old-output/checkpoints/epoch-1", "epoch-1", "pvc://a/model"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "an epoch of a job that still runs",
        continued("epoch-3") | old({"phase": "Training"}),
        starts("pvc://old-output/checkpoints/epoch-3", "epoch-3", "file:///model"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "an epoch that may go again",
        continued("epoch-3") | old({"phase": "Training"}, checkpoints={"keep": "Best"}),
        (),
        "Pending",
        {"Reconciling": "WaitingForCheckpoint"},
        "waiting for checkpoint epoch-3 of ClassifierTrainingJob old, which is Training",
    ),
    Row(
        "the best of a job that still runs",
        continued() | old({"phase": "Training"}),
        (),
        "Pending",
        {"Reconciling": "WaitingForCheckpoint"},
        "waiting for checkpoint best of ClassifierTrainingJob old, which is Training",
    ),
    Row(
        "the other job failed",
        continued() | old({"phase": "Failed", "message": "no GPU", "conditions": [condition("Failed", True)]}),
        (),
        "Pending",
        {"Stalled": "TrainingJobFailed"},
        "ClassifierTrainingJob old failed, so it has no checkpoint best: no GPU",
        again=30.0,
    ),
    Row(
        "a checkpoint that never was",
        continued("epoch-9") | old(COMPLETE),
        (),
        "Pending",
        {"Stalled": "CheckpointNotFound"},
        "ClassifierTrainingJob old has no checkpoint epoch-9: write one of best, last, epoch-1, epoch-2, epoch-3",
        again=30.0,
    ),
    Row(
        "applied together with the other job",
        continued() | {"metadata": NEW},
        (),
        "Pending",
        {"Reconciling": "WaitingForTrainingJob"},
        "waiting for ClassifierTrainingJob old to be created",
        again=50.0,
    ),
    Row(
        "the other job is gone",
        continued(),
        (),
        "Pending",
        {"Stalled": "TrainingJobNotFound"},
        "ClassifierTrainingJob old does not exist: create it, or apply this job under a new name with the address of a "
        "model as baseModel.uri",
        again=30.0,
    ),
    Row(
        "the other job is gone, but the checkpoint was found before",
        continued() | {"status": {"baseModel": {"display": "old/epoch-2", "uri": "pvc://old-output/model"}}},
        starts("pvc://old-output/model", "epoch-2"),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "a job that runs does not ask again",
        continued() | {"child": job_view(), "pods": (pod_view(),)},
        (),
        "Preparing",
        {"Ready": "Running"},
    ),
    Row(
        "no claim for an object store",
        {"claim": None, "output": {"uri": "s3://models/news/", "secretName": "store"}},
        (CreateJob(JOB, "s3://models/news", False, BASE),),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "several nodes",
        {"claim": None, "nodes": 2},
        (CreateClaim("news-output"), CreateService(JOB), CreateJob(JOB, OUTPUT, False, BASE)),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "several nodes, the Service is there",
        {"nodes": 2, "has_service": True},
        (CreateJob(JOB, OUTPUT, False, BASE),),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "somebody deleted the Service",
        {"nodes": 2, "child": job_view(active=2), "pods": (pod_view(), pod_view(uid="p2", index=1))},
        (CreateService(JOB),),
        "Preparing",
        {"Ready": "Running"},
    ),
    Row(
        "a node is missing",
        {
            "nodes": 2,
            "has_service": True,
            "child": job_view(active=2),
            "pods": (pod_view(), pod_view(uid="p2", index=1, phase="Pending", unschedulable="0/1 nodes are available")),
        },
        (),
        "Pending",
        {"Reconciling": "Unschedulable"},
        "node 2 of 2: the pod waits for a node: 0/1 nodes are available",
    ),
    Row(
        "all attempts of all nodes failed",
        {
            "nodes": 2,
            "has_service": True,
            "child": job_view(failed_reason="BackoffLimitExceeded", failed=5, end_time=ago(1)),
            "pods": (ended_pod(1, index=0), ended_pod(1, index=1, uid="p2")),
        },
        (),
        "Failed",
        {"Failed": "BackoffLimitExceeded", "Stalled": "BackoffLimitExceeded"},
        f"all 3 attempts failed; the last time the trainer ended with exit code 1; see kubectl logs job/{JOB}",
    ),
    Row(
        "resumed: the pod that was suspended has not failed",
        {
            "child": job_view(active=1),
            "pods": (ended_pod(143, "stopped by SIGTERM", created=ago(90), uid="p0", deleting=True),),
        },
        (),
        "Pending",
        {"Reconciling": "PodMissing"},
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_decision(row: Row) -> None:
    decided = plan(**row.given)
    assert decided.actions == row.actions
    assert (decided.status.phase, verdicts(decided), decided.again_after) == (row.phase, row.true, row.again)
    if row.says is not None:
        assert decided.status.message == row.says


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_same_again_changes_nothing(row: Row) -> None:
    first = plan(**row.given)
    second = plan(**(row.given | {"status": first.status.to_json_object()}))
    assert second.status.to_json_object() == first.status.to_json_object()


def test_what_was_found_stands_in_the_status() -> None:
    status = plan(**continued("last"), **old(COMPLETE, baseModel={"uri": "hf://a/b"})).status
    assert status.to_json_object()["baseModel"] == {
        "display": "old/epoch-3",
        "uri": "pvc://old-output/checkpoints/epoch-3",
        "adapterBase": "hf://a/b",
    }
    assert plan().status.to_json_object()["baseModel"] == {"display": "file:///model", "uri": "file:///model"}


def test_checkpoints_on_an_object_store() -> None:
    said = report(checkpoints=[{"name": "epoch-1", "step": 1, "path": "checkpoints/epoch-1"}], best="epoch-1")
    status = plan(
        child=job_view(), pods=(pod_view(),), said=said, claim=None, output={"uri": "s3://models/news/"}
    ).status
    assert [each.uri for each in status.checkpoints or ()] == ["s3://models/news/checkpoints/epoch-1"]


def test_the_first_node_speaks_for_all() -> None:
    pods = (pod_view(uid="p1"), pod_view(uid="p2", index=1), pod_view(uid="p3", index=2))
    status = plan(nodes=3, has_service=True, child=job_view(active=3), pods=pods).status
    assert status.attempt == 1
    again = (*(ended_pod(1, index=n, uid=f"e{n}", created=ago(90)) for n in range(3)), *pods)
    assert plan(nodes=3, has_service=True, child=job_view(active=3, failed=3), pods=again).status.attempt == 2


def test_a_job_that_another_one_starts_from_stays() -> None:
    done = {"phase": "Succeeded", "conditions": [condition("Complete", True)], "completionTime": "2026-03-01T11:00:00Z"}
    assert plan(status=done, ttlSecondsAfterFinished=0, named_by="next").actions == ()
    assert plan(status=done, ttlSecondsAfterFinished=0).actions == (DeleteTrainingJob(),)
