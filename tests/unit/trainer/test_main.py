"""The command: light until the configuration is right, and never a traceback for a user's mistake."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import classifier_artifacts
import classifier_trainer
from classifier_trainer.__main__ import load
from classifier_trainer.commands.fields import all_fields
from classifier_trainer.config import RunConfig
from classifier_trainer.errors import UserError

SOURCES = [str(Path(package.__path__[0]).parent) for package in (classifier_artifacts, classifier_trainer)]
GOOD = {"baseModel": {"uri": "file:///m"}, "trainDataset": {"uri": "file:///t"}, "output": {"uri": "/o"}}


def command(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Runs the command and has Python tell every import."""
    return subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "classifier_trainer", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(SOURCES), "PATH": "/usr/bin:/bin", "HOME": "/tmp", **(environment or {})},
    )


def heavy(stderr: str) -> set[str]:
    imported = {line.rpartition("|")[2].strip() for line in stderr.splitlines() if line.startswith("import time:")}
    return imported & {"torch", "transformers", "peft", "numpy", "sklearn", "scipy", "accelerate"}


@pytest.mark.parametrize("arguments", [("--help",), ("train", "--help")])
def test_help_is_light_and_names_the_fields(arguments: tuple[str, ...]) -> None:
    done = command(*arguments)
    assert done.returncode == 0
    assert heavy(done.stderr) == set()
    for text in ("hyperparameters.batchSize [16]\n      rows in one update", "--progress-port", "--dry-run"):
        assert text in done.stdout
    # Every field of every part is there with its description.
    for field in all_fields(RunConfig):
        assert field.description, field.path
        assert f"  {field.path}" in done.stdout
    paths = [field.path for field in all_fields(RunConfig)]
    for path in (
        "baseModel.uri",
        "trainDataset.columns.labels",
        "hyperparameters.lora.rank",
        "hyperparameters.earlyStopping.patience",
        "testFunctions[].configMap.key",
        "checkpoints.keep",
        "output.ifExists",
    ):
        assert path in paths


@pytest.mark.parametrize("name", ["check", "export", "predict", "report"])
def test_every_command_has_help(name: str) -> None:
    done = command(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: classifier_trainer {name}")
    assert heavy(done.stderr) == set()


def test_training_is_the_command_that_needs_no_name(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("{}")
    for arguments in (("--config", str(path)), ("train", "--config", str(path))):
        done = command(*arguments)
        assert done.returncode == 42
        assert "baseModel is missing" in done.stderr
    assert command("tran").returncode == 2


def test_mistake_is_light_and_the_last_word(tmp_path: Path) -> None:
    log = tmp_path / "termination"
    done = command(
        environment={
            "CLASSIFIER_RUN_CONFIG": json.dumps({**GOOD, "taskTyp": "Binary"}),
            "CLASSIFIER_TERMINATION_LOG": str(log),
        }
    )
    assert done.returncode == 42
    assert heavy(done.stderr) == set()
    assert "error: taskTyp is not a field: did you mean taskType?." in done.stderr
    assert "Traceback" not in done.stderr
    document = json.loads(log.read_text())
    assert document["phase"] == "Failed"
    assert document["message"] == "taskTyp is not a field: did you mean taskType?."


def test_no_configuration() -> None:
    done = command()
    assert done.returncode == 42
    assert "write --config FILE, or set CLASSIFIER_RUN_CONFIG" in done.stderr


@pytest.mark.parametrize(
    "text", [json.dumps(GOOD), "baseModel: {uri: file:///m}\ntrainDataset: {uri: file:///t}\noutput: {uri: /o}"]
)
def test_json_and_yaml(tmp_path: Path, text: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    assert load(path, []).output.uri == "/o"


def test_set_overrides(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(json.dumps(GOOD))
    settings = [
        "hyperparameters.epochs=1",
        "hyperparameters.learningRate=5e-4",
        "hyperparameters.lora.rank=4",
        "output.uri=/p",
    ]
    found = load(path, [*settings, "hyperparameters.template={prompt} =>"])
    assert found.output.uri == "/p"
    assert found.hyperparameters.epochs == 1
    assert found.hyperparameters.learning_rate == 5e-4
    assert found.hyperparameters.lora.rank == 4


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("a: [", [], "neither YAML nor JSON"),
        ("- 1", [], "must be a mapping"),
        (json.dumps(GOOD), ["epochs"], "write --set FIELD=VALUE"),
        (json.dumps(GOOD), ["output.uri.x=1"], "holds a value, not fields"),
        (json.dumps(GOOD), ["epochs=1"], "epochs is not a field"),
        ("baseModel: 2024-01-01", [], "JSON does not have"),
    ],
)
def test_faults_of_the_file(tmp_path: Path, text: str, settings: list[str], words: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        load(path, settings)


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "absent.yaml", [])
    (tmp_path / "latin").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match="cannot be read"):
        load(tmp_path / "latin", [])


def test_numbers_as_people_write_them(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    hyperparameters: dict[str, Any] = {"learningRate": "X"}
    path.write_text(json.dumps({**GOOD, "hyperparameters": hyperparameters}).replace('"X"', "5e-4"))
    assert load(path, []).hyperparameters.learning_rate == 5e-4
