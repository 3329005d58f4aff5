"""Objects of the API server, trimmed and read as views."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from classifier_operator.api import names
from classifier_operator.controller.views import app_view, job_view, pod_view
from classifier_operator.kube.resources import APP_DEPLOYMENTS, BATCH_JOBS, ENDPOINT_SLICES, PODS, TRAINING_JOBS
from classifier_operator.kube.trim import owner_index, trim

Json = dict[str, Any]
METADATA: Json = {
    "name": "news-1",
    "namespace": "ns",
    "uid": "u",
    "resourceVersion": "5",
    "creationTimestamp": "2026-03-01T11:00:00Z",
    "labels": names.trainer_labels("news") | {"team": "nlp"},
    "managedFields": [{"manager": "x"}],
    "annotations": {"a": "b"},
}


def pod(status: Json, **metadata: Any) -> Json:
    return {"metadata": METADATA | metadata, "spec": {"containers": [{"name": "trainer"}]}, "status": status}


def seen(value: Json) -> Any:
    return pod_view(trim(PODS, value))


def test_trimming_keeps_only_what_is_read() -> None:
    trimmed = trim(PODS, pod({"phase": "Running", "hostIP": "1.2.3.4", "conditions": [{"type": "Initialized"}]}))
    assert trimmed == {
        "metadata": {
            name: METADATA[name] for name in ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
        }
        | {"labels": names.trainer_labels("news")},
        "status": {"phase": "Running", "conditions": []},
    }
    assert owner_index(trimmed) == ("ClassifierTrainingJob/ns/news",)


def test_own_kinds_lose_what_others_wrote_about_them() -> None:
    annotations = {"kubectl.kubernetes.io/last-applied-configuration": "x" * 5000, "note": "y"}
    trimmed = trim(TRAINING_JOBS, {"metadata": METADATA | {"annotations": annotations}, "spec": {"suspend": True}})
    assert trimmed["metadata"]["annotations"] == {"note": "y"}
    assert "managedFields" not in trimmed["metadata"]
    assert (trimmed["spec"], trimmed["status"]) == ({"suspend": True}, {})


def test_a_pod_that_cannot_be_scheduled() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes"}
    view = seen(pod({"phase": "Pending", "conditions": [condition]}))
    assert (view.phase, view.unschedulable, view.exit_code) == ("Pending", "0/1 nodes", None)


def test_a_pod_in_a_crash_loop_shows_its_last_end() -> None:
    container = {
        "name": "server",
        "restartCount": 3,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}},
        "lastState": {
            "terminated": {
                "exitCode": 42,
                "reason": "Error",
                "message": "no config",
                "startedAt": "2026-03-01T11:01:00Z",
            }
        },
    }
    view = seen(pod({"phase": "Running", "podIP": "10.0.0.1", "containerStatuses": [container]}))
    assert (view.waiting_reason, view.exit_code, view.last_words, view.restarts) == (
        "CrashLoopBackOff",
        42,
        "no config",
        3,
    )
    assert view.started_at == datetime(2026, 3, 1, 11, 1, tzinfo=UTC)


def test_an_evicted_pod_says_why() -> None:
    condition = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI", "message": "drained"}
    assert seen(pod({"phase": "Failed", "conditions": [condition]})).evicted == "drained"
    assert seen(pod({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory"})).evicted == (
        "The node was low on memory"
    )
    assert seen(pod({"phase": "Failed"})).evicted == ""


def test_a_job_that_failed() -> None:
    conditions = [
        {"type": "FailureTarget", "status": "True"},
        {
            "type": "Failed",
            "status": "True",
            "reason": "PodFailurePolicy",
            "message": "exit code 42",
            "lastTransitionTime": "2026-03-01T11:02:00Z",
        },
    ]
    value = {
        "metadata": METADATA,
        "spec": {"suspend": False, "template": {}},
        "status": {"conditions": conditions, "failed": 1},
    }
    view = job_view(trim(BATCH_JOBS, value))
    assert (view.failed_reason, view.failed_message, view.finished, view.failed) == (
        "PodFailurePolicy",
        "exit code 42",
        True,
        1,
    )
    assert view.end_time == datetime(2026, 3, 1, 11, 2, tzinfo=UTC)


def test_a_job_whose_pods_still_end_has_not_failed_yet() -> None:
    value = {"metadata": METADATA, "status": {"conditions": [{"type": "FailureTarget", "status": "True"}]}}
    assert not job_view(trim(BATCH_JOBS, value)).finished


def test_a_deployment_that_is_late_and_its_configuration() -> None:
    environment = [{"name": "HOME", "value": "/tmp"}, {"name": "CLASSIFIER_SERVE_CONFIG", "value": "{}"}]
    value = {
        "metadata": METADATA | {"generation": 4},
        "spec": {"replicas": 2, "template": {"spec": {"containers": [{"env": environment}]}}},
        "status": {
            "observedGeneration": 4,
            "readyReplicas": 1,
            "conditions": [
                {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "m"}
            ],
        },
    }
    trimmed = trim(APP_DEPLOYMENTS, value)
    view = app_view(trimmed)
    assert (view.generation, view.wanted, view.ready, view.updated, view.late) == (4, 2, 1, 0, "m")
    assert trimmed["serveConfig"] == "{}"


def test_an_endpoint_without_a_word_is_ready() -> None:
    endpoints = [{"conditions": {"ready": True}}, {"conditions": {"ready": False}}, {}]
    assert trim(ENDPOINT_SLICES, {"metadata": METADATA, "endpoints": endpoints})["ready"] == 2
