"""From a training job to an answer over HTTP, on the real node."""

from __future__ import annotations

import json
import math

import httpx
import pytest

from e2e.objects import WORDS, condition, config_map, deployment, rows, training_job, wait_for_phase
from support import install, kube

pytestmark = pytest.mark.e2e

OPERATOR = "app.kubernetes.io/component=operator"


@pytest.fixture(scope="module")
def data(namespace: str, models: str) -> str:
    kube.apply(config_map("data", {"train.jsonl": rows(60)}), namespace=namespace)
    return namespace


@pytest.fixture(scope="module")
def trained(data: str) -> str:
    kube.apply(training_job("news", testDataset={"split": 0.2}), namespace=data)
    wait_for_phase("ctj", "news", data, "Succeeded", "Failed")
    return data


def test_training_job_succeeds(trained: str) -> None:
    job = kube.get("ctj", "news", trained)
    status = job["status"]
    assert status["phase"] == "Succeeded", status["message"]
    assert [c["name"] for c in status["checkpoints"]] == ["epoch-1", "epoch-2"]
    assert status["best"] == "epoch-2"
    assert status["progress"]["percent"] == 100
    assert status["dataset"]["taskType"] == "Multiclass"
    assert status["dataset"]["labels"] == list(WORDS)
    assert (status["dataset"]["trainRows"], status["dataset"]["testRows"]) == (48, 12)
    assert condition(status, "Complete").startswith("True/")
    assert condition(status, "Ready").startswith("True/")
    metrics = status["checkpoints"][-1]["metrics"]
    assert {"accuracy", "macroF1", "sampleMatchCombined"} <= set(metrics)
    assert 0 <= float(metrics["accuracy"]) <= 1


def test_printer_columns(trained: str) -> None:
    header, line = kube.kubectl("get", "ctj", "news", "-n", trained).splitlines()
    assert header.split() == ["NAME", "PHASE", "PROGRESS", "LOSS", "SCORE", "ETA", "AGE"]
    assert line.split()[1:3] == ["Succeeded", "100%"]


def test_pod_is_restricted_and_logs_plain_lines(trained: str) -> None:
    pod = next(p for p in kube.items("pods", trained) if p["metadata"]["name"].startswith("news-"))
    assert pod["spec"]["automountServiceAccountToken"] is False
    assert pod["spec"]["containers"][0]["securityContext"]["readOnlyRootFilesystem"] is True
    log = kube.kubectl("logs", pod["metadata"]["name"], "-n", trained)
    assert "epoch 2" in log
    assert "\r" not in log


@pytest.mark.parametrize("checkpoint", ["best", "epoch-1"])
def test_deployment_answers(trained: str, checkpoint: str) -> None:
    name = f"news-{checkpoint}"
    model = {"checkpoint": {"trainingJobName": "news", "name": checkpoint}}
    kube.apply(deployment(name, model=model), namespace=trained)
    status = wait_for_phase("cdep", name, trained, "Deployed", "Failed")
    assert status["phase"] == "Deployed", status["message"]
    assert status["model"]["checkpoint"] == ("epoch-2" if checkpoint == "best" else checkpoint)
    assert status["url"] == f"http://{name}.{trained}.svc"
    with kube.port_forward(f"service/{name}", 80, trained) as url:
        answer = httpx.post(
            f"{url}/v1/classification", json={"input": ["wheat harvest crop", "port vessel"]}, timeout=60
        )
    answer.raise_for_status()
    for row in answer.json()["data"]:
        assert list(row["probs"]) == list(WORDS)
        assert math.isclose(sum(row["probs"].values()), 1, abs_tol=1e-3)
        assert row["label"] == max(row["probs"], key=row["probs"].__getitem__)


