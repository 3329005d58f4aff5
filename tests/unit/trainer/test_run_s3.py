"""A whole run into S3: killed, gone on with by a pod that has nothing of the first one, and taken over."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoModelForSequenceClassification

import classifier_artifacts
import classifier_trainer
from support.s3_server import S3Server, running
from support.tiny_models import multiclass, tiny_folder

SOURCES = [str(Path(package.__path__[0]).parent) for package in (classifier_artifacts, classifier_trainer)]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with running(tmp_path_factory.mktemp("s3")) as found:
        found.bucket("models")
        yield found


def start(server: S3Server, folder: Path, config: dict[str, Any], pod: str) -> subprocess.Popen[str]:
    """The command in a pod of its own: other scratch, other host name, another last word."""
    scratch = folder / pod
    scratch.mkdir()
    return subprocess.Popen(
        [sys.executable, "-m", "classifier_trainer", "--progress-port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={
            "PYTHONPATH": ":".join(SOURCES),
            "PATH": os.environ["PATH"],
            "HOME": str(scratch),
            "TMPDIR": str(scratch),
            "OMP_NUM_THREADS": "1",
            "CLASSIFIER_RUN_CONFIG": json.dumps(config),
            "CLASSIFIER_TERMINATION_LOG": str(scratch / "termination"),
            **server.environment(),
        },
    )


def test_run_into_s3(server: S3Server, tmp_path: Path) -> None:
    config = {
        "baseModel": {"uri": f"file://{tiny_folder(tmp_path / 'base')}"},
        "trainDataset": {"uri": f"file://{multiclass(tmp_path / 'train.jsonl', 90)}"},
        "testDataset": {"split": 0.2},
        "hyperparameters": {"epochs": 4, "precision": "Float32", "template": "{prompt} =>"},
        "checkpoints": {"keep": "Last"},
        "output": {"uri": "s3://models/runs/a"},
    }
    output = server.folder / "models" / "runs" / "a"
    first = start(server, tmp_path, config, "pod-1")
    try:
        limit = time.monotonic() + 120
        while not (output / "checkpoints" / "epoch-1" / "classifier.json").exists():
            assert first.poll() is None, first.stderr.read() if first.stderr else ""
            assert time.monotonic() < limit
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        first.wait(timeout=20)
    finally:
        first.kill()
        first.communicate()
    assert json.loads((output / "run.json").read_text())["outcome"] == "Running"
    assert [path.name[:7] for path in (output / "state").iterdir()] == ["update-"]

    second = start(server, tmp_path, config, "pod-2")
    _, said = second.communicate(timeout=120)
    assert second.returncode == 0, said
    assert "going on after update" in said
    assert sorted(path.name for path in output.iterdir()) == [
        "checkpoints",
        "metrics.jsonl",
        "model",
        "profile.json",
        "report.html",
        "run.json",
    ]
    assert [path.name for path in (output / "checkpoints").iterdir()] == ["epoch-4"]
    steps = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in steps if "loss" in line] == list(range(1, 21))
    assert [line["checkpoint"] for line in steps if "loss" not in line] == [f"epoch-{n}" for n in range(1, 5)]
    model = AutoModelForSequenceClassification.from_pretrained(output / "model")
    assert model.config.num_labels == 3
    word = json.loads((tmp_path / "pod-2" / "termination").read_text())
    assert (word["phase"], word["best"]) == ("Succeeded", "epoch-4")
    assert [entry["name"] for entry in word["checkpoints"] if "path" in entry] == ["epoch-4"]
    # Nothing of the output stays behind on the pod.
    assert not [path for path in (tmp_path / "pod-2").iterdir() if path.name.startswith("classifier-output-")]

    third = start(server, tmp_path, config, "pod-3")
    _, said = third.communicate(timeout=120)
    assert third.returncode == 0, said
    assert "taken over from a run of" in said
