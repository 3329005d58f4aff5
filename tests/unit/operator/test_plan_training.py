"""Decisions about training jobs, a row a situation."""

from __future__ import annotations

from dataclasses import replace

import pytest

from classifier_operator.api.training_status import BaseModelStatus
from classifier_operator.plan.training import plan_training
from classifier_operator.plan.types import (
    CreateClaim,
    CreateJob,
    DeleteJob,
    DeleteTrainingJob,
    Problem,
    SuspendJob,
    TrainingObserved,
)
from support.builders import NOW, ago, condition, ended_pod, job_view, pod_view, training_job
from support.planning import JOB, Row, plan, report, verdicts

DONE = {"phase": "Succeeded", "conditions": [condition("Complete", True)], "completionTime": "2026-03-01T11:59:00Z"}
FAILED = {"phase": "Failed", "conditions": [condition("Failed", True, "DeadlineExceeded")]}
RUNNING = {"phase": "Training", "attempt": 1, "message": "epoch 2 of 3", "conditions": [condition("Ready", True)]}


BASE = BaseModelStatus(display="file:///model", uri="file:///model")
CREATE = CreateJob(JOB, "pvc://news-output", False, BASE)
WAITING = {"phase": "Pending", "waiting_message": "", "ready": False, "started_at": None, "ip": None}
ROWS = [
    Row("new", {"claim": None}, (CreateClaim("news-output"), CREATE), "Pending", {"Reconciling": "JobMissing"}),
    Row("claim is there", {}, (CREATE,), "Pending", {"Reconciling": "JobMissing"}),
    Row(
        "a claim that exists",
        {"claim": None, "output": {"claim": {"name": "models", "path": "a/b"}}},
        (CreateJob(JOB, "pvc://models/a/b", False, BASE),),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row(
        "new and suspended takes no storage",
        {"claim": None, "suspend": True},
        (CreateJob(JOB, "pvc://news-output", True, BASE),),
        "Pending",
        {"Reconciling": "JobMissing"},
    ),
    Row("its Job is being deleted", {"child": job_view(deleting=True)}, (), "Pending", {"Reconciling": "JobDeleted"}),
    Row(
        "deleted",
        {"metadata": {"deletionTimestamp": "2026-03-01T11:59:59Z"}, "child": job_view()},
        (),
        None,
    ),
    Row(
        "suspended",
        {"suspend": True, "child": job_view(suspended=True, start_time=None)},
        (),
        "Suspended",
        {"Suspended": "Suspended", "Ready": "Suspended"},
        "suspended",
    ),
    Row(
        "to be suspended",
        {"suspend": True, "child": job_view(), "pods": (pod_view(),)},
        (SuspendJob(JOB, "job-uid", True),),
        "Suspended",
        {"Suspended": "Suspended", "Ready": "Suspended"},
        "suspending: the trainer saves its state",
    ),
    Row(
        "to be resumed",
        {"child": job_view(suspended=True, start_time=None), "claim": None},
        (CreateClaim("news-output"), SuspendJob(JOB, "job-uid", False)),
        "Suspended",
        {"Suspended": "Suspended", "Ready": "Suspended"},
    ),
    Row("no pod yet", {"child": job_view()}, (), "Pending", {"Reconciling": "PodMissing"}),
    Row(
        "no node",
        {"child": job_view(), "pods": (pod_view(**WAITING, unschedulable="0/1 nodes: Insufficient nvidia.com/gpu"),)},
        (),
        "Pending",
        {"Reconciling": "Unschedulable"},
        "the pod waits for a node: 0/1 nodes: Insufficient nvidia.com/gpu",
    ),
    Row(
        "no image",
        {
            "child": job_view(),
            "pods": (pod_view(**(WAITING | {"waiting_message": "not\nfound"}), waiting_reason="ImagePullBackOff"),),
        },
        (),
        "Pending",
        {"Reconciling": "ImagePullBackOff"},
        "the container cannot start (ImagePullBackOff): not found",
    ),
    Row(
        "the container is being made",
        {"child": job_view(), "pods": (pod_view(**WAITING, waiting_reason="ContainerCreating"),)},
        (),
        "Pending",
        {"Reconciling": "PodStarting"},
    ),
    Row("silent", {"child": job_view(), "pods": (pod_view(),)}, (), "Preparing", {"Ready": "Running"}),
    Row(
        "training",
        {"child": job_view(), "pods": (pod_view(),), "said": report()},
        (),
        "Training",
        {"Ready": "Running"},
        "epoch 1 of 3, loss 0.5",
    ),
    Row(
        "testing",
        {"child": job_view(), "pods": (pod_view(),), "said": report("Testing", "200 of 400 rows")},
        (),
        "Testing",
        {"Ready": "Running"},
        "200 of 400 rows",
    ),
    Row(
        "the trainer says that it is done, the Job not yet",
        {"child": job_view(), "pods": (pod_view(),), "said": report("Succeeded", "done"), "status": RUNNING},
        (),
        "Training",
        {"Ready": "Running"},
    ),
    Row(
        "the operator began anew",
        {"child": job_view(), "pods": (pod_view(),), "status": RUNNING},
        (),
        "Training",
        {"Ready": "Running"},
        "epoch 2 of 3",
    ),
    Row(
        "an attempt failed, the next one comes",
        {"child": job_view(active=0, failed=1), "pods": (ended_pod(1),), "status": RUNNING},
        (),
        "Pending",
        {"Reconciling": "Retrying"},
        "attempt 1 failed: the trainer ended with exit code 1; another one follows",
    ),
    Row(
        "the second attempt runs",
        {
            "child": job_view(failed=1),
            "pods": (ended_pod(1, uid="p1", name="p1", created=ago(90)), pod_view(uid="p2")),
            "status": RUNNING,
        },
        (),
        "Preparing",
        {"Ready": "Running"},
    ),
    Row(
        "complete",
        {
            "child": job_view(complete=True, active=0, succeeded=1, end_time=ago(1)),
            "pods": (ended_pod(0, report("Succeeded", "accuracy 0.93").encode()),),
        },
        (),
        "Succeeded",
        {"Complete": "Succeeded", "Ready": "Succeeded"},
        "accuracy 0.93",
    ),
    Row(
        "complete, the pod's last word is on its way",
        {"child": job_view(complete=True, end_time=ago(1)), "pods": (pod_view(),), "status": RUNNING},
        (),
        "Training",
        {"Ready": "Because"},
        again=0.5,
    ),
    Row(
        "complete, no last word for long",
        {"child": job_view(complete=True, end_time=ago(11)), "pods": (pod_view(),), "said": report()},
        (),
        "Succeeded",
        {"Complete": "Succeeded", "Ready": "Succeeded"},
        "training is complete",
    ),
    Row(
        "the user's mistake",
        {
            "child": job_view(failed_reason="PodFailurePolicy", failed=1, end_time=ago(1)),
            "pods": (ended_pod(42, report("Failed", "line 3: not JSON").encode()),),
        },
        (),
        "Failed",
        {"Failed": "InvalidInput", "Stalled": "InvalidInput"},
        "line 3: not JSON",
    ),
    Row(
        "all attempts failed, the last words are a traceback",
        {
            "child": job_view(failed_reason="BackoffLimitExceeded", failed=4, end_time=ago(1)),
            "pods": (ended_pod(1, "Traceback (most recent call last):\n  boom"),),
        },
        (),
        "Failed",
        {"Failed": "BackoffLimitExceeded", "Stalled": "BackoffLimitExceeded"},
        f"all 4 attempts failed; the last time the trainer ended with exit code 1; see kubectl logs job/{JOB}",
    ),
    Row(
        "out of memory",
        {
            "child": job_view(failed_reason="BackoffLimitExceeded", failed=1, end_time=ago(1)),
            "pods": (ended_pod(137, exit_reason="OOMKilled"),),
        },
        (),
        "Failed",
        {"Failed": "BackoffLimitExceeded", "Stalled": "BackoffLimitExceeded"},
        "the only attempt failed; the trainer ran out of memory: raise resources.limits.memory; "
        f"see kubectl logs job/{JOB}",
    ),
    Row(
        "the deadline is near",
        {"child": job_view(), "pods": (pod_view(),), "activeDeadlineSeconds": 100},
        (),
        "Preparing",
        {"Ready": "Running"},
        again=40.0,
    ),
    Row(
        "the deadline is over, counted over a suspension",
        {
            "child": job_view(),
            "pods": (pod_view(),),
            "activeDeadlineSeconds": 100,
            "status": RUNNING | {"activeSeconds": 45, "activeSince": "2026-03-01T11:59:00Z"},
        },
        (),
        "Failed",
        {"Failed": "DeadlineExceeded", "Stalled": "DeadlineExceeded"},
        "the job was active for 100 s, as long as activeDeadlineSeconds allows",
    ),
    Row(
        "no deadline while suspended",
        {
            "child": job_view(suspended=True, start_time=None),
            "suspend": True,
            "activeDeadlineSeconds": 100,
            "status": {"activeSeconds": 99},
        },
        (),
        "Suspended",
        {"Suspended": "Suspended", "Ready": "Suspended"},
    ),
    Row("failed, its Job still runs", {"status": FAILED, "child": job_view()}, (DeleteJob(JOB, "job-uid"),), "Failed"),
    Row("done is done: no Job", {"status": DONE}, (), "Succeeded"),
    Row("done is done: a Job out of nowhere", {"status": DONE, "child": job_view()}, (DeleteJob(JOB, "job-uid"),)),
    Row("done, its Job stays", {"status": DONE, "child": job_view(complete=True)}, (), "Succeeded"),
    Row("done, time to live", {"status": DONE, "ttlSecondsAfterFinished": 100}, (), "Succeeded", again=40.0),
    Row("done, time is over", {"status": DONE, "ttlSecondsAfterFinished": 60}, (DeleteTrainingJob(),), "Succeeded"),
    Row("done, over, but served", {"status": DONE, "ttlSecondsAfterFinished": 0, "named_by": "news"}, (), "Succeeded"),
    Row(
        "another's Job has the name",
        {"problem": Problem("NameConflict", "Job x exists")},
        (),
        "Pending",
        {"Stalled": "NameConflict"},
        "Job x exists",
        again=30.0,
    ),
    Row(
        "a ConfigMap is missing",
        {"problem": Problem("ConfigMapNotFound", "there is no ConfigMap r8", stalled=False)},
        (),
        "Pending",
        {"Reconciling": "ConfigMapNotFound"},
        "there is no ConfigMap r8",
    ),
    Row(
        "the Job is refused",
        {"problem": Problem("InvalidSpec", "requests above limits", final=True)},
        (),
        "Failed",
        {"Failed": "InvalidSpec", "Stalled": "InvalidSpec"},
        "requests above limits",
    ),
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_decision(row: Row) -> None:
    decided = plan(**row.given)
    assert decided.actions == row.actions
    assert decided.again_after == row.again
    assert decided.status.phase == (row.phase if row.phase or "deleted" in row.name else decided.status.phase)
    if row.true:
        assert verdicts(decided) == row.true
    if row.says is not None:
        assert decided.status.message == row.says


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_same_again_changes_nothing(row: Row) -> None:
    """What was written must not be a reason to write again: the status of a plan is its own fixed point."""
    first = plan(**row.given)
    second = plan(**(row.given | {"status": first.status.to_json_object()}))
    assert second.status.to_json_object() == first.status.to_json_object()
    if first.status.completion_time is None:
        assert (second.actions, second.again_after) == (first.actions, first.again_after)


def test_the_time_of_a_transition_stays_until_the_status_flips() -> None:
    first = plan(child=job_view(), pods=(pod_view(),)).status
    observed = TrainingObserved(
        job=training_job(status=first.to_json_object()), now=NOW.replace(hour=13), child=job_view(), pods=(pod_view(),)
    )
    later = plan_training(replace(observed, report=report(), report_pod="pod-uid")).status
    assert later.phase == "Training"
    assert all(each.last_transition_time == NOW for each in later.conditions or ())


def test_active_seconds_stop_with_a_suspension() -> None:
    status = RUNNING | {"activeSince": "2026-03-01T11:59:00Z", "activeSeconds": 5}
    decided = plan(status=status, suspend=True, child=job_view(suspended=True, start_time=None, suspended_at=ago(20)))
    assert (decided.status.active_seconds, decided.status.active_since) == (45, None)
    resumed = plan(
        status=decided.status.to_json_object(), child=job_view(start_time=ago(3)), pods=(pod_view(started_at=ago(2)),)
    )
    assert (resumed.status.active_seconds, resumed.status.active_since) == (45, ago(3))


def test_the_last_word_counts_and_forgets_nothing() -> None:
    checkpoints = [{"name": f"epoch-{n}", "step": n, "uri": f"pvc://news-output/checkpoints/epoch-{n}"} for n in (1, 2)]
    before = RUNNING | {
        "checkpoints": checkpoints,
        "dataset": {"labels": ["a", "b"], "labelCount": 2, "trainRows": 80},
        "progress": {"percent": 66, "display": "66%", "eta": "20s", "updateTime": "2026-03-01T11:59:00Z"},
    }
    words = report(
        "Succeeded",
        "done",
        best="epoch-3",
        dataset={"taskType": "Binary", "labelCount": 2},
        progress={"percent": 100, "step": 30, "steps": 30},
        checkpoints=[{"name": "epoch-3", "step": 30, "metrics": {"accuracy": "0.9300", "macroF1": "0.9"}}],
    ).encode()
    child = job_view(complete=True, active=0, succeeded=1, end_time=ago(1))
    status = plan(status=before, child=child, pods=(ended_pod(0, words),)).status
    assert [each.name for each in status.checkpoints or ()] == ["epoch-1", "epoch-2", "epoch-3"]
    assert (status.best, status.score) == ("epoch-3", "0.9300")
    assert status.dataset is not None
    assert (status.dataset.labels, status.dataset.task_type, status.dataset.train_rows) == (["a", "b"], "Binary", 80)
    assert status.progress is not None
    assert (status.progress.display, status.progress.eta) == ("100%", None)
    assert status.completion_time == ago(1)
    assert (status.active_seconds, status.active_since) == (59, None)