def test_service_answers_from_another_pod_by_name(trained: str) -> None:
    kube.apply(
        deployment("named", model={"checkpoint": {"trainingJobName": "news", "name": "last"}}), namespace=trained
    )
    url = wait_for_phase("cdep", "named", trained, "Deployed")["url"]
    body = json.dumps({"input": "tanker strike"})
    code = (
        "import urllib.request as u; "
        f"r = u.Request('{url}/v1/classification', {body!r}.encode(), {{'Content-Type': 'application/json'}}); "
        "print(u.urlopen(r, timeout=30).read().decode())"
    )
    pods = kube.items("pods", trained, "classifiers.dev/deployment=named")
    answer = json.loads(kube.kubectl("exec", pods[0]["metadata"]["name"], "-n", trained, "--", "python3", "-c", code))
    assert set(answer["data"][0]["probs"]) == set(WORDS)


def test_suspended_deployment_has_no_pods_and_comes_back(trained: str) -> None:
    model = {"checkpoint": {"trainingJobName": "news", "name": "best"}}
    kube.apply(deployment("paused", model=model), namespace=trained)
    wait_for_phase("cdep", "paused", trained, "Deployed")
    kube.kubectl("patch", "cdep", "paused", "-n", trained, "--type=merge", "-p", '{"spec":{"suspend":true}}')
    wait_for_phase("cdep", "paused", trained, "Suspended")
    kube.wait_for("no pods", lambda: not kube.items("pods", trained, "classifiers.dev/deployment=paused"), timeout=90)
    kube.kubectl("patch", "cdep", "paused", "-n", trained, "--type=merge", "-p", '{"spec":{"suspend":false}}')
    wait_for_phase("cdep", "paused", trained, "Deployed")


def test_operator_killed_in_the_middle(data: str) -> None:
    kube.apply(training_job("survivor", hyperparameters={"epochs": 6, "maxLength": 32}), namespace=data)
    wait_for_phase("ctj", "survivor", data, "Preparing", "Training")
    kube.kubectl("delete", "pods", "-n", install.NAMESPACE, "-l", OPERATOR, "--force", "--grace-period=0")
    status = wait_for_phase("ctj", "survivor", data, "Succeeded", "Failed")
    assert status["phase"] == "Succeeded", status["message"]
    assert len(status["checkpoints"]) == 6
    uid = kube.get("ctj", "survivor", data)["metadata"]["uid"]
    assert len([j for j in kube.items("jobs", data) if j["metadata"]["ownerReferences"][0]["uid"] == uid]) == 1


def test_same_spec_over_a_finished_output_takes_it_over(trained: str) -> None:
    before = kube.get("ctj", "news", trained)
    kube.kubectl("delete", "ctj", "news", "-n", trained)
    kube.apply(training_job("news", testDataset={"split": 0.2}), namespace=trained)
    status = wait_for_phase("ctj", "news", trained, "Succeeded", "Failed")
    assert status["phase"] == "Succeeded", status["message"]
    assert status["checkpoints"] == before["status"]["checkpoints"]
    assert "taken over" in status["message"] or "reused" in status["message"].lower(), status["message"]


def test_deleting_while_the_operator_is_down_leaves_nothing(data: str) -> None:
    kube.apply(
        training_job(
            "doomed", hyperparameters={"epochs": 50, "maxLength": 32}, output={"claim": {"whenDeleted": "Delete"}}
        ),
        namespace=data,
    )
    wait_for_phase("ctj", "doomed", data, "Preparing", "Training")
    operator = ("deployment/classifier-operator", "-n", install.NAMESPACE)
    kube.kubectl("scale", *operator, "--replicas=0")
    try:
        kube.wait_for("no operator", lambda: not kube.items("pods", install.NAMESPACE, OPERATOR), timeout=90)
        kube.kubectl("delete", "ctj", "doomed", "-n", data, "--timeout=30s")
        kube.wait_for("nothing of the job is left", lambda: not _left_of("doomed", data), timeout=120)
    finally:
        kube.kubectl("scale", *operator, "--replicas=1")
        kube.kubectl("rollout", "status", *operator, "--timeout=120s")


def _left_of(job: str, namespace: str) -> list[str]:
    found = [item["metadata"]["name"] for kind in ("jobs", "pods", "pvc") for item in kube.items(kind, namespace)]
    return [name for name in found if name.startswith(job)]
