"""The stages of a run: wires the rooms together, which never import each other."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from classifier_artifacts.fetch import resolve
from classifier_trainer.compute import Compute
from classifier_trainer.config import RunConfig
from classifier_trainer.data.batches import stratified_sample
from classifier_trainer.data.load import load_dataset
from classifier_trainer.data.rows import Dataset
from classifier_trainer.data.sources import Sources
from classifier_trainer.errors import UserError
from classifier_trainer.model import closed_form, template_search
from classifier_trainer.model.features import head_inputs, pools_last_token
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.start import logit_targets, rows_for_start
from classifier_trainer.model.template import (
    PROMPT,
    UnsupportedTokenizerError,
    added_tokens,
    refuse,
    save_tokenizer,
    with_template,
)
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train.loop import Settings
from classifier_trainer.train.schedule import default_rates

TRAINING_UNITS = 3
"""A token that is trained on costs about as much as three that are only read."""
_DEFAULT_EPOCHS = 3

Ids = list[list[int]]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Prepared:
    """Everything that training needs, with the template decided and the rows tokenized."""

    base_path: Path
    backbone: Backbone
    tokenizer: PreTrainedTokenizerBase
    """With the template in it."""
    template: str | None
    """None where nothing stands around a text."""
    train_ids: Ids
    validation_ids: Ids
    test_ids: Ids
    targets: Floats
    """[training rows, logits]."""
    exclusive: bool
    start_rows: list[int]
    """Training rows of `start_features`."""
    start_features: npt.NDArray[np.float32]

    @property
    def pad(self) -> int:
        """The id that rows are padded with."""
        return int(self.tokenizer.pad_token_id)


def read_data(config: RunConfig, tracker: Tracker) -> Dataset:
    """Reads, checks and splits the rows."""
    tracker.phase("Preparing", "reading the data")
    scratch = Path(tempfile.mkdtemp(prefix="classifier-data-"))
    atexit.register(shutil.rmtree, scratch, ignore_errors=True)
    dataset = load_dataset(config, Sources(config.mounts, scratch / "downloads"), scratch)
    test_rows = len(dataset.test) if dataset.test else 0
    tracker.dataset(dataset.task, dataset.labels, len(dataset.train), test_rows)
    tracker.say(f"{dataset.reason}; {len(dataset.train)} training rows, {test_rows} test rows")
    for warning in dataset.warnings:
        tracker.warn(warning)
    return dataset


def load_model(config: RunConfig, dataset: Dataset, compute: Compute, tracker: Tracker) -> tuple[Path, Backbone]:
    """Loads the base model with a head for the data's labels."""
    uri = config.base_model.uri
    tracker.phase("Preparing", f"loading {uri}")
    path = resolve(uri, config.mounts, what="baseModel.uri")
    backbone = load_backbone(
        path,
        uri,
        task=dataset.task,
        labels=dataset.labels,
        max_length=config.hyperparameters.max_length,
        # What is trained is kept in fp32; what is not is never more precise than it is computed.
        dtype=torch.float32 if config.hyperparameters.method == "Full" else compute.dtype,
    )
    module: nn.Module = backbone.model  # transformers hides the type of to() behind its decorator
    module.to(device=compute.device)
    kind = str(compute.dtype).removeprefix("torch.")
    tracker.say(
        f"{type(backbone.model).__name__}, {backbone.head.in_features} wide, in {kind} on {compute.device.type}"
    )
    return path, backbone


