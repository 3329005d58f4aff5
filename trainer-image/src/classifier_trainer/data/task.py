"""Which task the rows pose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
import numpy.typing as npt

from classifier_artifacts.classifier_json import Task
from classifier_trainer.data.faults import Faults, shown
from classifier_trainer.data.table import Table
from classifier_trainer.errors import UserError

FEW_ROWS = 20
_NAMED = 5


def find_task(table: Table, declared: Literal["Auto", "Binary", "Multiclass", "Multilabel"]) -> tuple[Task, str]:
    """The task, and the sentence that says why.

    One label overall is Binary, several with exactly one 1 in every row are Multiclass, all else is Multilabel. A
    label that a row leaves out counts as 0.

    Raises:
        UserError: no label at all, or the declared task is not what the rows show.
    """
    labels, where = table.labels, table.where
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
        return declared, f"{declared}, as taskType says"
    if len(labels) == 1:
        return "Binary", f"Binary, since {shown(labels[0])} is the only label"
    odd, first = 0, ""
    for rows, counts, _ in _odd_rows(table):
        if not odd:
            line = int(table.lines.at(rows[:1])[0])
            first = f"first line {line}, with {int(counts[0])}"
        odd += len(rows)
    if not odd:
        return "Multiclass", f"Multiclass, since each row has exactly one of the {len(labels)} labels"
    return "Multilabel", f"Multilabel, since {odd} rows ({first}) do not have exactly one label"


def add_multiclass_faults(table: Table, faults: Faults) -> None:
    """Adds a fault for each row with another number of labels than one."""
    for rows, counts, ones in _odd_rows(table):
        lines = table.lines.at(rows)
        for line, count, columns in zip(lines.tolist(), counts.tolist(), ones, strict=True):
            names = _names([table.labels[column] for column in columns.tolist()])
            found = f"{count} labels at 1 ({names})" if count else "no label at 1"
            faults.add(
                line, f"has {found}, but Multiclass needs exactly one: mend the row, or write taskType Multilabel"
            )


def _odd_rows(
    table: Table,
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], list[npt.NDArray[np.int32]]]]:
    for start, counts, ones in table.label_chunks():
        odd = np.flatnonzero(counts != 1)
        if len(odd):
            ends = np.cumsum(counts, dtype=np.int64)[odd]
            parts = [ones[end - count : end] for end, count in zip(ends, counts[odd], strict=True)]
            yield odd + start, counts[odd], parts


def check_classes(counts: npt.NDArray[np.int64], rows: int, task: Task, labels: list[str], where: str) -> None:
    """Looks whether there is anything to learn, from how many of the rows have each label.

    Raises:
        UserError: all rows are of one class.
    """
    if task == "Multiclass":
        present = [label for label, count in zip(labels, counts, strict=True) if count]
        if len(present) == 1:
            raise UserError(f"{where} has only one class, {shown(present[0])}: add rows of another.")
    elif not any(0 < count < rows for count in counts):
        value = 1 if counts[0] else 0
        others = "" if len(labels) == 1 else " and so on for every label"
        raise UserError(
            f"{where} has only one class, {shown(labels[0])} is {value} in every row{others}: "
            f"add rows with {1 - value}."
        )


def rare(counts: npt.NDArray[np.int64], rows: int, task: Task, labels: list[str]) -> str:
    """A warning about labels with few training rows, or nothing."""
    found = dict(zip(labels, counts.tolist(), strict=True))
    if task == "Binary":
        found[f"not {labels[0]}"] = rows - found[labels[0]]
    few = {label: count for label, count in found.items() if count < FEW_ROWS}
    if not few:
        return ""
    parts = [f"{label} ({count})" for label, count in sorted(few.items(), key=lambda item: item[1])[:_NAMED]]
    more = f" and {len(few) - _NAMED} more" if len(few) > _NAMED else ""
    return f"fewer than {FEW_ROWS} training rows have {', '.join(parts)}{more}"


def _names(labels: list[str]) -> str:
    names = ", ".join(shown(label) for label in labels[:_NAMED])
    return names + (", …" if len(labels) > _NAMED else "")
