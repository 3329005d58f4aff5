"""The commands that a person types: check, export, predict, report, train --dry-run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

import classifier_artifacts
import classifier_trainer
from classifier_trainer.__main__ import main
from classifier_trainer.commands.dry_run import Amount, Speed, seconds_of
from support.checkpoint_writer import writer
from support.tiny_models import Kind, binary, multiclass, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

SOURCES = [str(Path(package.__path__[0]).parent) for package in (classifier_artifacts, classifier_trainer)]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run whose base, stored in bfloat16, is in ../base."""
    root = tmp_path_factory.mktemp("run")
    made = writer(tiny_folder(root / "base", "llama", dtype=torch.bfloat16), root / "out", task="Multilabel")
    made.write(1, sharpness=8.0)
    made.writer.finish()
    return root / "out"


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """The command takes SIGTERM over for its process."""
    import signal

    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "test" / "results.jsonl").read_text().splitlines()]


def configuration(folder: Path, train: Path, kind: Kind = "qwen3", **more: Any) -> Path:
    path = folder / "run.json"
    content = {
        "baseModel": {"uri": f"file://{tiny_folder(folder / 'base', kind)}"},
        "trainDataset": {"uri": f"file://{train}"},
        "testDataset": {"split": 0.25},
        "output": {"uri": str(folder / "out")},
        **more,
    }
    path.write_text(json.dumps(content))
    return path


def test_check_needs_neither_torch_nor_a_model(tmp_path: Path) -> None:
    train = multiclass(tmp_path / "train.jsonl", 60)
    path = configuration(tmp_path, train, baseModel={"uri": "hf://no/such-model"})
    target = tmp_path / "profile.json"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "classifier_trainer", "check", "--config", path, "--to", target],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": ":".join(SOURCES), "PATH": os.environ["PATH"], "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if "import time:" in line}
    assert not imported & {"torch", "transformers", "peft"}
    lines = done.stdout.splitlines()
    assert lines[0].startswith("Multiclass: ")
    assert lines[1] == "rows: 45 to train on, 0 to validate on, 15 to test on"
    assert [line.split() for line in lines[3:7]] == [
        ["label", "train", "validation", "test"],
        ["sport", "15", "0", "5"],
        ["food", "15", "0", "5"],
        ["money", "15", "0", "5"],
    ]
    assert any(line.startswith("warning: ") for line in lines)
    profile = json.loads(target.read_text())
    assert profile["rows"]["train"] == 45
    assert not (tmp_path / "out").exists()


def test_check_says_everything_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train = tmp_path / "train.jsonl"
    train.write_text('{"prompt": "a"}\n{"prompt": 3, "completion": {"x": 1}}\n')
    assert main(["check", "--config", str(configuration(tmp_path, train))]) == 42
    said = capsys.readouterr().err
    assert "line 1" in said
    assert "line 2" in said


def test_export_merges(tmp_path: Path, run_folder: Path) -> None:
    checkpoint = run_folder / "checkpoints" / "epoch-1"
    assert main(["export", str(checkpoint), "--merged", "--to", str(tmp_path / "plain")]) == 0
    names = {path.name for path in (tmp_path / "plain").iterdir()}
    assert names == {path.name for path in (run_folder / "model").iterdir()}
    for name in ("model.safetensors", "config.json", "classifier.json", "tokenizer.json"):
        assert (tmp_path / "plain" / name).read_bytes() == (run_folder / "model" / name).read_bytes(), name
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "plain")
    assert model.dtype == torch.bfloat16
    assert main(["export", str(run_folder / "model"), "--to", str(tmp_path / "copy")]) == 0
    assert {path.name for path in (tmp_path / "copy").iterdir()} == names


def test_export_says_what_to_write(tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    checkpoint = str(run_folder / "checkpoints" / "epoch-1")
    for arguments, words in (
        ([checkpoint, "--to", str(tmp_path / "x")], "which no plain folder can hold: write --merged"),
        ([checkpoint, "--merged", "--to", str(run_folder)], "is not empty: name a new folder"),
        ([str(tmp_path / "absent"), "--to", str(tmp_path / "x")], "does not exist: check the path"),
        (
            [
                checkpoint,
                "--merged",
                "--base",
                str(tiny_folder(tmp_path / "other", seed=9)),
                "--to",
                str(tmp_path / "x"),
            ],
            "was trained from another base model",
        ),
    ):
        assert main(["export", *arguments]) == 42
        assert words in capsys.readouterr().err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["checkpoints/epoch-1", "model"])
