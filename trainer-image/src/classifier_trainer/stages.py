"""The stages of a run before training: wires the rooms together, which never import each other."""

from __future__ import annotations

import atexit
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from classifier_artifacts.fetch import fetch_model, resolve
from classifier_trainer import distributed
from classifier_trainer.compute import Compute
from classifier_trainer.config import DEFAULT_EPOCHS, RunConfig
from classifier_trainer.data.load import load_dataset
from classifier_trainer.data.rows import Dataset
from classifier_trainer.data.sources import Sources
from classifier_trainer.evaluate.user_functions import Function, check
from classifier_trainer.model import closed_form
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.template import PROMPT
from classifier_trainer.prepare import Prepared
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train.loop import Settings
from classifier_trainer.train.schedule import default_rates

_SAYS_EVERY_SECONDS = 10.0

Resolved = dict[str, str]
"""For run.json: what exactly stood behind a URI, a commit or a digest."""


def read_data(config: RunConfig, tracker: Tracker, resolved: Resolved | None = None) -> Dataset:
    """Fetches, reads, checks and splits the rows; notes in `resolved` what their URIs stood for."""
    tracker.phase("Preparing", "reading the data")
    scratch = scratch_folder()
    sources = Sources(config.mounts, scratch / "downloads", _downloading(tracker))
    dataset = load_dataset(config, sources, scratch, _reading(tracker))
    if resolved is not None:
        resolved |= sources.resolved
    parts = {"training": dataset.train, "validation": dataset.validation, "test": dataset.test}
    rows = {name: len(split) if split else 0 for name, split in parts.items()}
    tracker.dataset(dataset.task, dataset.labels, rows["training"], rows["test"], validation_rows=rows["validation"])
    told = ", ".join(f"{count} {name} rows" for name, count in rows.items() if count or name != "validation")
    tracker.say(f"{dataset.reason}; {told}")
    for warning in dataset.warnings:
        tracker.warn(warning)
    return dataset


def scratch_folder() -> Path:
    """A folder of this process for what need not outlive it."""
    folder = Path(tempfile.mkdtemp(prefix="classifier-data-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def test_functions(config: RunConfig, tracker: Tracker) -> list[Function]:
    """The functions that every checkpoint is tested with.

    Raises:
        UserError: one is not there, or cannot be one.
    """
    functions = []
    for index, each in enumerate(config.test_functions):
        if each.address is None:
            functions.append(Function(str(each.builtin)))
            continue
        place = resolve(each.address, config.mounts, what=f"testFunctions[{index}]")
        functions.append(Function(str(each.name), place, each.address))
    if functions and config.test_dataset is None:
        tracker.warn("testFunctions have nothing to run on without a testDataset")
    check(functions)
    return functions


def load_model(
    config: RunConfig, dataset: Dataset, compute: Compute, tracker: Tracker, resolved: Resolved | None = None
) -> tuple[Path, Backbone]:
    """Loads the base model with a head for the data's labels."""
    source, chosen = config.base_model, config.hyperparameters
    tracker.phase("Preparing", f"loading {source.uri}")

    def fetched(uri: str, what: str) -> Path:
        told = _downloading(tracker)
        found = fetch_model(
            uri,
            config.mounts,
            what=what,
            folder=scratch_folder(),
            progress=lambda done, total: told(uri, done, total),
        )
        if resolved is not None and found.version is not None:
            resolved[found.uri] = found.version
        return found.path

    path = fetched(source.uri, "baseModel.uri")
    backbone = load_backbone(
        path,
        source.uri,
        task=dataset.task,
        labels=dataset.labels,
        max_length=chosen.max_length,
        negative_label=chosen.negative_label,
        template=chosen.template,
        adapter_base=fetched(source.adapter_base, "baseModel.adapterBase") if source.adapter_base else None,
        # What is trained is kept in fp32; what is not is never more precise than it is computed.
        dtype=torch.float32 if chosen.method == "Full" else compute.dtype,
    )
    module: nn.Module = backbone.model  # transformers hides the type of to() behind its decorator
    module.to(device=compute.device)
    kind = str(compute.dtype).removeprefix("torch.")
    tracker.say(
        f"{type(backbone.model).__name__}, {backbone.head.in_features} wide, in {kind} on {compute.device.type}"
    )
    if backbone.continued is not None:
        tracker.say(backbone.continued.sentence)
    return path, backbone


def settings(config: RunConfig, backbone: Backbone) -> Settings:
    """The loop's settings with their defaults filled in."""
    chosen = config.hyperparameters
    rate, head_rate = default_rates(
        backbone.head.in_features,
        full=chosen.method == "Full",
        learning_rate=chosen.learning_rate,
        head_learning_rate=chosen.head_learning_rate,
    )
    return Settings(
        epochs=chosen.epochs or DEFAULT_EPOCHS,
        learning_rate=rate,
        head_learning_rate=head_rate,
        scheduler=chosen.scheduler,
        warmup_ratio=chosen.warmup_ratio,
        weight_decay=chosen.weight_decay,
        max_grad_norm=chosen.max_grad_norm,
        seed=chosen.seed,
    )


def resolved_hyperparameters(config: RunConfig, prepared: Prepared) -> dict[str, Any]:
    """The hyperparameters as they were used, for run.json."""
    used = settings(config, prepared.backbone)
    result = config.hyperparameters.model_dump(mode="json", by_alias=True)
    result |= {
        "maxLength": prepared.backbone.max_length,
        "template": prepared.template or PROMPT,
        "targetPrior": config.hyperparameters.prior,
    }
    if config.hyperparameters.method != "HeadOnly":
        result |= {
            "epochs": used.epochs,
            "learningRate": used.learning_rate,
            "headLearningRate": used.head_learning_rate,
        }
    return result


def folds(prepared: Prepared, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each training row."""
    return closed_form.folds(prepared.targets, seed)


def _downloading(tracker: Tracker) -> Callable[[str, int, int | None], None]:
    last = time.monotonic()

    def told(uri: str, done: int, total: int | None) -> None:
        nonlocal last
        if time.monotonic() - last < _SAYS_EVERY_SECONDS or not distributed.is_main():
            return
        last = time.monotonic()
        of = f" of {total / 1e6:,.0f}" if total else ""
        tracker.phase("Preparing", f"downloading {uri}: {done / 1e6:,.0f}{of} MB")

    return told


def _reading(tracker: Tracker) -> Callable[[int], None]:
    last, rows = time.monotonic(), 0

    def told(count: int) -> None:
        nonlocal last, rows
        rows += count
        if time.monotonic() - last >= _SAYS_EVERY_SECONDS:
            last = time.monotonic()
            tracker.phase("Preparing", f"reading the data: {rows:,} rows")

    return told
