from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from classifier_artifacts.classifier_json import Task
from classifier_server.config import parse
from classifier_server.loading import load_classifier
from classifier_server.metrics import Metrics
from classifier_server.playground.about import MAX_MATRIX_LABELS, read_test
from support.sample_run import sample_run
from support.server_models import bert_folder, write_classifier_json


@pytest.mark.parametrize("task", ["Binary", "Multiclass", "Multilabel"])
def test_reads_what_the_trainer_writes(tmp_path: Path, task: Task) -> None:
    checkpoint = sample_run(tmp_path, task=task, rows=90, steps=9) / "checkpoints" / "epoch-3"
    metrics = json.loads((checkpoint / "test" / "metrics.json").read_text())
    scores = read_test(checkpoint)
    assert scores is not None
    shown = scores.model_dump(mode="json", by_alias=True)
    for name in ("rows", "accuracy", "macroF1", "logLoss", "expectedCalibrationError"):
        assert shown[name] == metrics[name] is not None
    assert shown["reliability"] == metrics["reliability"]["bins"]
    assert shown["beforeCalibration"]["reliability"] == metrics["beforeCalibration"]["reliability"]["bins"]
    assert shown["baseline"]["accuracy"] == metrics["baseline"]["accuracy"]
    for label, each in metrics["labels"].items():
        assert shown["labels"][label] == {name: each[name] for name in ("precision", "recall", "f1", "support")}
    if task == "Multilabel":
        assert shown["confusion"] is None
    else:
        assert shown["confusion"]["labels"] == metrics["confusion"]["labels"]
        assert shown["confusion"]["matrix"] == metrics["confusion"]["matrix"]
        assert shown["confusion"]["top"] == metrics["confusion"]["top"][:30]


def test_the_best_model_has_the_scores_of_its_checkpoint(tmp_path: Path) -> None:
    run = sample_run(tmp_path, rows=60, steps=9)
    (run / "model").mkdir()
    best = json.loads((run / "run.json").read_text())["best"]
    assert read_test(run / "model") == read_test(run / "checkpoints" / best) is not None
    (run / "exported").mkdir()
    assert read_test(run / "exported") is None


@pytest.mark.parametrize("best", ["../../other", "..", ".", "", "epoch-9", "a/b", "/etc", None, 3, ["epoch-1"]])
def test_run_json_leads_nowhere_else(tmp_path: Path, best: Any) -> None:
    folder = tmp_path / "run" / "model"
    folder.mkdir(parents=True)
    for place in (tmp_path / "other", tmp_path / "run" / "a" / "b", tmp_path / "run" / "checkpoints", tmp_path / "run"):
        (place / "test").mkdir(parents=True)
        (place / "test" / "metrics.json").write_text('{"rows": 1, "accuracy": 1}')
    (tmp_path / "run" / "run.json").write_text(json.dumps({"best": best}))
    assert read_test(folder) is None


@pytest.mark.parametrize("content", ["[]", "null", "no JSON", '{"best"', "\udcff"])
def test_a_broken_run_json_is_no_reason_to_fail(tmp_path: Path, content: str) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "run.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert read_test(tmp_path / "model") is None


@pytest.mark.parametrize(
    "content",
    [
        "no JSON",
        "[]",
        "{}",
        '{"rows": 5}',
        '{"rows": 5, "accuracy": NaN}',
        '{"rows": 5, "accuracy": "<img src=x>"}',
        '{"rows": -5, "accuracy": 0.5}',
        '{"rows": 5, "accuracy": 0.5, "reliability": {"bins": [{"confidence": 7}]}}',
    ],
)
def test_scores_that_are_none_are_left_out(tmp_path: Path, content: str, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "metrics.json").write_text(content)
    assert read_test(tmp_path) is None
    assert "metrics.json is not what the model card takes" in caplog.text


@pytest.mark.parametrize(
    ("labels", "matrix", "kept"),
    [
        (2, [[1, 2], [3, 4]], True),
        (2, [[1, 2]], False),
        (2, [[1, 2], [3]], False),
        (0, [], False),
        (MAX_MATRIX_LABELS, [[0] * MAX_MATRIX_LABELS] * MAX_MATRIX_LABELS, True),
        (MAX_MATRIX_LABELS + 1, [[0] * (MAX_MATRIX_LABELS + 1)] * (MAX_MATRIX_LABELS + 1), False),
    ],
)
def test_only_a_matrix_that_can_be_shown_is_kept(
    tmp_path: Path, labels: int, matrix: list[list[int]], kept: bool
) -> None:
    (tmp_path / "test").mkdir()
    confusion = {"labels": [f"label {place}" for place in range(labels)], "matrix": matrix}
    document = {"rows": 5, "accuracy": 0.5, "confusion": confusion}
    (tmp_path / "test" / "metrics.json").write_text(json.dumps(document))
    scores = read_test(tmp_path)
    assert scores is not None
    assert scores.confusion is not None
    assert scores.confusion.matrix == (matrix if kept else None)


def test_a_checkpoint_that_is_loaded_brings_its_test(tmp_path: Path) -> None:
    folder = bert_folder(tmp_path / "model")
    write_classifier_json(folder, task="Multiclass", labels=[f"label-{place}" for place in range(4)], method="LoRA")
    (folder / "test").mkdir()
    (folder / "test" / "metrics.json").write_text('{"rows": 5, "accuracy": 0.5}')
    config = parse({"version": "v1alpha1", "name": "m", "model": {"uri": f"file://{folder}"}}, "test")
    classifier = load_classifier(config, Metrics(), report=lambda _: None, on_broken=lambda _: None)
    classifier.engine.close()
    about = classifier.about
    assert about.test is not None
    assert (about.test.rows, about.test.accuracy) == (5, 0.5)
    assert about.classifier is not None
    assert about.classifier.method == "LoRA"
    assert about.precision in ("float32", "bfloat16")
    assert about.device is not None
