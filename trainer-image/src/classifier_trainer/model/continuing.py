"""Goes on from a checkpoint of an earlier run: its weights, its template, and of its head what the new labels keep."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from classifier_artifacts.adapter import CONFIG_NAME
from classifier_artifacts.classifier_json import ClassifierJson, Task
from classifier_artifacts.folder import open_folder
from classifier_trainer.errors import UserError
from classifier_trainer.model.template import PROMPT

_SHOWN = 10


@dataclass(frozen=True)
class Checkpoint:
    """What an earlier run left, opened."""

    model: PreTrainedModel
    """With the head as it was."""
    tokenizer: PreTrainedTokenizerBase
    """With the template in it."""
    classifier: ClassifierJson
    is_adapter: bool
    """Whether its weights stand in no one folder: they are those of a base model and of an adapter."""


@dataclass(frozen=True)
class Kept:
    """What the new head has from the old one."""

    labels: tuple[str, ...]
    """Labels whose rows are the checkpoint's; its temperature is in them."""
    sentence: str


def open_checkpoint(
    path: Path, classifier: ClassifierJson, uri: str, adapter_base: Path | None, dtype: torch.dtype
) -> Checkpoint:
    """Loads the checkpoint `path` (called `uri` in messages), an adapter merged in fp32 into `adapter_base`.

    Raises:
        UserError: an adapter without its base model, or with another one.
    """
    is_adapter = (path / CONFIG_NAME).is_file()
    if is_adapter and adapter_base is None:
        base = f"adapterBase: {classifier.base_model.uri}" if classifier.base_model else "adapterBase: its base model"
        raise UserError(
            f"baseModel.uri: '{uri}' holds only an adapter: write baseModel.{base} beside it, "
            "or name the merged folder model/ of that run."
        )
    opened = open_folder(path, adapter_base, name=uri)
    return Checkpoint(opened.load_model(dtype), opened.load_tokenizer(), classifier, is_adapter)


def check_template(asked: str, classifier: ClassifierJson, uri: str) -> None:
    """Refuses another template than the checkpoint's, which all its weights were trained behind."""
    kept = classifier.template or PROMPT
    if asked not in ("Auto", kept):
        raise UserError(
            f"hyperparameters.template: '{uri}' was trained with the template {kept!r}, and another one would waste "
            "what it learned: write template Auto, or start from its base model."
        )


def grow_head(
    model: PreTrainedModel, head_name: str, old: tuple[Task, Sequence[str]], new: tuple[Task, Sequence[str]]
) -> Kept:
    """Replaces the head by one for the new labels, in place; rows of labels that the checkpoint knows are kept.

    Rows of new labels are zero. Labels of another task mean something else, so then nothing is kept: the rows are
    random, as those of a new head are.
    """
    head = model.get_submodule(head_name)
    assert isinstance(head, nn.Linear)  # noqa: S101  # for the type checker
    (old_task, old_labels), (task, labels) = old, new
    known = set(old_labels) & set(labels) if old_task == task else set()
    grown = nn.Linear(head.in_features, 2 if task == "Binary" else len(labels), bias=head.bias is not None)
    with torch.no_grad():
        if known:
            grown.weight.zero_()
            if grown.bias is not None:
                grown.bias.zero_()
        for at, before in _rows(old_task, old_labels, labels) if known else ():
            grown.weight[at] = head.weight[before].float()
            if grown.bias is not None:
                grown.bias[at] = head.bias[before].float()
    model.set_submodule(head_name, grown.to(head.weight.device))
    model.num_labels = grown.out_features  # type: ignore[assignment]  # torch thinks that it is a submodule
    kept = tuple(label for label in labels if label in known)
    return Kept(kept, _sentence((old_task, old_labels), (task, labels), kept))


def _rows(task: Task, old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of a row of the new head and the row of the old one that it is."""
    if task == "Binary":
        return [(0, 0), (1, 1)]  # the same label: its absence, and the label
    places = {label: index for index, label in enumerate(old)}
    return [(index, places[label]) for index, label in enumerate(new) if label in places]


def _sentence(old: tuple[Task, Sequence[str]], new: tuple[Task, Sequence[str]], kept: Sequence[str]) -> str:
    if old[0] != new[0]:
        return f"the checkpoint is {old[0]} and the data are {new[0]}: the head starts anew"
    if not kept:
        return f"the checkpoint knows none of the labels of the data (it knows {_names(old[1])}): the head starts anew"
    parts = [f"the head keeps {_count(len(kept), 'label')} of the checkpoint"]
    if added := [label for label in new[1] if label not in kept]:
        parts.append(f"{_count(len(added), 'label')} new to it: {_names(added)}")
    if gone := [label for label in old[1] if label not in kept]:
        parts.append(f"{_count(len(gone), 'label')} not in the data and dropped: {_names(gone)}")
    return "; ".join(parts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _names(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    return ", ".join(labels[:_SHOWN]) + more
