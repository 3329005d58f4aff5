"""Output folders of runs that never were, with the files of real ones: for the report."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_artifacts.probabilities import predicted_mask, probabilities
from classifier_trainer.evaluate.baseline import Baseline
from classifier_trainer.evaluate.scores import evaluate, headline
from classifier_trainer.output.results import write_results

R8 = ["earn", "acq", "crude", "trade", "money-fx", "interest", "ship", "grain"]
_SHARES = [0.5, 0.29, 0.06, 0.05, 0.04, 0.03, 0.02, 0.01]
_WORDS = [
    "shares",
    "profit",
    "oil",
    "barrel",
    "wheat",
    "tonnes",
    "bank",
    "rate",
    "vessel",
    "port",
    "dollar",
    "yen",
    "tariff",
    "export",
    "quarter",
    "loss",
    "bid",
    "stake",
]

_OVERCONFIDENT = 2.0


def sample_run(
    folder: Path,
    *,
    task: Task = "Multiclass",
    labels: list[str] | None = None,
    rows: int = 600,
    epochs: int = 3,
    steps: int = 240,
    texts: list[str] | None = None,
    baseline: bool = True,
    functions: dict[str, dict[str, Any]] | None = None,
    seed: int = 1,
) -> Path:
    """Writes all that a finished run leaves but its weights, and returns the folder.

    The metrics are those of the real `evaluate` on made-up logits, which get better with every epoch. `texts` are the
    first rows of the test set, and what the model is most wrong about.
    """
    random = np.random.default_rng(seed)
    labels = labels or {"Binary": ["spam"], "Multiclass": R8, "Multilabel": ["sport", "politics", "tech", "art"]}[task]
    folder.mkdir(parents=True, exist_ok=True)
    targets = _targets(random, task, len(labels), rows)
    noise = random.normal(size=(rows, 2 if task == "Binary" else len(labels)))
    prompts = [" ".join(random.choice(_WORDS, random.integers(4, 40))) for _ in range(rows)]
    prompts[: len(texts or [])] = texts or []
    lines = [*_step_lines(random, steps, epochs)]
    listed = []
    for epoch in range(1, epochs + 1):
        name, step = f"epoch-{epoch}", steps * epoch // epochs
        raw = _OVERCONFIDENT * _logits(targets, task, noise, 1.0 + 0.25 * min(epoch, 3))
        told = len(texts or [])
        raw[:told] = -4 * _logits(targets[:told], task, 0 * noise[:told], 2.0)
        scores = {
            split: evaluate(
                targets[part],
                raw[part] / _OVERCONFIDENT,
                task=task,
                labels=labels,
                thresholds=dict.fromkeys(labels, 0.45),
                uncalibrated=raw[part],
                cut=random.random(len(targets[part])) < 0.05,
                functions=functions if functions is not None else {"cost": {"value": 1.2 / epoch}},
                baseline=Baseline("TF-IDF + linear SVM", 0.861, 0.802, 0.833, 2.0)
                if baseline and split == "test"
                else None,
            )
            for split, part in (("validation", slice(rows // 3, None)), ("test", slice(None)))
        }
        place = folder / "checkpoints" / name
        for split, metrics in scores.items():
            (place / split).mkdir(parents=True)
            _write(place / split / "metrics.json", metrics)
        probs = probabilities(raw / _OVERCONFIDENT, task)
        mask = predicted_mask(probs, dict.fromkeys(labels, 0.45), task, labels)
        write_results(place / "test" / "results.jsonl", labels, prompts, range(1, rows + 1), targets, mask, probs)
        lines.append({"step": step, "epoch": epoch, "checkpoint": name} | {s: headline(m) for s, m in scores.items()})
        listed.append({"name": name, "step": step, "metrics": headline(scores["test"])})
        _write(
            place / "classifier.json",
            {
                "task": task,
                "labels": labels,
                "calibrated": True,
                "temperature": 1.0 if task == "Multilabel" else _OVERCONFIDENT,
                "temperatures": dict.fromkeys(labels, _OVERCONFIDENT) if task == "Multilabel" else {},
                "thresholds": {} if task == "Multiclass" else dict.fromkeys(labels, 0.45),
                "baseModel": {"uri": "hf://org/tiny", "revision": "0123abc", "digest": "sha256:00"},
            },
        )
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    _write(folder / "profile.json", sample_profile(labels, targets, task, rows))
    _write(folder / "run.json", _record(task, labels, listed))
    return folder


def sample_profile(labels: list[str], targets: npt.NDArray[np.int8], task: Task, rows: int) -> dict[str, Any]:
    """A profile.json with everything in it."""
    per_label = targets.sum(axis=0).tolist()
    edges = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    return {
        "rows": {
            "train": 4 * rows,
            "validation": rows // 2,
            "test": rows,
            "read": 5 * rows + rows // 2,
            "natural": 4 * rows,
        },
        "task": task,
        "reason": f"{task}, since each row has what makes it so",
        "labels": [
            {"name": name, "train": 4 * n, "natural": 4 * n, "validation": n // 2, "test": n}
            for name, n in zip(labels, per_label, strict=True)
        ],
        "lengths": {
            "unit": "tokens",
            "bins": edges,
            "train": [int(rows * math.exp(-((place - 5.2) ** 2) / 3)) for place in range(len(edges) - 1)],
            "cut": {"train": 41, "validation": 4, "test": 9},
            "maxLength": 256,
            "median": 61,
            "p95": 241,
            "max": 980,
        },
        "duplicates": {
            "rows": 14,
            "contradicting": 2,
            "examples": [{"lines": [12, 480], "text": "shr 12 cts vs 9 cts net 1.2 mln"}],
        },
        "overlap": {"rows": 3, "examples": [{"lines": [77], "text": "ec sets new sugar quotas"}]},
        "empty": {"rows": 1, "lines": [903]},
        "outliers": {"long": [45, 1201], "short": [903]},
        "missingLabels": {"rows": 0},
        "warnings": [
            {"text": "label 'grain' has only 24 training rows: more make it better", "lines": []},
            {"text": "14 rows have the text of an earlier row (lines 480, 512 and 12 more)", "lines": [480, 512]},
            {"text": "3 of 600 test rows stand in the training set as well", "lines": [77, 78, 79]},
        ],
    }


def _targets(random: np.random.Generator, task: Task, labels: int, rows: int) -> npt.NDArray[np.int8]:
    if task == "Binary":
        return (random.random((rows, 1)) < 0.35).astype(np.int8)
    if task == "Multilabel":
        return (random.random((rows, labels)) < 0.3).astype(np.int8)
    shares = np.array(_SHARES if labels == len(_SHARES) else 1 / np.arange(1, labels + 1))
    found = random.choice(labels, rows, p=shares / shares.sum())
    return np.eye(labels, dtype=np.int8)[found]


def _logits(
    targets: npt.NDArray[np.int8], task: Task, noise: npt.NDArray[np.float64], strength: float
) -> npt.NDArray[np.float64]:
    if task == "Binary":
        signed = (2.0 * targets - 1) * strength * 0.5
        return np.hstack([-signed, signed]) + noise
    return 2.5 * strength * (strength * (2.0 * targets - 1) + 0.9 * noise)  # the log odds of such noise


def _step_lines(random: np.random.Generator, steps: int, epochs: int) -> list[dict[str, Any]]:
    return [
        {
            "step": step,
            "epoch": 1 + (step - 1) * epochs // steps,
            "loss": round(0.15 + 1.6 * math.exp(-6 * step / steps) * random.lognormal(0, 0.25), 4),
            "learningRate": 5e-4 * min(step / (0.03 * steps), (steps - step) / (0.97 * steps)),
            "gradNorm": round(random.lognormal(0, 0.4), 4),
            "tokensPerSecond": round(9000 * random.lognormal(0, 0.08), 1),
        }
        for step in range(1, steps + 1)
    ]


def _record(task: Task, labels: list[str], listed: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "v1alpha1",
        "digest": "v1:" + "3f" * 32,
        "config": {
            "baseModel": {"uri": "hf://HuggingFaceTB/SmolLM2-135M"},
            "trainDataset": {"uri": "s3://newsroom/reuters-r8.jsonl"},
            "testDataset": {"split": 0.2},
            "hyperparameters": {"method": "LoRA", "epochs": len(listed)},
            "testFunctions": [{"name": "cost", "uri": "file:///work/cost.py"}],
            "version": "v1alpha1",
        },
        "resolved": {"hf://HuggingFaceTB/SmolLM2-135M": "93efa2f097d58c2a74874c7e644dbc9b0cee75a2"},
        "outcome": "Succeeded",
        "host": "trainer-0",
        "startTime": "2026-03-09T08:12:00Z",
        "completionTime": "2026-03-09T08:47:12Z",
        "versions": {"classifier-trainer": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "peft": "0.21.0"},
        "task": task,
        "labels": labels,
        "hyperparameters": {
            "method": "LoRA",
            "epochs": len(listed),
            "learningRate": 5e-4,
            "lora": {"rank": 16, "alpha": 32},
        },
        "best": listed[-1]["name"] if listed else None,
        "checkpoints": listed,
        "progress": {"phase": "Succeeded", "message": "best is epoch-3", "progress": {"percent": 100}},
    }


def _write(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False), encoding="utf-8")
