"""The task is found from all rows, and the rows are checked against it."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier_trainer.data.load import load_dataset
from classifier_trainer.data.rows import Rows
from classifier_trainer.data.task import find_task, to_split
from classifier_trainer.errors import UserError
from support.tiny_models import write_rows

Completion = dict[str, int]
MULTICLASS: list[Completion] = [{"a": 1, "b": 0}, {"b": 1}, {"a": 0, "b": 1}]


def rows(completions: list[Completion], field: str = "trainDataset") -> Rows:
    count = len(completions)
    return Rows(field, "u", list(range(1, count + 1)), [f"text {i}" for i in range(count)], completions, [])


def write(path: Path, completions: list[Completion]) -> tuple[Path, str]:
    found = rows(completions)
    return write_rows(path, list(zip(found.prompts, completions, strict=True))), "u"


@pytest.mark.parametrize(
    ("completions", "task", "labels", "why"),
    [
        ([{"x": 1}, {"x": 0}], "Binary", ["x"], "'x' is the only label"),
        ([{"x": 1}, {}], "Binary", ["x"], "'x' is the only label"),
        (MULTICLASS, "Multiclass", ["a", "b"], "exactly one of the 2 labels"),
        ([*MULTICLASS, {"a": 1, "b": 1}], "Multilabel", ["a", "b"], "1 rows (first line 4, with 2)"),
        ([*MULTICLASS, {"c": 0}], "Multilabel", ["a", "b", "c"], "1 rows (first line 4, with 0)"),
    ],
)
def test_found(completions: list[Completion], task: str, labels: list[str], why: str) -> None:
    found, reason, names = find_task(rows(completions), "Auto")
    assert (found, names) == (task, labels)
    assert why in reason


def test_declared() -> None:
    assert find_task(rows(MULTICLASS), "Multilabel")[0] == "Multilabel"
    with pytest.raises(UserError, match=r"Binary has one label, but .* has 2 \('a', 'b'\)"):
        find_task(rows(MULTICLASS), "Binary")
    with pytest.raises(UserError, match="has only 'x': write Binary"):
        find_task(rows([{"x": 1}]), "Multiclass")
    with pytest.raises(UserError, match="has no label"):
        find_task(rows([{}, {}]), "Auto")


def test_two_labels_in_declared_multiclass() -> None:
    found = rows([*MULTICLASS, {"a": 1, "b": 1}, {}])
    with pytest.raises(UserError) as caught:
        to_split(found, "Multiclass", ["a", "b"], known=False)
    assert "line 4 has 2 labels at 1 ('a', 'b'), but Multiclass needs exactly one" in str(caught.value)
    assert "line 5 has no label at 1" in str(caught.value)


def test_targets() -> None:
    assert to_split(rows(MULTICLASS), "Multiclass", ["a", "b"], known=False).targets.tolist() == [
        [1, 0],
        [0, 1],
        [0, 1],
    ]


def test_labels_that_training_does_not_know(tmp_path: Path) -> None:
    train = write(tmp_path / "train", MULTICLASS)
    test = write(tmp_path / "test", [{"a": 1}, {"c": 1}])
    with pytest.raises(
        UserError, match="testDataset 'u': line 2 has the label 'c', which the training set does not know"
    ):
        load_dataset(train, test, "Auto", 1)


@pytest.mark.parametrize(
    ("completions", "words"),
    [
        ([{"x": 1}, {"x": 1}], "only one class, 'x' is 1 in every row: add rows with 0"),
        ([{"x": 0}, {"x": 0}], "only one class, 'x' is 0 in every row: add rows with 1"),
        ([{"a": 1, "b": 0}, {"a": 1}], "only one class, 'a': add rows of another"),
        ([{"a": 1, "b": 1}, {"a": 1, "b": 1}], "only one class"),
    ],
)
@pytest.mark.parametrize("test", [None, 0.5])
def test_one_class_only(tmp_path: Path, completions: list[Completion], words: str, test: float | None) -> None:
    with pytest.raises(UserError, match=words):
        load_dataset(write(tmp_path / "train", completions), test, "Auto", 1)


def test_split_that_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"testDataset.split 0.1 of the 2 rows .* leaves no test row"):
        load_dataset(write(tmp_path / "train", [{"x": 1}, {"x": 0}]), 0.1, "Auto", 1)


def test_warnings(tmp_path: Path) -> None:
    found = load_dataset(
        write(tmp_path / "train", [{"a": 1, "b": 0}] * 25 + [{"b": 1}] * 3),
        write(tmp_path / "test", [{"a": 1}, {"b": 1}]),
        "Auto",
        1,
    )
    assert found.warnings == [
        "fewer than 20 training rows have b (3)",
        "2 of 2 test rows stand in the training set as well",
    ]