def prepare(
    config: RunConfig, dataset: Dataset, base_path: Path, backbone: Backbone, compute: Compute, tracker: Tracker
) -> Prepared:
    """Decides the template, tokenizes, and computes the features from which the head starts."""
    seed = config.hyperparameters.seed
    targets = logit_targets(dataset.train.targets, dataset.task)
    exclusive = dataset.task != "Multilabel"
    keys = [row.tobytes() for row in dataset.train.targets]
    wanted = len(keys)
    if config.hyperparameters.method != "HeadOnly":
        wanted = rows_for_start(len(keys), targets.shape[1], backbone.head.in_features)
    start_rows = stratified_sample(keys, wanted, seed)
    search_rows = (
        stratified_sample(keys, template_search.MAX_ROWS, seed) if wanted > template_search.MAX_ROWS else start_rows
    )
    _plan(config, dataset, backbone, len(start_rows), tracker)

    features: npt.NDArray[np.float32] | None = None
    template = config.hyperparameters.template
    pad = int(backbone.tokenizer.pad_token_id)
    if template != "Auto":
        tokenizer = _explicit(backbone, template)
    elif not pools_last_token(backbone.model, backbone.head, pad, compute):
        template, tokenizer = PROMPT, backbone.tokenizer
    else:
        tracker.phase("Preparing", f"choosing the template on {len(search_rows)} rows")
        choice = template_search.choose(
            backbone,
            compute,
            [dataset.train.prompts[row] for row in search_rows],
            targets[search_rows],
            exclusive=exclusive,
            seed=seed,
            progress=tracker.advance,
        )
        template, tokenizer = choice.template, choice.tokenizer
        features = choice.features if search_rows is start_rows else None
        losses = ", ".join(f"{_shown(name)} {loss:.3f}" for name, loss in choice.losses.items())
        tracker.say(f"template {_shown(template)} (log loss out of fold: {losses})")
        if not _holds(tokenizer):
            tracker.warn("the base model's tokenizer cannot hold a template, so none is used")
            template, tokenizer, features = PROMPT, backbone.tokenizer, None
    tokenizer.model_max_length = backbone.max_length
    train_ids = _tokenize(tokenizer, dataset.train.prompts, backbone.max_length)
    validation = dataset.validation
    validation_ids = _tokenize(tokenizer, validation.prompts, backbone.max_length) if validation else []
    test_ids = _tokenize(tokenizer, dataset.test.prompts, backbone.max_length) if dataset.test else []
    cut = sum(len(row) == backbone.max_length for row in train_ids)
    tracker.say(f"{sum(map(len, train_ids))} training tokens; {cut} rows reach maxLength {backbone.max_length}")
    if features is None:
        tracker.phase("Preparing", f"computing the features of {len(start_rows)} rows")
        chosen = [train_ids[row] for row in start_rows]
        features = head_inputs(
            backbone.model, backbone.head, chosen, pad=pad, compute=compute, progress=tracker.advance
        )
    return Prepared(
        base_path=base_path,
        backbone=backbone,
        tokenizer=tokenizer,
        template=None if template == PROMPT else template,
        train_ids=train_ids,
        validation_ids=validation_ids,
        test_ids=test_ids,
        targets=targets,
        exclusive=exclusive,
        start_rows=start_rows,
        start_features=features,
    )


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
        epochs=chosen.epochs or _DEFAULT_EPOCHS,
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
    result |= {"maxLength": prepared.backbone.max_length, "template": prepared.template or PROMPT}
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


def _plan(config: RunConfig, dataset: Dataset, backbone: Backbone, start_rows: int, tracker: Tracker) -> None:
    """Counts the run's work in forward tokens, before the template adds its few."""
    mean = [
        sum(map(len, _tokenize(backbone.tokenizer, split.prompts, backbone.max_length))) / len(split)
        for split in (dataset.train, dataset.test)
        if split
    ]
    epochs = config.hyperparameters.epochs or _DEFAULT_EPOCHS
    train_units = TRAINING_UNITS * epochs if config.hyperparameters.method != "HeadOnly" else 0
    tests = epochs if config.hyperparameters.method != "HeadOnly" else 1
    units = mean[0] * (start_rows + train_units * len(dataset.train))
    if dataset.test:
        units += mean[1] * tests * len(dataset.test)
    tracker.plan(units)


def _explicit(backbone: Backbone, template: str) -> PreTrainedTokenizerBase:
    try:
        tokenizer = with_template(backbone.tokenizer, template)
    except UnsupportedTokenizerError as error:
        raise refuse(template, error) from error
    if not _holds(tokenizer):
        raise refuse(template, UnsupportedTokenizerError("it loses it when it is loaded again"))
    if added_tokens(tokenizer) >= backbone.max_length:
        raise UserError(
            f"hyperparameters.template has {added_tokens(tokenizer)} tokens, which leaves none of maxLength "
            f"{backbone.max_length} for the text: shorten it, or raise maxLength."
        )
    return tokenizer


def _holds(tokenizer: PreTrainedTokenizerBase) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        try:
            save_tokenizer(tokenizer, Path(folder))
        except UnsupportedTokenizerError:
            return False
    return True


def _tokenize(tokenizer: PreTrainedTokenizerBase, prompts: Sequence[str], max_length: int) -> Ids:
    ids: Ids = []
    for start in range(0, len(prompts), 4096):
        ids += tokenizer(list(prompts[start : start + 4096]), truncation=True, max_length=max_length)["input_ids"]
    # A text of nothing, without a template, would be a row without a token.
    return [row or [int(tokenizer.pad_token_id)] for row in ids]


def _shown(template: str) -> str:
    return "none" if template == PROMPT else repr(template.replace(PROMPT, "…"))