def test_predict_says_what_the_tests_said(
    tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    expected = results(run_folder / "checkpoints" / "epoch-1")
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps({"prompt": row["prompt"]}) + "\n" for row in expected))
    options = ["--model", str(run_folder / name), "--precision", "Float32"]
    assert main(["predict", str(file), *options]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["prompt"] for row in found] == [row["prompt"] for row in expected]
    close = 2e-5 if name != "model" else 0.05  # which is rounded to bfloat16
    for row, wanted in zip(found, expected, strict=True):
        assert row["probabilities"] == pytest.approx(wanted["probabilities"], abs=close)
        if name != "model":
            assert row["predicted"] == [label for label, value in wanted["predicted"].items() if value]


def test_predict_reads_texts_a_line_and_writes_a_file(tmp_path: Path, run_folder: Path) -> None:
    (tmp_path / "rows.txt").write_text("the team won\n\nthe bank\n")
    target = tmp_path / "found.jsonl"
    arguments = ["predict", str(tmp_path / "rows.txt"), "--model", str(run_folder / "model"), "--to", str(target)]
    assert main(arguments) == 0
    found = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["prompt"] for row in found] == ["the team won", "", "the bank"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"prompt": "a"}\n{', "line 2 is not JSON"),
        (b'{"completion": {}}', "line 1 has no text"),
        (b"[1]", "line 1 has no text"),
        (b'{"prompt": "\xff"}', "is not UTF-8"),
        (None, "cannot be read"),
    ],
)
def test_predict_says_what_is_wrong_with_the_file(
    tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str], content: bytes | None, words: str
) -> None:
    file = tmp_path / "rows.jsonl"
    if content is not None:
        file.write_bytes(content)
    assert main(["predict", str(file), "--model", str(run_folder / "model")]) == 42
    assert words in capsys.readouterr().err


def test_adapter_without_its_base(tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    import shutil

    checkpoint = tmp_path / "checkpoint"
    shutil.copytree(run_folder / "checkpoints" / "epoch-1", checkpoint)
    content = json.loads((checkpoint / "classifier.json").read_text())
    content["baseModel"]["uri"] = "pvc://models/base"
    (checkpoint / "classifier.json").write_text(json.dumps(content))
    assert main(["predict", str(tmp_path / "x"), "--model", str(checkpoint)]) == 42
    assert "name its base model, which is pvc://models/base: write --base URI" in capsys.readouterr().err
    (tmp_path / "x").write_text("")
    base = ["--base", str(run_folder.parent / "base")]
    assert main(["predict", str(tmp_path / "x"), "--model", str(checkpoint), *base]) == 0


def test_report_is_written_anew(tmp_path: Path, run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (run_folder / "report.html").unlink(missing_ok=True)
    assert main(["report", str(run_folder)]) == 0
    text = (run_folder / "report.html").read_text()
    assert text.startswith("<!")
    assert main(["report", str(tmp_path)]) == 42
    assert "holds no run.json: name the output of a run" in capsys.readouterr().err


@pytest.mark.parametrize("method", ["LoRA", "Full", "HeadOnly"])
def test_dry_run(tmp_path: Path, capsys: pytest.CaptureFixture[str], method: str) -> None:
    train = binary(tmp_path / "train.jsonl", 60)
    hyperparameters = {"method": method, "precision": "Float32", **({"epochs": 2} if method != "HeadOnly" else {})}
    path = configuration(tmp_path, train, hyperparameters=hyperparameters)
    before = sorted(tmp_path.rglob("*"))
    assert main(["train", "--config", str(path), "--dry-run"]) == 0
    lines = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines())
    assert set(lines) == {"rows", "speed", "time", "memory", "disk"}
    assert ("trained on" in lines["speed"]) == (method != "HeadOnly")
    assert lines["rows"].startswith("45, about ")
    # The one checkpoint of HeadOnly is model/ itself.
    assert ("for each checkpoint" in lines["disk"]) == (method != "HeadOnly")
    assert sorted(tmp_path.rglob("*")) == before  # nothing is written


def test_time_is_what_there_is_to_do_over_the_speed() -> None:
    amount = Amount(start=1000, train=20_000, judged=3000, epochs=3)
    assert seconds_of(Speed(read=100, trained=40), amount) == {"start": 10, "training": 1500, "tests": 90}
    assert seconds_of(Speed(read=100, trained=None), amount)["training"] == 0
