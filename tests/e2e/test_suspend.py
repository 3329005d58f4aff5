"""A training that is suspended saves its state, and goes on from there when it is not suspended any more."""

from __future__ import annotations

import re
from typing import Any

import pytest

from e2e.objects import condition, config_map, rows, status, training_job, wait_for_phase
from support import kube

pytestmark = pytest.mark.e2e


def pods_of(job: str, namespace: str) -> list[dict[str, Any]]:
    return kube.items("pods", namespace, f"classifiers.dev/training-job={job}")


def step(job: str, namespace: str) -> int:
    found: int = status("ctj", job, namespace).get("progress", {}).get("step", 0)
    return found


def suspend(job: str, namespace: str, value: str) -> None:
    kube.kubectl("patch", "ctj", job, "-n", namespace, "--type=merge", "-p", f'{{"spec":{{"suspend":{value}}}}}')


def test_suspended_in_the_middle_and_resumed(namespace: str, models: str) -> None:
    kube.apply(config_map("many", {"train.jsonl": rows(3000)}), namespace=namespace)
    # No failure is allowed: a suspension must not count as one.
    spec: dict[str, Any] = {
        "trainDataset": {"configMap": {"name": "many", "key": "train.jsonl"}},
        "hyperparameters": {"epochs": 2, "maxLength": 32, "batchSize": 2, "template": "{prompt}"},
        "backoffLimit": 0,
    }
    kube.apply(training_job("paused", **spec), namespace=namespace)
    kube.wait_for(
        "some updates are done",
        lambda: step("paused", namespace) >= 10,
        timeout=240,
        show=lambda: status("ctj", "paused", namespace),
    )
    (first,) = [pod["metadata"]["uid"] for pod in pods_of("paused", namespace)]
    suspend("paused", namespace, "true")
    wait_for_phase("ctj", "paused", namespace, "Suspended")
    kube.wait_for("the pod is gone", lambda: not pods_of("paused", namespace), timeout=150)
    reached = step("paused", namespace)
    job = status("ctj", "paused", namespace)["jobName"]
    assert not kube.get("job", job, namespace)["status"].get("failed")

    suspend("paused", namespace, "false")
    done = wait_for_phase("ctj", "paused", namespace, "Succeeded", "Failed")
    assert done["phase"] == "Succeeded", done["message"]
    assert condition(done, "Suspended").startswith("False/")
    assert done["jobName"] == job, "one Job from the beginning to the end"
    (pod,) = pods_of("paused", namespace)
    assert pod["metadata"]["uid"] != first
    log = kube.kubectl("logs", pod["metadata"]["name"], "-n", namespace)
    resumed = re.search(r"going on after update (\d+) of (\d+)", log)
    assert resumed, log
    # The status is written every ten seconds, so that the trainer was at least there when it was stopped.
    assert reached <= int(resumed[1]) < int(resumed[2])
    assert done["progress"]["step"] == int(resumed[2])
