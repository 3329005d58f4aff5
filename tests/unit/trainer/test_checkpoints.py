"""Checkpoints: calibrated in the saved head, tested as they are served, kept as asked, the best one merged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from classifier_artifacts.classifier_json import Task, read_classifier_json
from classifier_artifacts.folder import open_folder
from classifier_artifacts.probabilities import probabilities
from classifier_trainer.errors import UserError
from classifier_trainer.evaluate.reliability import log_losses
from classifier_trainer.evaluate.user_functions import Function
from support.checkpoint_writer import writer
from support.tiny_models import Kind, tiny_folder

# peft 0.21 asks for a name that transformers 5.23 has renamed.
pytestmark = pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing.*:FutureWarning")


def logits_of(folder: Path, texts: list[str], base: Path | None = None) -> Any:
    """As the server computes them."""
    opened = open_folder(folder, base)
    batch = opened.load_tokenizer()(texts, truncation=True, padding=True, return_tensors="pt")
    with torch.no_grad():
        return opened.load_model()(**batch).logits.double().numpy()


def results(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "test" / "results.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "method", "task"),
    [
        ("qwen3", "LoRA", "Multiclass"),
        ("bert", "LoRA", "Multilabel"),
        ("modernbert", "Full", "Multilabel"),
        ("llama", "Full", "Binary"),
        ("roberta", "HeadOnly", "Multiclass"),
    ],
)
def test_temperature_is_in_the_saved_head(tmp_path: Path, kind: Kind, method: Any, task: Task) -> None:
    base = tiny_folder(tmp_path / "base", kind)
    made = writer(base, tmp_path / "out", method=method, task=task)
    scored = made.write(1, sharpness=20.0)
    folder = tmp_path / "out" / "checkpoints" / "epoch-1"

    described = read_classifier_json(folder)
    assert described is not None
    assert described.calibrated
    by = np.array([described.temperatures[label] for label in described.labels] if task == "Multilabel" else 1.0)
    by = by * described.temperature
    assert (by > 1.2).all()  # a head twenty times too sharp

    # What is served is the model in training divided by the temperature, and that one went on unscaled.
    validation = made.writer.dataset.validation
    assert validation is not None
    texts = list(validation.prompts)
    tokenizer = made.writer.prepared.tokenizer
    batch = tokenizer(texts, truncation=True, padding=True, return_tensors="pt")
    made.trained.model.eval()
    with torch.no_grad():
        raw = made.trained.model(**batch).logits.double().numpy()
    served = logits_of(folder, texts, base)
    np.testing.assert_allclose(served, raw / by, atol=1e-4, rtol=1e-4)
    assert log_losses(served, validation.targets, task).mean() < log_losses(raw, validation.targets, task).mean()

    # The test's rows are what the folded weights say.
    found = results(folder)
    probs = probabilities(logits_of(folder, [row["prompt"] for row in found], base), task)
    for row, values in zip(found, probs, strict=True):
        assert list(row["probabilities"].values()) == pytest.approx(values, abs=2e-5)
        if task != "Multiclass":
            limits = described.thresholds
            assert row["predicted"] == {label: int(row["probabilities"][label] >= limits[label]) for label in limits}
    assert [row["line"] for row in found] == list(range(1, 31))
    metrics = json.loads((folder / "test" / "metrics.json").read_text())
    assert metrics["rows"] == 30
    assert metrics["beforeCalibration"]["logLoss"] > metrics["logLoss"]
    assert metrics["accuracy"] == pytest.approx(scored.metrics["accuracy"])
    assert json.loads((folder / "validation" / "metrics.json").read_text())["rows"] == 60


@pytest.mark.parametrize(
    ("validation", "hyperparameters"), [(0, {}), (60, {"calibrate": False})], ids=["no validation", "not asked for"]
)
def test_without_calibration(tmp_path: Path, validation: int, hyperparameters: dict[str, Any]) -> None:
    base = tiny_folder(tmp_path / "base")
    made = writer(base, tmp_path / "out", task="Multilabel", validation=validation, **hyperparameters)
    scored = made.write(1, sharpness=20.0)
    folder = tmp_path / "out" / "checkpoints" / "epoch-1"
    described = read_classifier_json(folder)
    assert described is not None
    assert (described.calibrated, set(described.temperatures.values())) == (False, {1.0})
    assert set(described.thresholds.values()) == {0.5}
    assert (scored.selection is None) == (validation == 0)
    score: Any = made.backbone.model.get_submodule("score")
    stored = load_file(folder / "adapter_model.safetensors")["base_model.model.score.weight"]
    assert torch.equal(stored, score.weight.detach())


def test_nothing_to_test_on(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base")
    made = writer(base, tmp_path / "out", validation=0, test=0)
    scored = made.write(1)
    assert (scored.metrics, scored.validation, scored.selection) == ({}, {}, None)
    made.write(2)
    assert made.writer.finish().name == "epoch-2"  # without validation rows the last one is best
    assert not (tmp_path / "out" / "checkpoints" / "epoch-1" / "test").exists()


def test_training_goes_on_from_the_unscaled_head(tmp_path: Path) -> None:
    made = writer(tiny_folder(tmp_path / "base"), tmp_path / "out")
    made.write(1, sharpness=20.0)
    before = {name: value.clone() for name, value in made.trained.model.state_dict().items()}
    made.writer.write("epoch-2", 20, lambda folder: made.trained.save(folder, None), epoch=2)
    for name, value in made.trained.model.state_dict().items():
        assert torch.equal(value, before[name]), name
    # So the same weights give the same checkpoint again.
    first, second = (tmp_path / "out" / "checkpoints" / f"epoch-{n}" / "adapter_model.safetensors" for n in (1, 2))
    assert first.read_bytes() == second.read_bytes()


def test_best_is_chosen_on_validation_alone(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base", "minilm")
    made = writer(base, tmp_path / "out", selectBy="LogLoss", calibrate=False)
    head: Any = made.backbone.model.get_submodule("classifier")
    for epoch in (1, 2, 3):
        with torch.no_grad():
            for parameter in head.parameters():
                # Knowing nothing is better than being sure of what is wrong.
                parameter.normal_(std=3) if epoch == 2 else parameter.zero_()
        made.writer.write(f"epoch-{epoch}", epoch, lambda folder: made.trained.save(folder, None), epoch=epoch)
    one, two, three = made.writer.written
    assert one.selection is not None
    assert two.selection is not None
    assert two.selection < one.selection == three.selection
    assert made.writer.finish().name == "epoch-1"  # of equal ones the first
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["best"] == "epoch-1"
    assert [entry["name"] for entry in run["checkpoints"]] == ["epoch-1", "epoch-2", "epoch-3"]
    assert run["checkpoints"][0]["validation"]["logLoss"] == -one.selection
    log = [json.loads(line) for line in (tmp_path / "out" / "metrics.jsonl").read_text().splitlines()]
    assert [(line["checkpoint"], line["step"], line["epoch"]) for line in log] == [
        ("epoch-1", 1, 1),
        ("epoch-2", 2, 2),
        ("epoch-3", 3, 3),
    ]
    assert log[0]["test"] == one.metrics
    assert log[0]["validation"] == one.validation
    document = made.writer.tracker.document()
    assert document["best"] == "epoch-1"
    assert document["checkpoints"][0]["metrics"]["accuracy"] == f"{one.metrics['accuracy']:.4f}"


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("kind", ["llama", "bert"])
def test_model_is_the_best_checkpoint_merged(tmp_path: Path, kind: Kind, dtype: torch.dtype) -> None:
    base = tiny_folder(tmp_path / "base", kind, dtype=dtype)
    made = writer(base, tmp_path / "out")
    made.write(1, sharpness=8.0)
    made.write(2, sharpness=1e-3, seed=2)
    best = made.writer.finish().name
    checkpoint, model = tmp_path / "out" / "checkpoints" / best, tmp_path / "out" / "model"
    before = (checkpoint / "config.json").read_bytes()
    assert {path.name for path in model.iterdir()} == {
        "classifier.json",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    assert read_classifier_json(model) == read_classifier_json(checkpoint)
    loaded: Any = AutoModelForSequenceClassification.from_pretrained(model)
    assert loaded.dtype == dtype
    stored = load_file(model / "model.safetensors")
    head = "classifier.weight" if kind == "bert" else "score.weight"
    assert stored[head].dtype == torch.float32
    assert torch.equal(stored[head], load_file(checkpoint / "adapter_model.safetensors")[f"base_model.model.{head}"])
    texts = [row["prompt"] for row in results(checkpoint)]
    tolerance = 1e-4 if dtype == torch.float32 else 0.1  # rounded to the format of the base
    np.testing.assert_allclose(
        logits_of(model, texts), logits_of(checkpoint, texts, base), atol=tolerance, rtol=tolerance
    )
    assert (checkpoint / "config.json").read_bytes() == before


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize(
    ("keep", "during", "after"),
    [
        (
            "All",
            [["epoch-1"], ["epoch-1", "epoch-2"], ["epoch-1", "epoch-2", "epoch-3"]],
            ["epoch-1", "epoch-2", "epoch-3"],
        ),
        ("Best", [["epoch-1"], ["epoch-1"], ["epoch-1"]], ["epoch-1"]),
        # The best one stays until model/ is made of it.
        ("Last", [["epoch-1"], ["epoch-1", "epoch-2"], ["epoch-1", "epoch-3"]], ["epoch-3"]),
    ],
)
def test_checkpoints_that_are_kept(tmp_path: Path, keep: str, during: list[list[str]], after: list[str]) -> None:
    made = writer(tiny_folder(tmp_path / "base"), tmp_path / "out", test=0, more={"checkpoints": {"keep": keep}})
    folder = tmp_path / "out" / "checkpoints"
    for epoch, expected in enumerate(during, start=1):
        # The first one is best: the others are zero.
        made.write(epoch, sharpness=1.0 if epoch == 1 else 0.0)
        assert names(folder) == expected
    assert made.writer.finish().name == "epoch-1"
    assert names(folder) == after
    assert (tmp_path / "out" / "model" / "model.safetensors").exists()
    listed = made.writer.tracker.document()["checkpoints"]
    assert [entry["name"] for entry in listed] == ["epoch-1", "epoch-2", "epoch-3"]
    assert [entry["name"] for entry in listed if "path" in entry] == after


def test_merged_format(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base", "llama", dtype=torch.bfloat16)
    made = writer(base, tmp_path / "out", more={"checkpoints": {"format": "Merged"}})
    made.write(1, sharpness=8.0)
    folder = tmp_path / "out" / "checkpoints" / "epoch-1"
    assert not list(folder.glob("adapter*"))
    stored = load_file(folder / "model.safetensors")
    assert stored["score.weight"].dtype == torch.float32
    assert stored["model.layers.0.mlp.up_proj.weight"].dtype == torch.bfloat16
    assert made.writer.finish().name == "epoch-1"
    assert (tmp_path / "out" / "model" / "model.safetensors").samefile(folder / "model.safetensors")
    adapted = writer(base, tmp_path / "other")
    adapted.write(1, sharpness=8.0)
    texts = [row["prompt"] for row in results(folder)]
    np.testing.assert_allclose(
        logits_of(folder, texts),
        logits_of(tmp_path / "other" / "checkpoints" / "epoch-1", texts, base),
        atol=0.1,
        rtol=0.1,
    )


def test_formats_that_nobody_could_load(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base")
    with pytest.raises(UserError, match="method Full has no adapter: write Auto or Merged"):
        writer(base, tmp_path / "out", method="Full", more={"checkpoints": {"format": "Adapter"}})


@pytest.mark.parametrize("kind", ["qwen3", "bert"])
def test_adapter_on_an_adapter_is_merged(tmp_path: Path, kind: Kind) -> None:
    """Two adapters stand in no folder together, so the second run's checkpoints are whole models."""
    base = tiny_folder(tmp_path / "base", kind, dtype=torch.bfloat16)
    writer(base, tmp_path / "first").write(1, sharpness=8.0)
    first = tmp_path / "first" / "checkpoints" / "epoch-1"
    made = writer(first, tmp_path / "second", adapter_base=base)
    assert made.backbone.kept_labels == tuple(made.writer.dataset.labels)
    made.writer.write("epoch-1", 1, lambda folder: made.trained.save(folder, None), epoch=1)
    second = tmp_path / "second" / "checkpoints" / "epoch-1"
    assert open_folder(second).kind == "full"
    texts = [row["prompt"] for row in results(second)]
    described = read_classifier_json(second)
    assert described is not None
    assert described.base_model is not None
    assert described.base_model.uri == f"file://{first}"
    # Nothing was trained, so only the temperature and the rounding of what is stored are new.
    expected = logits_of(first, texts, base) / described.temperature
    np.testing.assert_allclose(logits_of(second, texts), expected, atol=0.1, rtol=0.1)
    with pytest.raises(UserError, match="is an adapter itself"):
        writer(first, tmp_path / "x", adapter_base=base, more={"checkpoints": {"format": "Adapter"}})


