"""train --dry-run: how long a run will take and how much memory, from a few updates that are really computed."""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from classifier_trainer import stages
from classifier_trainer.compute import Compute, find_compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.rows import Dataset
from classifier_trainer.model.features import head_inputs
from classifier_trainer.model.load import Backbone
from classifier_trainer.model.start import logit_targets, rows_for_start
from classifier_trainer.prepare import Prepared
from classifier_trainer.progress.display import display
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.ready import ready_loop

_SAMPLE = 256
_LONGEST = 16
"""Of the sample, the rows with the longest texts: they decide the memory."""
_UPDATES = 4
_READ_SECONDS = 10.0
_GIB = 2**30


@dataclass(frozen=True)
class Speed:
    """Tokens a second on this machine."""

    read: float
    trained: float | None
    """None where nothing is trained but the head."""


@dataclass(frozen=True)
class Amount:
    """What there is to do, in tokens."""

    start: float
    """Read before training, for template and head."""
    train: float
    """Trained on in one epoch."""
    judged: float
    """Read for validation and test of one checkpoint."""
    epochs: int


def seconds_of(speed: Speed, amount: Amount) -> dict[str, float]:
    """How long each part takes."""
    trained = amount.epochs * amount.train / speed.trained if speed.trained else 0.0
    return {
        "start": amount.start / speed.read,
        "training": trained,
        "tests": amount.epochs * amount.judged / speed.read,
    }


def dry_run(config: RunConfig) -> None:
    """Prints time, memory and disk; the output is not touched.

    Raises:
        UserError: what the run itself would find wrong with data and model.
    """
    tracker = Tracker(display())
    try:
        dataset = stages.read_data(config, tracker)
        compute = find_compute(config.hyperparameters.precision)
        torch.manual_seed(config.hyperparameters.seed)
        path, backbone = stages.load_model(config, dataset, compute, tracker)
        chosen = _sample(dataset, config.hyperparameters.seed)
        ids = _ids(backbone, [dataset.train.prompts[row] for row in chosen])
        # The longest ones are there for the memory, and would spoil the mean.
        mean = float(np.mean([len(row) for row in ids[_LONGEST:]] or [len(row) for row in ids]))
        tracker.phase("Preparing", "reading a few rows")
        read = _read_speed(backbone, compute, ids)
        speed, numbers = None, 0
        if config.hyperparameters.method != "HeadOnly":
            tracker.phase("Training", f"computing {_UPDATES} updates that are thrown away")
            few = replace(dataset, train=dataset.train.take(chosen))
            speed, numbers = _train_speed(config, few, _prepared(path, backbone, few, ids), compute, tracker)
    finally:
        tracker.close()
    amount = _amount(config, dataset, backbone, mean)
    print("\n".join(_lines(dataset, mean, Speed(read, speed), amount, compute, backbone, numbers)))


def _sample(dataset: Dataset, seed: int) -> list[int]:
    """Rows with the longest texts, and then some at random."""
    lengths = np.fromiter((len(text) for text in dataset.train.prompts), dtype=np.int64, count=len(dataset.train))
    longest = np.argsort(-lengths, kind="stable")[:_LONGEST].tolist()
    others = np.random.default_rng(seed).permutation(len(lengths))[:_SAMPLE].tolist()
    return [*longest, *others]


def _ids(backbone: Backbone, texts: list[str]) -> list[list[int]]:
    found = backbone.tokenizer(texts, truncation=True, max_length=backbone.max_length)["input_ids"]
    return [row or [int(backbone.tokenizer.pad_token_id)] for row in found]


def _prepared(path: Path, backbone: Backbone, few: Dataset, ids: list[list[int]]) -> Prepared:
    """The few rows as if they were all, without a template."""
    return Prepared(
        base_path=path,
        backbone=backbone,
        tokenizer=backbone.tokenizer,
        template=None,
        train_ids=ids,
        validation_ids=[],
        test_ids=[],
        targets=logit_targets(few.train.targets, few.task),
        exclusive=few.task != "Multilabel",
        start_rows=[],
        start_features=np.zeros((0, backbone.head.in_features), np.float32),
    )


