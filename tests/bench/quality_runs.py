"""One training as a user starts it, beside TF-IDF with a linear SVM on the same rows; what is left of it is a JSON."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.quality_figures import (
    Array,
    Mask,
    at_temperature,
    calibration_error,
    label_counts,
    log_losses,
    micro_f1,
    right,
)
from bench.quality_sets import MODELS, Case, Lines
from bench.report import commit
from material.cache import cache_folder


class TrainerError(Exception):
    """The trainer failed; the text ends with what it said."""


def folder() -> Path:
    """Where finished runs are kept, `CASE-SPLIT.json` each."""
    return cache_folder().parent / "bench-quality"


def finished(case: Case, split: int) -> dict[str, Any] | None:
    """The record of a run that was measured before."""
    path = folder() / f"{case.name}-{split}.json"
    record: dict[str, Any] | None = json.loads(path.read_text()) if path.is_file() else None
    return record


def measure(case: Case, split: int, hyperparameters: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Trains with the default hyperparameters (but for `hyperparameters`, in trials) and records the result.

    Raises:
        TrainerError: the trainer ended otherwise than well.
    """
    train, test = case.train(split), case.test()
    work = folder() / f"{case.name}-{split}"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    config = {
        "baseModel": {"uri": f"file://{MODELS[case.model]()}"},
        "trainDataset": {"uri": f"file://{_written(work / 'train.jsonl', train)}"},
        "testDataset": {"uri": f"file://{_written(work / 'test.jsonl', test)}"},
        "hyperparameters": dict(hyperparameters or {}),
        "output": {"uri": f"file://{work / 'output'}"},
    }
    (work / "run.json").write_text(json.dumps(config))
    seconds = _train(work)
    record = {
        **{"case": case.name, "split": split, "commit": commit(), "seconds": round(seconds, 1)},
        **_of_run(work / "output"),
        "svm": _svm(train, test),
    }
    (folder() / f"{case.name}-{split}.json").write_text(json.dumps(record) + "\n")
    shutil.rmtree(work)
    return record


def _written(path: Path, rows: Lines) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def _train(work: Path) -> float:
    """Runs the command to its end; returns its wall clock seconds."""
    command = [sys.executable, "-m", "classifier_trainer", "--config", str(work / "run.json"), "--progress-port", "0"]
    started = time.monotonic()
    with (work / "log").open("w") as log:
        done = subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, check=False)
    if done.returncode:
        raise TrainerError(f"exit code {done.returncode}: {(work / 'log').read_text()[-2000:]}")
    return time.monotonic() - started


def _of_run(output: Path) -> dict[str, Any]:
    """Figures of the best checkpoint, and the accuracy of all of them."""
    run = json.loads((output / "run.json").read_text())
    best = run.get("best") or run["progress"]["best"]
    labels, exclusive = run["labels"], run["task"] != "Multilabel"
    expected, predicted, probabilities = read_results(output / "checkpoints" / best / "test" / "results.jsonl", labels)
    temperature = np.array(temperatures(run, labels))
    after = log_losses(expected, probabilities, exclusive)
    raw = at_temperature(probabilities, temperature, exclusive)
    epochs = {
        path.parent.parent.name: float(right(*read_results(path, labels)[:2]).mean())
        for path in sorted(output.glob("checkpoints/*/test/results.jsonl"))
    }
    return {
        "task": run["task"],
        "best": best,
        "hyperparameters": run["hyperparameters"],
        "temperature": temperature.tolist(),
        "accuracy": float(right(expected, predicted).mean()),
        "epochs": epochs,
        "ece": calibration_error(expected, probabilities, exclusive),
        "ece_before": calibration_error(expected, raw, exclusive),
        "log_losses": np.round(after, 6).tolist(),
        "log_losses_before": np.round(log_losses(expected, raw, exclusive), 6).tolist(),
        **_rows(expected, predicted),
    }


def temperatures(run: Mapping[str, Any], labels: Sequence[str]) -> list[float]:
    """By which the logits were divided: one, or one a label; [1] where nothing was calibrated."""
    found = run.get("calibration") or {}
    if of_labels := found.get("temperatures"):
        return [float(of_labels.get(label, 1.0)) for label in labels]
    return [float(found.get("temperature", 1.0))]


def read_results(path: Path, labels: Sequence[str]) -> tuple[Mask, Mask, Array]:
    """Expected, predicted and probabilities [n, k] out of a checkpoint's results.jsonl."""
    with path.open(encoding="utf-8") as stream:
        rows = [json.loads(line) for line in stream]
    expected, predicted, probabilities = (
        np.array([[row[part][label] for label in labels] for row in rows], dtype=np.float64)
        for part in ("expected", "predicted", "probabilities")
    )
    return expected > 0, predicted > 0, probabilities


def _rows(expected: Mask, predicted: Mask) -> dict[str, Any]:
    """What is kept of each row, for paired differences."""
    counts = label_counts(expected, predicted)
    return {
        "micro_f1": micro_f1(counts),
        "right": right(expected, predicted).astype(int).tolist(),
        "counts": counts.tolist(),
    }


def _svm(train: Lines, test: Lines) -> dict[str, Any]:
    """TF-IDF and a linear SVM, all as scikit-learn has it by default; one against the rest for several labels."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import LinearSVC

    goal, expected = _targets(train), _targets(test)
    several = bool((goal.sum(axis=1) != 1).any()) and goal.shape[1] > 1
    one_column = goal.shape[1] == 1
    model = OneVsRestClassifier(LinearSVC()) if several else LinearSVC()
    classes = goal if several else goal[:, 0] if one_column else goal.argmax(axis=1)
    pipeline = make_pipeline(TfidfVectorizer(), model)
    pipeline.fit([row["prompt"] for row in train], classes)
    guess = np.asarray(pipeline.predict([row["prompt"] for row in test]))
    if one_column:
        predicted = guess[:, None] > 0
    elif several:
        predicted = guess > 0
    else:
        predicted = np.eye(goal.shape[1], dtype=bool)[guess]
    return {"accuracy": float(right(expected > 0, predicted).mean()), **_rows(expected > 0, predicted)}


def _targets(rows: Lines) -> npt.NDArray[np.int64]:
    return np.array([list(row["completion"].values()) for row in rows])
