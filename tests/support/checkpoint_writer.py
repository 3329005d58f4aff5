"""A Writer over a tiny model and rows that are easy to tell apart, without the stages of a run around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from classifier_artifacts.classifier_json import Task
from classifier_trainer.checkpoints import Writer
from classifier_trainer.compute import Compute
from classifier_trainer.config import parse
from classifier_trainer.data.rows import Dataset, Split
from classifier_trainer.model.full import train_all
from classifier_trainer.model.load import Backbone, load_backbone
from classifier_trainer.model.lora import add_adapter
from classifier_trainer.model.start import logit_targets
from classifier_trainer.model.template import set_limits, with_template
from classifier_trainer.model.trained import Trained
from classifier_trainer.output.run_json import Record, new_run
from classifier_trainer.output.store import FolderStore, Store
from classifier_trainer.prepare import Prepared
from classifier_trainer.progress.tracker import Tracker
from support.tiny_models import TOPICS, rows

TEMPLATE = "{prompt} =>"
LENGTH = 16


class Written:
    """A writer, and the model that it writes checkpoints of."""

    def __init__(self, writer: Writer, trained: Trained, backbone: Backbone) -> None:
        self.writer, self.trained, self.backbone = writer, trained, backbone

    def write(self, epoch: int, *, sharpness: float = 1.0, seed: int = 1) -> Any:
        """Writes epoch-N of weights that an epoch might have come to, with a head `sharpness` times as large."""
        torch.manual_seed(seed)
        with torch.no_grad():
            for parameter in self.trained.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.05)
            head = self.backbone.model.get_submodule(self.backbone.head_name)
            for parameter in head.parameters():
                parameter.mul_(sharpness)
        return self.writer.write(
            f"epoch-{epoch}", 10 * epoch, lambda folder: self.trained.save(folder, None), epoch=epoch
        )


def dataset(task: Task, validation: int, test: int, topics: Sequence[str] = tuple(TOPICS)) -> Dataset:
    """Rows of the topics; Binary asks for the first, Multilabel has also rows without any."""
    labels = list(topics)[:1] if task == "Binary" else list(topics)

    def split(count: int, seed: int) -> Split:
        found = rows(tuple(topics), count, seed)
        targets = np.array([[int(topic == label) for label in labels] for _, topic in found], np.int8)
        if task == "Multilabel":
            targets[::5] = 0
        return Split([text for text, _ in found], targets, list(range(1, count + 1)))

    train = split(30, 0)
    return Dataset(
        task=task,
        reason="",
        labels=labels,
        train=train,
        validation=split(validation, 1) if validation else None,
        test=split(test, 2) if test else None,
        warnings=[],
        profile={},
        natural=train.targets.sum(axis=0, dtype=np.int64),
        rows_natural=30,
    )


def writer(
    base: Path,
    output: Path | Store,
    *,
    task: Task = "Multiclass",
    method: Literal["LoRA", "Full", "HeadOnly"] = "LoRA",
    validation: int = 60,
    test: int = 30,
    dtype: torch.dtype = torch.float32,
    adapter_base: Path | None = None,
    topics: Sequence[str] = tuple(TOPICS),
    more: dict[str, Any] | None = None,
    **hyperparameters: Any,
) -> Written:
    """A writer into `output` of a model from the folder `base`."""
    store = FolderStore(str(output), output) if isinstance(output, Path) else output
    store.folder.mkdir(parents=True, exist_ok=True)
    config = parse(
        {
            "baseModel": {"uri": f"file://{base}"},
            "trainDataset": {"uri": "file:///rows"},
            "output": {"uri": store.uri},
            "hyperparameters": {"method": method, **hyperparameters},
            **(more or {}),
        }
    )
    data = dataset(task, validation, test, topics)
    # Every weight is trained in fp32, whatever the rest is computed in.
    backbone = load_backbone(
        base,
        config.base_model.uri,
        task=task,
        labels=data.labels,
        max_length=LENGTH,
        dtype=torch.float32 if method == "Full" else dtype,
        negative_label=config.hyperparameters.negative_label,
        adapter_base=adapter_base,
    )
    torch.manual_seed(4)
    with torch.no_grad():
        if not backbone.kept_labels:
            backbone.head.weight.normal_()
    tokenizer, template = backbone.tokenizer, backbone.continued.template if backbone.continued else TEMPLATE
    if backbone.continued is None:
        tokenizer = with_template(tokenizer, TEMPLATE)
    set_limits(tokenizer, LENGTH, "Right")

    def ids(split: Split | None) -> list[list[int]]:
        return tokenizer(list(split.prompts), truncation=True)["input_ids"] if split else []

    prepared = Prepared(
        base_path=base,
        backbone=backbone,
        tokenizer=tokenizer,
        template=template,
        train_ids=ids(data.train),
        validation_ids=ids(data.validation),
        test_ids=ids(data.test),
        targets=logit_targets(data.train.targets, task),
        exclusive=task != "Multilabel",
        start_rows=[],
        start_features=np.zeros((0, backbone.head.in_features), np.float32),
    )
    compute = replace(Compute(torch.device("cpu"), dtype))
    record = Record(store, new_run(config.digest(), config.as_set()))
    made = Writer(store, record, config, data, prepared, compute, Tracker())
    if method == "LoRA":
        trained = add_adapter(backbone, rank=2, alpha=4, dropout=0, target_modules=None)
    else:
        trained = train_all(backbone)
    return Written(made, trained, backbone)