def _read_speed(backbone: Backbone, compute: Compute, ids: list[list[int]]) -> float:
    """Tokens of typical rows that are read in a second, measured for a few seconds."""
    done, spent, count = 0, 0.0, 16
    rows = ids[_LONGEST:] or ids
    while spent < _READ_SECONDS:
        part = rows[:count]
        start = time.perf_counter()
        head_inputs(
            backbone.model,
            backbone.head,
            part,
            pad=int(backbone.tokenizer.pad_token_id),
            compute=compute,
            progress=lambda _tokens: None,
        )
        done, spent = sum(map(len, part)), time.perf_counter() - start
        if count >= len(rows):
            break
        count *= 2
        if 2 * spent > _READ_SECONDS:
            break
    return done / spent


def _train_speed(
    config: RunConfig, dataset: Dataset, prepared: Prepared, compute: Compute, tracker: Tracker
) -> tuple[float, int]:
    """Tokens that are trained on in a second, and the numbers that are trained.

    The first update, which also tries the longest rows, does not count.
    """
    tokens, spent = 0, 0.0
    with ready_loop(config, dataset, prepared, compute, tracker, goes_on=True) as (loop, trained):
        for step in loop:
            if step.step > 1 or step.steps == 1:
                tokens, spent = tokens + step.tokens, spent + step.seconds
            if step.step > _UPDATES:
                break
        return tokens / spent, sum(part.numel() for part in trained.parameters())


def _amount(config: RunConfig, dataset: Dataset, backbone: Backbone, mean: float) -> Amount:
    rows, method = len(dataset.train), config.hyperparameters.method
    start = rows
    if method != "HeadOnly":
        start = rows_for_start(rows, backbone.head.out_features, backbone.head.in_features)
    judged = sum(len(split) for split in (dataset.validation, dataset.test) if split is not None)
    epochs = 1 if method == "HeadOnly" else stages.settings(config, backbone).epochs
    return Amount(start * mean, rows * mean, judged * mean, epochs)


def _lines(
    dataset: Dataset,
    mean: float,
    speed: Speed,
    amount: Amount,
    compute: Compute,
    backbone: Backbone,
    numbers: int,
) -> list[str]:
    kind = str(compute.dtype).removeprefix("torch.")
    took = seconds_of(speed, amount)
    trains = f"{speed.trained:,.0f} tokens/s trained on, " if speed.trained else ""
    module: nn.Module = backbone.model
    size = torch.empty(0, dtype=backbone.stored_dtype).element_size()
    whole = sum(part.numel() for part in module.parameters()) * size
    lines = [
        f"rows: {len(dataset.train)}, about {mean:.0f} tokens each, {amount.train:,.0f} tokens an epoch",
        f"speed: {trains}{speed.read:,.0f} read ({kind} on {compute.device.type})",
        f"time: about {_shown(sum(took.values()))} (template and head {_shown(took['start'])}, "
        f"training {_shown(took['training'])} for {amount.epochs} epochs, tests {_shown(took['tests'])}; "
        "without the baseline and functions of your own)",
        f"memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / _GIB:.1f} GiB of this machine so far",
    ]
    if compute.device.type == "cuda":
        lines.append(f"memory of the GPU: {torch.cuda.max_memory_reserved() / _GIB:.1f} GiB with the longest rows")
    adapter = 4 * numbers
    whole_each = "" if adapter < whole else ", as much for each checkpoint"
    each = f", {adapter / 1e6:,.1f} MB for each checkpoint" if 0 < adapter < whole else whole_each
    return [*lines, f"disk: {whole / 1e6:,.1f} MB for model/{each}"]


def _shown(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
