"""Makes the loop ready: the start of the head, what is trained, how the model is called, and shards if need be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from classifier_trainer import distributed, stages
from classifier_trainer.batching import Forward, padded_forward
from classifier_trainer.compute import Compute, linear_algebra
from classifier_trainer.config import RunConfig
from classifier_trainer.data.batches import updates
from classifier_trainer.data.rows import Dataset
from classifier_trainer.data.tokenize import lengths_of
from classifier_trainer.model.full import train_all
from classifier_trainer.model.lora import add_adapter
from classifier_trainer.model.packed import is_exact, packed_attention, packed_forward
from classifier_trainer.model.start import closed_form_head, keep_rows
from classifier_trainer.model.trained import Trained, prepared_for_training
from classifier_trainer.prepare import Prepared
from classifier_trainer.priors import class_weights, training_offset
from classifier_trainer.progress.tracker import Tracker
from classifier_trainer.train import sharded
from classifier_trainer.train.goal import Goal
from classifier_trainer.train.loop import Loop, Rows, Trainable
from classifier_trainer.train.memory import must_be_sharded, training_bytes


@contextmanager
def ready_loop(
    config: RunConfig,
    dataset: Dataset,
    prepared: Prepared,
    compute: Compute,
    tracker: Tracker,
    *,
    goes_on: bool = False,
) -> Iterator[tuple[Loop, Trained]]:
    """The loop at its start, and the model it trains; together. A loop that `goes_on` is given its state by the caller,
    so that it needs no start of the head."""
    backbone, chosen = prepared.backbone, config.hyperparameters
    used = stages.settings(config, backbone)
    goal = make_goal(config, dataset, prepared)
    if not goes_on:
        _start_head(prepared, dataset.labels, goal, used.seed, tracker)
    if chosen.method == "Full":
        trained = train_all(backbone)
    else:
        targets = chosen.lora.target_modules
        trained = add_adapter(
            backbone,
            rank=chosen.lora.rank,
            alpha=chosen.lora.alpha,
            dropout=chosen.lora.dropout,
            target_modules=None if targets == "AllLinear" else targets,
        )
    lengths = lengths_of(prepared.train_ids)
    longest = int(max(lengths))
    shard_if_needed(trained, compute, longest, tracker)
    with prepared_for_training(trained, compute, longest), _forward(trained, prepared, compute, longest) as called:
        forward, padded = called
        trainable = Trainable(
            trained.model, trained.body, trained.head, forward, padded, trained.checkpoint_activations
        )
        rows = Rows(
            prepared.train_ids, lengths, goal, lambda epoch: updates(lengths, chosen.batch_size, used.seed, epoch)
        )
        yield Loop(trainable, rows, used, compute), trained


def make_goal(config: RunConfig, dataset: Dataset, prepared: Prepared) -> Goal:
    """Targets, class weights and the offset of the prior, as the configuration asks for them."""
    chosen = config.hyperparameters
    counts, rows = dataset.train.targets.sum(axis=0, dtype=np.int64), len(dataset.train)
    weights = class_weights(counts, rows, dataset.task) if chosen.class_weights == "Balanced" else None
    offset = None
    if chosen.prior == "Natural":
        offset = training_offset((counts, rows), (dataset.natural, dataset.rows_natural), dataset.task, weights)
    return Goal(prepared.targets, prepared.exclusive, weights, offset if offset is not None and offset.any() else None)


def _start_head(prepared: Prepared, labels: Sequence[str], goal: Goal, seed: int, tracker: Tracker) -> None:
    backbone = prepared.backbone
    kept = [index for index, label in enumerate(labels) if label in backbone.kept_labels]
    if len(kept) == len(labels):
        return  # the head of a checkpoint, trained already
    tracker.phase("Preparing", "starting the head from a closed form")
    with linear_algebra(backbone.head.in_features), tracker.timed("head_seconds"):
        head, loss = closed_form_head(
            prepared.start_features,
            prepared.targets[prepared.start_rows],
            exclusive=prepared.exclusive,
            with_bias=backbone.head.bias is not None,
            seed=seed,
            offset=goal.offset,
        )
    keep_rows(backbone.head, head, kept, exclusive=prepared.exclusive)
    tracker.say(f"the head starts with a log loss of {loss:.3f} out of fold")


def shard_if_needed(trained: Trained, compute: Compute, longest: int, tracker: Tracker) -> None:
    """Cuts the model into a shard a process, if its training would not fit on one device."""
    if distributed.world_size() == 1:
        return
    shape: Any = trained.inner.config.get_text_config()
    needed = training_bytes(
        trained.model,
        trained.parameters(),
        layers=shape.num_hidden_layers,
        width=shape.hidden_size,
        tokens=longest,
    )
    if must_be_sharded(needed, compute.memory()):
        tracker.say(f"training takes about {needed / 2**30:.0f} GiB: the model is cut into shards")
        distributed.copy_from_main([parameter.data for parameter in trained.parameters()])
        sharded.shard(trained.model, trained.new_modules(), compute)


@contextmanager
def _forward(trained: Trained, prepared: Prepared, compute: Compute, longest: int) -> Iterator[tuple[Forward, bool]]:
    """How the model is called, and whether that pads: not for decoders on CUDA, if a test finds packing exact."""
    packs = (
        compute.packs
        and not sharded.is_sharded(trained.model)
        and is_exact(trained, compute, pad=prepared.pad, longest=longest)
    )
    if distributed.agree(not packs)[0]:
        yield padded_forward(trained.model, prepared.pad, compute.device), True
        return
    with packed_attention(trained):
        yield packed_forward(trained, compute), False
