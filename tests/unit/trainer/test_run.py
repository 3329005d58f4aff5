"""Whole runs on tiny models: what they leave, what they say, and how they end."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

import classifier_artifacts
import classifier_trainer
from classifier_artifacts.classifier_json import read_classifier_json
from classifier_artifacts.folder import open_folder
from classifier_trainer.config import RunConfig
from classifier_trainer.run import run
from support.tiny_models import TOPICS, Kind, binary, multiclass, multilabel, tiny_folder, write_rows
from unit.trainer.conftest import MakeConfig

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")

SOURCES = [str(Path(package.__path__[0]).parent) for package in (classifier_artifacts, classifier_trainer)]


@pytest.fixture(autouse=True)
def last_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of the termination message."""
    path = tmp_path / "termination"
    monkeypatch.setenv("CLASSIFIER_TERMINATION_LOG", str(path))
    return path


def document(last_word: Path) -> dict[str, Any]:
    found = json.loads(last_word.read_text())
    assert isinstance(found, dict)
    return found


def output(config: RunConfig) -> Path:
    return Path(config.output.uri.removeprefix("file://"))


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "test" / "results.jsonl").read_text().splitlines()]


def updates_of(folder: Path) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl that tell of updates."""
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "checkpoint" not in line]


def test_lora_on_a_decoder(tmp_path: Path, make_config: MakeConfig, last_word: Path) -> None:
    config = make_config(multiclass(tmp_path / "train", 120), test=multiclass(tmp_path / "test", 30, 1), epochs=2)
    assert run(config, port=0) == 0
    folder = output(config)
    names = ["checkpoints", "metrics.jsonl", "model", "profile.json", "report.html", "run.json"]
    assert sorted(path.name for path in folder.iterdir()) == names
    assert sorted(path.name for path in (folder / "checkpoints").iterdir()) == ["epoch-1", "epoch-2"]

    steps = updates_of(folder)
    assert [step["step"] for step in steps] == list(range(1, 17))
    assert steps[0].keys() == {"step", "epoch", "loss", "learningRate", "gradNorm", "tokensPerSecond"}

    said = document(last_word)
    assert (said["phase"], said["progress"]["percent"], said["best"]) == ("Succeeded", 100, "epoch-2")
    assert said["dataset"]["taskType"] == "Multiclass"
    assert (said["dataset"]["trainRows"], said["dataset"]["testRows"]) == (120, 30)
    written = [(item["name"], item["step"], item["path"]) for item in said["checkpoints"]]
    assert written == [("epoch-1", 8, "checkpoints/epoch-1"), ("epoch-2", 16, "checkpoints/epoch-2")]
    metrics = said["checkpoints"][-1]["metrics"]
    assert metrics.keys() >= {"accuracy", "macroF1", "sampleMatchCombined", "logLoss", "baselineAccuracy"}
    assert float(metrics["accuracy"]) > 0.9

    record = json.loads((folder / "run.json").read_text())
    assert (record["outcome"], record["digest"]) == ("Succeeded", config.digest())
    assert record["hyperparameters"]["learningRate"] == pytest.approx(1e-3)
    assert record["hyperparameters"]["epochs"] == 2
    assert "torch" in record["versions"]

    checkpoint = folder / "checkpoints" / "epoch-2"
    described = read_classifier_json(checkpoint)
    assert described is not None
    assert (described.task, described.labels, described.method) == ("Multiclass", list(TOPICS), "LoRA")
    assert described == read_classifier_json(folder / "model")
    tested = json.loads((checkpoint / "test" / "metrics.json").read_text())
    assert f"{tested['accuracy']:.4f}" == metrics["accuracy"]
    # Nothing in it names a path of this machine.
    assert "base_model_name_or_path" in (checkpoint / "adapter_config.json").read_text()
    assert (checkpoint / "config.json").read_text().count("LlamaFor") == 0
    assert open_folder(checkpoint, Path(config.base_model.uri.removeprefix("file://"))).kind == "adapter"


@pytest.mark.parametrize("method", ["LoRA", "HeadOnly"])
@pytest.mark.parametrize("kind", ["qwen3", "bert", "roberta"])
@pytest.mark.parametrize("task", ["Binary", "Multiclass", "Multilabel"])
def test_plain_transformers_gives_our_probabilities(
    tmp_path: Path, make_config: MakeConfig, kind: Kind, task: str, method: str
) -> None:
    make = {"Binary": binary, "Multiclass": multiclass, "Multilabel": multilabel}[task]
    hyperparameters = {"epochs": 1} if method == "LoRA" else {}
    config = make_config(
        make(tmp_path / "train", 60), test=0.25, kind=kind, method=method, maxLength=16, **hyperparameters
    )
    assert run(config, port=0) == 0
    folder = output(config)
    name = "epoch-1"
    rows = results(folder / "checkpoints" / name)
    assert 10 <= len(rows) <= 18

    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    model = AutoModelForSequenceClassification.from_pretrained(folder / "model")
    assert tokenizer.model_max_length == 16
    batch = tokenizer([row["prompt"] for row in rows], truncation=True, padding=True, return_tensors="pt")
    batch.pop("token_type_ids", None)
    model.eval()
    with torch.no_grad():
        logits = model(**batch).logits
    probs = torch.sigmoid(logits) if task == "Multilabel" else torch.softmax(logits, dim=1)
    for row, found in zip(rows, probs.tolist(), strict=True):
        named = {model.config.id2label[index]: value for index, value in enumerate(found)}
        for label, probability in row["probabilities"].items():
            assert named[label] == pytest.approx(probability, abs=1e-4)
            if task != "Multiclass":
                assert row["predicted"][label] == int(probability >= 0.5)


def test_head_only_runs_the_backbone_once_a_training_row(
    tmp_path: Path, make_config: MakeConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import BertModel

    seen: list[int] = []
    forward = BertModel.forward

    def counted(self: BertModel, *args: Any, **options: Any) -> Any:
        seen.append(len(args[0] if args else options["input_ids"]))
        return forward(self, *args, **options)

    monkeypatch.setattr(BertModel, "forward", counted)
    config = make_config(multiclass(tmp_path / "train", 60), kind="bert", method="HeadOnly")
    assert run(config, port=0) == 0
    assert sum(seen) == 60 + 1  # and one row to see whether the head pools the last token
    folder = output(config)
    assert [path.name for path in (folder / "checkpoints").iterdir()] == ["epoch-1"]
    assert not (folder / "checkpoints" / "epoch-1" / "test").exists()
    weights = "model.safetensors"
    assert (folder / "model" / weights).samefile(folder / "checkpoints" / "epoch-1" / weights)


def test_stored_number_format_is_that_of_the_base(tmp_path: Path, make_config: MakeConfig) -> None:
    base = tiny_folder(tmp_path / "base", "llama", dtype=torch.bfloat16)
    for method in ("LoRA", "HeadOnly"):
        config = make_config(
            multiclass(tmp_path / "train", 60),
            output=method,
            more={"baseModel": {"uri": f"file://{base}"}},
            method=method,
            precision="Float32",
            **({"epochs": 1} if method == "LoRA" else {}),
        )
        assert run(config, port=0) == 0
        model = AutoModelForSequenceClassification.from_pretrained(output(config) / "model")
        assert model.dtype == torch.bfloat16
        from safetensors.torch import load_file

        found = load_file(output(config) / "model" / "model.safetensors")
        assert found["score.weight"].dtype == torch.float32
        assert found["model.layers.0.mlp.up_proj.weight"].dtype == torch.bfloat16


def test_two_runs_are_the_same(tmp_path: Path, make_config: MakeConfig) -> None:
    train = multiclass(tmp_path / "train", 60)
    first, second = (make_config(train, test=0.2, output=name, epochs=1) for name in ("a", "b"))
    assert run(first, port=0) == run(second, port=0) == 0
    paths = [output(config) / "checkpoints" / "epoch-1" for config in (first, second)]
    assert results(paths[0]) == results(paths[1])
    losses = [[step["loss"] for step in updates_of(output(config))] for config in (first, second)]
    assert losses[0] == losses[1]


def test_finished_run_is_taken_over(tmp_path: Path, make_config: MakeConfig, last_word: Path) -> None:
    config = make_config(multiclass(tmp_path / "train", 60), test=0.2, epochs=1)
    assert run(config, port=0) == 0
    first = document(last_word)
    written = (output(config) / "run.json").stat().st_mtime_ns
    shutil.rmtree(tmp_path / "train", ignore_errors=True)
    (tmp_path / "train").unlink()  # nothing is read again
    assert run(config, port=0) == 0
    second = document(last_word)
    assert "taken over from a run of" in second.pop("message")
    first.pop("message")
    assert second == first
    assert (output(config) / "run.json").stat().st_mtime_ns == written

    fail = config.model_copy(update={"output": config.output.model_copy(update={"if_exists": "Fail"})})
    assert run(fail, port=0) == 42
    assert "write another path, or ifExists Reuse" in document(last_word)["message"]
    other = make_config(tmp_path / "train", test=0.2, epochs=2)
    assert run(other, port=0) == 42
    assert "holds a run of" in document(last_word)["message"]


@pytest.mark.parametrize(
    ("lines", "more", "words"),
    [
        (None, {}, ["trainDataset.uri", "does not exist"]),
        (["{"], {}, ["line 1 is not JSON"]),
        (['{"prompt": "a"}'], {}, ["line 1 has no completion"]),
        (['{"prompt": "a", "completion": {"x": 2}}'], {}, ["line 1 has the value 2"]),
        (['{"prompt": "a", "completion": {"x": 1, "y": 1}}'], {"taskType": "Multiclass"}, ["line 1 has 2 labels at 1"]),
        ([], {}, ["is empty"]),
        (['{"prompt": "a", "completion": {"x": 1}}'] * 3, {}, ["only one class"]),
        (["good"], {"baseModel": {"uri": "file:///no/such/model"}}, ["baseModel.uri", "does not exist"]),
        (["good"], {"baseModel": {"uri": "hf://nonsense"}}, ["baseModel.uri", "hf://org/name"]),
    ],
)
def test_mistakes_of_the_user(
    tmp_path: Path,
    make_config: MakeConfig,
    last_word: Path,
    capfd: pytest.CaptureFixture[str],
    lines: list[str] | None,
    more: dict[str, Any],
    words: list[str],
) -> None:
    train = tmp_path / "train.jsonl"
    if lines == ["good"]:
        multiclass(train, 30)
    elif lines is not None:
        train.write_text("\n".join(lines))
    config = make_config(train, more=more)
    assert run(config, port=0) == 42
    said = document(last_word)
    assert said["phase"] == "Failed"
    for word in words:
        assert word in said["message"]
    assert "Traceback" not in capfd.readouterr().err
    # Nothing is left that would stand in the way of the mended run.
    assert list(output(config).iterdir()) == []


def test_base_model_without_a_tokenizer(
    tmp_path: Path, make_config: MakeConfig, base_models: dict[Kind, Path], last_word: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(base_models["qwen3"], base)
    for path in base.glob("tokenizer*"):
        path.unlink()
    config = make_config(multiclass(tmp_path / "train", 30), more={"baseModel": {"uri": f"file://{base}"}})
    assert run(config, port=0) == 42
    assert "has no tokenizer" in document(last_word)["message"]


def test_template_that_leaves_no_room(tmp_path: Path, make_config: MakeConfig, last_word: Path) -> None:
    config = make_config(multiclass(tmp_path / "train", 30), template="a long one " * 20 + "{prompt}", maxLength=16)
    assert run(config, port=0) == 42
    assert "leaves none of maxLength 16 for the text" in document(last_word)["message"]


def test_explicit_template(tmp_path: Path, make_config: MakeConfig) -> None:
    config = make_config(multiclass(tmp_path / "train", 30), template="{prompt} the topic is", epochs=1)
    assert run(config, port=0) == 0
    tokenizer = AutoTokenizer.from_pretrained(output(config) / "model")
    assert tokenizer.decode(tokenizer("the match")["input_ids"]) == "the match the topic is"
    described = read_classifier_json(output(config) / "model")
    assert described is not None
    assert described.template == "{prompt} the topic is"


def test_unexpected_error_is_tried_again(
    tmp_path: Path, make_config: MakeConfig, last_word: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("something\nbroke")

    monkeypatch.setattr("classifier_trainer.stages.load_dataset", broken)
    assert run(make_config(multiclass(tmp_path / "train", 30)), port=0) == 1
    assert document(last_word)["message"] == "unexpected RuntimeError: something broke"


def test_labels_of_any_kind(tmp_path: Path, make_config: MakeConfig) -> None:
    names = ["a/b", "ä ö", "LABEL_7"]
    rows = [
        (f"{name} text {index}", {other: int(other == name) for other in names}) for index in range(9) for name in names
    ]
    config = make_config(write_rows(tmp_path / "train", rows), epochs=1)
    assert run(config, port=0) == 0
    model = AutoModelForSequenceClassification.from_pretrained(output(config) / "model")
    assert [model.config.id2label[index] for index in range(3)] == names


@pytest.mark.parametrize(
    "found",
    [
        [("a", {"x": 1}), ("b", {"x": 0})],
        [("", {"x": 1}), ("", {"x": 0}), ("word", {"x": 0})],
        [("same", {"x": 1, "y": 0}), ("same", {"y": 1})] * 3,
        [("a", {"x": 1, "y": 1}), ("b", {"x": 0, "y": 0})],
        [(f"w{n}", {"x": 1, "y": int(n == 3), "z": 0}) for n in range(9)] + [("q", {"x": 0})],
        [(f"word {n}", {f"c{m}": int(m == n % 40) for m in range(40)}) for n in range(60)],
        [("\U0001f600\x00" * 99, {"x": n % 2}) for n in range(8)],
    ],
    ids=["two rows", "empty texts", "contradictions", "two rows multilabel", "rare labels", "many labels", "odd text"],
)
@pytest.mark.parametrize("method", ["LoRA", "HeadOnly"])
@pytest.mark.parametrize("kind", ["qwen3", "bert"])
def test_small_and_odd_data(
    tmp_path: Path, make_config: MakeConfig, kind: Kind, method: str, found: list[tuple[str, dict[str, int]]]
) -> None:
    hyperparameters = {"epochs": 1} if method == "LoRA" else {}
    train = write_rows(tmp_path / "train", found)
    assert run(make_config(train, test=train, kind=kind, method=method, **hyperparameters), port=0) == 0


def test_baseline_that_wins_is_a_warning(tmp_path: Path, make_config: MakeConfig, last_word: Path) -> None:
    config = make_config(multiclass(tmp_path / "train", 60), test=0.3, epochs=1, learningRate=1.0, headLearningRate=1.0)
    assert run(config, port=0) == 0
    said = document(last_word)
    assert float(said["checkpoints"][0]["metrics"]["accuracy"]) < 1
    assert any("TF-IDF + linear SVM is better" in text for text in said["dataset"]["warnings"])


def start(config: RunConfig, tmp_path: Path, **environment: str) -> subprocess.Popen[str]:
    content = json.dumps({**config.as_set(), "output": {"uri": config.output.uri}})
    return subprocess.Popen(
        [sys.executable, "-m", "classifier_trainer", "--progress-port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={
            "PYTHONPATH": ":".join(SOURCES),
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "OMP_NUM_THREADS": "1",
            "CLASSIFIER_RUN_CONFIG": content,
            "CLASSIFIER_TERMINATION_LOG": str(tmp_path / "termination"),
            **environment,
        },
    )


@pytest.mark.parametrize(("kill", "code"), [(signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_killed_in_the_middle(
    tmp_path: Path, make_config: MakeConfig, last_word: Path, kill: signal.Signals, code: int
) -> None:
    """Ends at once, shows no half checkpoint, and the next pod of the same configuration goes on from there."""
    config = make_config(multiclass(tmp_path / "train", 90), test=0.2, epochs=1000)
    process = start(config, tmp_path)
    checkpoint = output(config) / "checkpoints" / "epoch-2"
    try:
        limit = time.monotonic() + 120
        while not checkpoint.exists():
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            assert time.monotonic() < limit
            time.sleep(0.05)
        process.send_signal(kill)
        assert process.wait(timeout=20) == code
    finally:
        process.kill()
        process.communicate()
    folder = output(config)
    assert json.loads((folder / "run.json").read_text())["outcome"] == "Running"
    assert not (folder / "model").exists()
    for path in (folder / "checkpoints").glob("epoch-*"):
        assert (path / "classifier.json").exists()
        assert (path / "test" / "metrics.json").exists()
    if kill == signal.SIGTERM:
        assert document(last_word)["message"] == "stopped by SIGTERM before the end"
        assert [path.name for path in folder.rglob(".*")] == [".cache"]  # tokens, for the next one

    # The lock of the killed one is this host's, so nobody waits; fewer epochs would be another digest.
    before = len(updates_of(folder))
    another = start(config, tmp_path)
    try:
        limit = time.monotonic() + 120
        while len(updates_of(folder)) <= before:
            assert another.poll() is None, another.stderr.read() if another.stderr else ""
            assert time.monotonic() < limit
            time.sleep(0.05)
        steps = [step["step"] for step in updates_of(folder)]
        assert steps == list(range(1, len(steps) + 1))
        assert (folder / "checkpoints" / "epoch-2").exists()
    finally:
        another.kill()
        another.communicate()


def test_live_writer_is_left_alone(
    tmp_path: Path, make_config: MakeConfig, last_word: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make_config(multiclass(tmp_path / "train", 30), epochs=1)
    output(config).mkdir()
    path = output(config) / ".lock.json"
    path.write_text(json.dumps({"writer": "x", "beat": 1, "host": "pod-7"}))

    def beat(_seconds: float) -> None:
        path.write_text(json.dumps({"writer": "x", "beat": 2, "host": "pod-7"}))

    monkeypatch.setattr("classifier_trainer.output.lock.time.sleep", beat)
    monkeypatch.setattr("classifier_trainer.output.lock.OutputLock.__init__.__kwdefaults__", {"sleep": beat})
    assert run(config, port=0) == 42
    assert "is being written by another run on pod-7" in document(last_word)["message"]
    assert path.exists()


@pytest.mark.parametrize("kind", ["qwen3", "bert"])
def test_progress_is_served_while_it_runs(tmp_path: Path, make_config: MakeConfig, kind: Kind) -> None:
    import socket
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    seen: list[int] = []

    def ask(*_: object, **__: object) -> None:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/progress", timeout=10) as answer:
            found = json.loads(answer.read())
        assert found["phase"] in ("Preparing", "Training", "Testing")
        seen.append(found["progress"]["percent"])

    import classifier_trainer.methods as module

    report = module.report

    def asked(*args: Any) -> None:
        report(*args)
        ask()

    config = make_config(multiclass(tmp_path / "train", 60), test=0.2, epochs=2, kind=kind)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "report", asked)
        assert run(config, port=port) == 0
    assert len(seen) == 6
    assert seen == sorted(seen)
    assert seen[0] < 60  # with or without a search for the template, training is the larger part
    assert np.ptp(seen) > 20