def test_kill_while_testing_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = writer(tiny_folder(tmp_path / "base"), tmp_path / "out")
    made.write(1)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("classifier_trainer.checkpoints.write_results", killed)
    with pytest.raises(KeyboardInterrupt):
        made.write(2)
    assert names(tmp_path / "out" / "checkpoints") == ["epoch-1"]
    assert [one.name for one in made.writer.written] == ["epoch-1"]


def test_going_on_after_a_kill(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base")
    made = writer(base, tmp_path / "out")
    made.write(1)
    made.write(2, sharpness=0.0)
    again = writer(base, tmp_path / "out")
    again.writer.record.content = json.loads((tmp_path / "out" / "run.json").read_text())
    again.writer.restore(10)  # the state was saved after epoch-1, so epoch-2 is written again
    assert again.writer.written == made.writer.written[:1]
    again.write(2, sharpness=0.0)
    again.write(3, sharpness=0.0)
    assert again.writer.finish().name == "epoch-1"
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert [entry["name"] for entry in run["checkpoints"]] == ["epoch-1", "epoch-2", "epoch-3"]


def test_functions_of_the_user(tmp_path: Path) -> None:
    made = writer(tiny_folder(tmp_path / "base"), tmp_path / "out")
    file = tmp_path / "cost.py"
    file.write_text("def cost(input, expected, predicted):\n    return 3.0 * sum(expected.values())\n")
    broken = tmp_path / "broken.py"
    broken.write_text("def broken(input, expected, predicted):\n    return 1 / 0\n")
    made.writer.functions = [Function("LabelMatch"), Function("cost", file), Function("broken", broken)]
    scored = made.write(1)
    assert scored.metrics["cost"] == 3.0
    assert 0 <= scored.metrics["labelMatch"] <= 1
    found = json.loads((tmp_path / "out" / "checkpoints" / "epoch-1" / "test" / "metrics.json").read_text())
    assert "division by zero" in found["functions"]["broken"]["error"]
    assert "broken" not in scored.metrics


def test_negative_label(tmp_path: Path) -> None:
    base = tiny_folder(tmp_path / "base", "bert")
    made = writer(base, tmp_path / "out", task="Binary", method="Full", negativeLabel="other")
    made.write(1)
    made.writer.finish()
    from transformers import pipeline

    make: Any = pipeline
    classify = make("text-classification", model=str(tmp_path / "out" / "model"), top_k=None)
    row = results(tmp_path / "out" / "checkpoints" / "epoch-1")[0]
    (answer,) = classify([row["prompt"]])
    assert {item["label"] for item in answer} == {"other", "sport"}
    theirs = {item["label"]: item["score"] for item in answer}
    assert theirs["sport"] == pytest.approx(row["probabilities"]["sport"], abs=2e-5)


def test_limits_of_the_tokenizer_are_in_the_checkpoint(tmp_path: Path) -> None:
    made = writer(tiny_folder(tmp_path / "base"), tmp_path / "out")
    made.write(1)
    folder = tmp_path / "out" / "checkpoints" / "epoch-1"
    loaded = AutoTokenizer.from_pretrained(folder)
    assert loaded.model_max_length == 16
    assert len(loaded("word " * 90, truncation=True)["input_ids"]) == 16
    cut = json.loads((folder / "test" / "metrics.json").read_text())["cutRows"]
    assert cut is None or cut["rows"] > 0
