"""What training needs of data and model together: the template, the tokens, the features that the head starts from."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from classifier_trainer import distributed
from classifier_trainer.compute import Compute
from classifier_trainer.config import DEFAULT_EPOCHS, RunConfig
from classifier_trainer.data.batches import stratified_sample
from classifier_trainer.data.profile import add_token_lengths
from classifier_trainer.data.rows import Dataset, Split
from classifier_trainer.data.tokenize import TokenIds, lengths_of, tokenize
from classifier_trainer.errors import UserError
from classifier_trainer.model import template_search
from classifier_trainer.model.features import head_inputs, pools_last_token
from classifier_trainer.model.load import Backbone
from classifier_trainer.model.start import logit_targets, rows_for_start
from classifier_trainer.model.template import (
    PROMPT,
    UnsupportedTokenizerError,
    added_tokens,
    refuse,
    save_tokenizer,
    set_limits,
    with_template,
)
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.progress.work import Kind

TRAINING_UNITS = 3
"""A token that is trained on costs about as much as three that are only read."""
_HEAD_SECONDS = _BASELINE_SECONDS = 5.0
_COUNTED_ROWS = 500
"""Rows whose tokens are counted for a first plan of the work."""
_SAMPLED_ROWS = 200_000
"""Rows among which those of the start are chosen by class."""

Ids = Sequence[Sequence[int]]
Floats = npt.NDArray[np.float64]
Features = npt.NDArray[np.float32]


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
    start_features: Features

    @property
    def pad(self) -> int:
        """The id that rows are padded with."""
        return int(self.tokenizer.pad_token_id)


def prepare(
    config: RunConfig,
    dataset: Dataset,
    base_path: Path,
    backbone: Backbone,
    compute: Compute,
    tracker: Tracker,
    *,
    cache: Path,
    template: str | None = None,
    goes_on: bool = False,
) -> Prepared:
    """Decides the template, tokenizes, and computes the features from which the head starts; together.

    `cache` keeps tokens and features. A run that `goes_on` brings the `template` that it had, and needs no start.
    """
    chosen = config.hyperparameters
    targets = logit_targets(dataset.train.targets, dataset.task)
    exclusive = dataset.task != "Multilabel"
    start_rows: list[int] = []
    if not goes_on and (chosen.method == "HeadOnly" or not set(dataset.labels) <= set(backbone.kept_labels)):
        start_rows = _start_rows(config, dataset, backbone, targets.shape[1])
    search_rows = start_rows
    if len(start_rows) > template_search.MAX_ROWS:
        search_rows = _sample(dataset.train, template_search.MAX_ROWS, chosen.seed)
    features: Features | None = None
    if goes_on:
        template = template or PROMPT
        tokenizer = backbone.tokenizer if template == PROMPT else with_template(backbone.tokenizer, template)
    elif backbone.continued is not None:
        template, tokenizer = backbone.continued.template or PROMPT, backbone.tokenizer
    elif chosen.template != "Auto":
        template, tokenizer = chosen.template, _explicit(backbone, chosen.template)
    elif not pools_last_token(backbone.model, backbone.head, int(backbone.tokenizer.pad_token_id), compute):
        template, tokenizer = PROMPT, backbone.tokenizer
    else:
        choice = _search(dataset, backbone, compute, tracker, search_rows, targets, chosen.seed)
        template, tokenizer = choice.template, choice.tokenizer
        features = choice.features if search_rows is start_rows and distributed.world_size() == 1 else None
        if not _holds(tokenizer):
            tracker.warn("the base model's tokenizer cannot hold a template, so none is used")
            template, tokenizer, features = PROMPT, backbone.tokenizer, None
    set_limits(tokenizer, backbone.max_length, chosen.truncation_side)
    ids = {
        name: _tokenize(config, split, name, tokenizer, backbone, cache, tracker) if split else []
        for name, split in (("training", dataset.train), ("validation", dataset.validation), ("test", dataset.test))
    }
    _plan(config, ids, tracker)
    if start_rows and features is None:
        features = _features(config, backbone, ids["training"], start_rows, compute, tracker, cache)
    return Prepared(
        base_path=base_path,
        backbone=backbone,
        tokenizer=tokenizer,
        template=None if template == PROMPT else template,
        train_ids=ids["training"],
        validation_ids=ids["validation"],
        test_ids=ids["test"],
        targets=targets,
        exclusive=exclusive,
        start_rows=start_rows,
        start_features=np.zeros((0, backbone.head.in_features), np.float32) if features is None else features,
    )


def _plan(config: RunConfig, ids: Mapping[str, Ids], tracker: Tracker) -> None:
    """Counts the work of the whole run, now that every row has its tokens and before any of them is read."""
    loop = config.hyperparameters.method != "HeadOnly"
    epochs = (config.hyperparameters.epochs or DEFAULT_EPOCHS) if loop else 1
    tokens = {name: int(np.sum(lengths_of(rows), dtype=np.int64)) for name, rows in ids.items()}
    units: dict[Kind, float] = {
        "head_seconds": _HEAD_SECONDS,
        "baseline_seconds": _BASELINE_SECONDS if ids["test"] else 0.0,
        "training": TRAINING_UNITS * epochs * tokens["training"] if loop else 0.0,
        "validation": float(epochs * tokens["validation"]),
        "test": float(epochs * tokens["test"]),
        "functions": float(epochs) if config.test_functions and ids["test"] else 0.0,
        "writing": float(epochs),
    }
    tracker.plan(units)


def profile_with_lengths(dataset: Dataset, prepared: Prepared) -> tuple[dict[str, Any], list[str]]:
    """The profile with the lengths in tokens, and the warnings that come of them."""
    parts: dict[str, Any] = {
        "train": prepared.train_ids,
        "validation": prepared.validation_ids,
        "test": prepared.test_ids,
    }
    lengths = {name: ids.full_lengths for name, ids in parts.items() if isinstance(ids, TokenIds)}
    return add_token_lengths(dataset.profile, prepared.backbone.max_length, lengths)


def _start_rows(config: RunConfig, dataset: Dataset, backbone: Backbone, logits: int) -> list[int]:
    rows = len(dataset.train)
    if config.hyperparameters.method == "HeadOnly":
        return list(range(rows))
    return _sample(dataset.train, rows_for_start(rows, logits, backbone.head.in_features), config.hyperparameters.seed)


def _sample(split: Split, size: int, seed: int) -> list[int]:
    """Ascending indices of `size` rows in the natural balance of their labels."""
    among = np.arange(len(split))
    if len(among) > max(_SAMPLED_ROWS, size):
        among = np.sort(np.random.default_rng(seed).choice(len(split), max(_SAMPLED_ROWS, size), replace=False))
    keys = [row.tobytes() for row in np.asarray(split.targets[among])]
    return [int(among[at]) for at in stratified_sample(keys, size, seed)]


def _search(
    dataset: Dataset,
    backbone: Backbone,
    compute: Compute,
    tracker: Tracker,
    rows: list[int],
    targets: Floats,
    seed: int,
) -> template_search.Choice:
    tracker.phase("Preparing", f"choosing the template on {len(rows)} rows")
    prompts = [dataset.train.prompts[row] for row in rows]
    few = backbone.tokenizer(prompts[:_COUNTED_ROWS], truncation=True, max_length=backbone.max_length)["input_ids"]
    mean = sum(map(len, few)) / max(1, len(few))
    later = 4.0 * mean * len(dataset.train)  # training at least; all of it is planned with the tokens
    tracker.plan({"template": mean * len(rows), "training": later})
    choice = template_search.choose(
        backbone,
        compute,
        prompts,
        targets[rows],
        exclusive=dataset.task != "Multilabel",
        seed=seed,
        progress=tracker.advancing("template"),
    )
    losses = ", ".join(f"{_shown(name)} {loss:.3f}" for name, loss in choice.losses.items())
    tracker.say(f"template {_shown(choice.template)} (log loss out of fold: {losses})")
    return agreed_choice(choice, backbone.tokenizer)


def agreed_choice(choice: template_search.Choice, plain: PreTrainedTokenizerBase) -> template_search.Choice:
    """What the first process chose: two machines may round differently, and all must train on the same texts; together.

    Args:
        plain: the tokenizer without a template.
    """
    template = distributed.broadcast_object(choice.template)
    if template == choice.template:
        return choice
    return replace(choice, template=template, tokenizer=plain if template == PROMPT else with_template(plain, template))


def _tokenize(
    config: RunConfig,
    split: Split,
    name: str,
    tokenizer: PreTrainedTokenizerBase,
    backbone: Backbone,
    cache: Path,
    tracker: Tracker,
) -> Ids:
    tracker.phase("Preparing", f"tokenizing {len(split)} {name} rows")
    ids = tokenize(
        split.prompts,
        tokenizer,
        backbone.max_length,
        cache / "tokens",
        side=config.hyperparameters.truncation_side,
        build=distributed.local_rank() == 0,
    )
    cut = int(ids.cut.sum())
    tracker.say(f"{ids.tokens} {name} tokens; {cut} rows are longer than maxLength {backbone.max_length}")
    return cast(Ids, ids)  # arrays for rows, which nobody tells from lists


def _features(
    config: RunConfig,
    backbone: Backbone,
    ids: Ids,
    rows: list[int],
    compute: Compute,
    tracker: Tracker,
    cache: Path,
) -> Features:
    tracker.phase("Preparing", f"computing the features of {len(rows)} rows")
    chosen = [ids[row] for row in rows] if len(rows) < len(ids) else ids
    tracker.plan({"features": float(sum(len(row) for row in chosen))})
    into = None
    if config.hyperparameters.method == "HeadOnly":
        cache.mkdir(parents=True, exist_ok=True)
        into = cache / f"features-{distributed.rank()}"
    return head_inputs(
        backbone.model,
        backbone.head,
        chosen,
        pad=int(backbone.tokenizer.pad_token_id),
        compute=compute,
        progress=tracker.advancing("features"),
        into=into,
    )


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


def _shown(template: str) -> str:
    return "none" if template == PROMPT else repr(template.replace(PROMPT, "…"))
