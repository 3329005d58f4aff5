"""Which task the rows pose, and their targets for it."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import numpy as np

from classifier_artifacts.classifier_json import Task
from classifier_trainer.data.faults import Faults, shown
from classifier_trainer.data.rows import Rows, Split
from classifier_trainer.errors import UserError

_FEW_ROWS = 20
_NAMED = 5


def find_task(
    rows: Rows, declared: Literal["Auto", "Binary", "Multiclass", "Multilabel"]
) -> tuple[Task, str, list[str]]:
    """The task, the sentence that says why, and the labels in the order of their first appearance.

    One label overall is Binary, several with exactly one 1 in every row are Multiclass, all else is Multilabel. A
    label that a row leaves out counts as 0.

    Raises:
        UserError: no label at all, or the declared task is not what the rows show.
    """
    labels = list(dict.fromkeys(label for completion in rows.completions for label in completion))
    where = f"{rows.field} '{rows.uri}'"
    if not labels:
        raise UserError(f"{where} has no label in any completion: write {{label: 0 or 1}}.")
    if declared == "Binary" and len(labels) > 1:
        raise UserError(
            f"taskType Binary has one label, but {where} has {len(labels)} ({_names(labels)}): "
            "keep one, or write Multiclass."
        )
    if declared == "Multiclass" and len(labels) == 1:
        raise UserError(
            f"taskType Multiclass needs several labels, but {where} has only {shown(labels[0])}: write Binary."
        )
    if declared != "Auto":
        return declared, f"{declared}, as taskType says", labels
    if len(labels) == 1:
        return "Binary", f"Binary, since {shown(labels[0])} is the only label", labels
    odd = [line for line, completion in zip(rows.lines, rows.completions, strict=True) if sum(completion.values()) != 1]
    if not odd:
        return "Multiclass", f"Multiclass, since each row has exactly one of the {len(labels)} labels", labels
    ones = sum(rows.completions[rows.lines.index(odd[0])].values())
    return (
        "Multilabel",
        f"Multilabel, since {len(odd)} rows (first line {odd[0]}, with {ones}) do not have exactly one label",
        labels,
    )


def to_split(rows: Rows, task: Task, labels: list[str], *, known: bool) -> Split:
    """Texts and targets; `known` when `labels` came from another set, which these rows must agree with.

    Raises:
        UserError: rows with another number of labels than Multiclass has, or with labels that training does not know.
    """
    faults = Faults(rows.field, rows.uri)
    column = {label: index for index, label in enumerate(labels)}
    targets = np.zeros((len(rows), len(labels)), dtype=np.int8)
    for index, (line, completion) in enumerate(zip(rows.lines, rows.completions, strict=True)):
        if known and (unknown := [label for label in completion if label not in column]):
            faults.add(line, f"has the label {shown(unknown[0])}, which the training set does not know")
            continue
        ones = [label for label, value in completion.items() if value]
        if task == "Multiclass" and len(ones) != 1:
            found = f"{len(ones)} labels at 1 ({_names(ones)})" if ones else "no label at 1"
            faults.add(
                line, f"has {found}, but Multiclass needs exactly one: mend the row, or write taskType Multilabel"
            )
            continue
        for label in ones:
            targets[index, column[label]] = 1
    faults.raise_any()
    return Split(rows.prompts, targets, rows.lines)


def check_classes(split: Split, task: Task, labels: list[str], where: str) -> list[str]:
    """Warnings about rare labels of the training rows.

    Raises:
        UserError: all rows are of one class, so that there is nothing to learn.
    """
    counts = split.targets.sum(axis=0)
    if task == "Multiclass":
        present = [label for label, count in zip(labels, counts, strict=True) if count]
        if len(present) == 1:
            raise UserError(f"{where} has only one class, {shown(present[0])}: add rows of another.")
    elif not any(0 < count < len(split) for count in counts):
        value = 1 if counts[0] else 0
        others = "" if len(labels) == 1 else " and so on for every label"
        raise UserError(
            f"{where} has only one class, {shown(labels[0])} is {value} in every row{others}: "
            f"add rows with {1 - value}."
        )
    return _rare(split, task, labels)


def _rare(split: Split, task: Task, labels: list[str]) -> list[str]:
    counts = dict(zip(labels, split.targets.sum(axis=0).tolist(), strict=True))
    if task == "Binary":
        counts[f"not {labels[0]}"] = len(split) - counts[labels[0]]
    few = {label: count for label, count in counts.items() if count < _FEW_ROWS}
    if not few:
        return []
    parts = [f"{label} ({count})" for label, count in sorted(few.items(), key=lambda item: item[1])[:_NAMED]]
    more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
    return [f"fewer than {_FEW_ROWS} training rows have {', '.join(parts)}{more}"]


def overlap(train: Split, test: Split) -> list[str]:
    """A warning if texts stand in both sets, which makes the scores look better than they are."""
    known = Counter(train.prompts)
    both = sum(prompt in known for prompt in test.prompts)
    return [f"{both} of {len(test)} test rows stand in the training set as well"] if both else []


def _names(labels: list[str]) -> str:
    names = ", ".join(shown(label) for label in labels[:_NAMED])
    return names + (", …" if len(labels) > _NAMED else "")
