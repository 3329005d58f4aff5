"""Every mistake of a user ends in phase Failed, at once and without a retry, with its sentence in `status.message`."""

from __future__ import annotations

import json
from typing import Any

import pytest

from e2e.objects import condition, config_map, rows, training_job, wait_for_phase
from support import kube

pytestmark = pytest.mark.e2e

GOOD = json.loads(rows(1))
TWO_LABELS = json.dumps({"prompt": "wheat by ship", "completion": {"grain": 1, "ship": 1, "trade": 0}})
DATASETS = {
    "train.jsonl": rows(30),
    "not-json.jsonl": rows(2) + "{not json\n" + rows(2),
    "no-completion.jsonl": rows(1) + json.dumps({"prompt": "wheat"}) + "\n",
    "label-value.jsonl": rows(1) + json.dumps(GOOD | {"completion": {"grain": 2, "ship": 0, "trade": 0}}) + "\n",
    "two-labels.jsonl": rows(5) + TWO_LABELS + "\n",
    "empty.jsonl": "",
    "one-class.jsonl": json.dumps({"prompt": "a", "completion": {"spam": 1}}) + "\n",
}


def _data(key: str) -> dict[str, Any]:
    return {"trainDataset": {"configMap": {"name": "data", "key": key}}}


# name of the job: (what differs in its spec, words that the sentence must hold)
CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "file-not-found": (
        {"trainDataset": {"uri": "pvc://models/nowhere.jsonl"}},
        ["pvc://models/nowhere.jsonl", "trainDataset"],
    ),
    "not-json": (_data("not-json.jsonl"), ["line 3", "JSON"]),
    "no-completion": (_data("no-completion.jsonl"), ["line 2", "completion"]),
    "label-value": (_data("label-value.jsonl"), ["line 2", "grain", "0 or 1"]),
    "two-labels": (_data("two-labels.jsonl") | {"taskType": "Multiclass"}, ["line 6", "grain", "ship"]),
    "empty": (_data("empty.jsonl"), ["empty.jsonl", "is empty"]),
    "one-class": (_data("one-class.jsonl"), ["spam"]),
    "unknown-model": ({"baseModel": {"uri": "pvc://models/unknown"}}, ["baseModel", "pvc://models/unknown"]),
    "no-tokenizer": ({"baseModel": {"uri": "pvc://models/mute"}}, ["tokenizer", "pvc://models/mute"]),
}


@pytest.fixture(scope="module")
def applied(namespace: str, models: str) -> str:
    """All bad jobs, applied at once."""
    kube.apply(config_map("data", DATASETS), namespace=namespace)
    kube.apply(*(training_job(name, **spec) for name, (spec, _) in CASES.items()), namespace=namespace)
    return namespace


@pytest.mark.parametrize("name", CASES)
def test_message(applied: str, name: str) -> None:
    status = wait_for_phase("ctj", name, applied, "Failed", "Succeeded")
    assert status["phase"] == "Failed", status
    for word in CASES[name][1]:
        assert word in status["message"], status["message"]
    assert "Traceback" not in status["message"]
    assert "/inputs/" not in status["message"], "a path of the pod means nothing to the user"
    assert condition(status, "Failed").startswith("True/")
    assert condition(status, "Stalled").startswith("True/")


@pytest.mark.parametrize("name", CASES)
def test_no_retry(applied: str, name: str) -> None:
    wait_for_phase("ctj", name, applied, "Failed")
    uid = kube.get("ctj", name, applied)["metadata"]["uid"]
    jobs = [j for j in kube.items("jobs", applied) if j["metadata"]["ownerReferences"][0]["uid"] == uid]
    assert len(jobs) == 1
    pods = kube.items("pods", applied, f"batch.kubernetes.io/job-name={jobs[0]['metadata']['name']}")
    assert len(pods) == 1
