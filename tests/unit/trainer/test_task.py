"""The task is found from all rows, and the rows are checked against it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from classifier_trainer.data.faults import Faults
from classifier_trainer.data.task import add_multiclass_faults, find_task
from classifier_trainer.errors import UserError
from support.datasets import load, write_table
from support.tiny_models import write_rows

Completion = dict[str, int]
MULTICLASS: list[Completion] = [{"a": 1, "b": 0}, {"b": 1}, {"a": 0, "b": 1}]


def rows(completions: list[Any]) -> list[tuple[str, Any]]:
    return [(f"text {index}", completion) for index, completion in enumerate(completions)]


def write(path: Path, completions: list[Completion]) -> Path:
    return write_rows(path, rows(completions))


@pytest.mark.parametrize(
    ("completions", "task", "labels", "why"),
    [
        ([{"x": 1}, {"x": 0}], "Binary", ["x"], "'x' is the only label"),
        ([{"x": 1}, {}], "Binary", ["x"], "'x' is the only label"),
        (MULTICLASS, "Multiclass", ["a", "b"], "exactly one of the 2 labels"),
        (["b", "a", 3], "Multiclass", ["b", "a", "3"], "exactly one of the 3 labels"),
        ([*MULTICLASS, {"a": 1, "b": 1}], "Multilabel", ["a", "b"], "1 rows (first line 4, with 2)"),
        ([*MULTICLASS, {"c": 0}], "Multilabel", ["a", "b", "c"], "1 rows (first line 4, with 0)"),
        ([["a"], ["a", "b", "a"]], "Multilabel", ["a", "b"], "1 rows (first line 2, with 2)"),
    ],
)
def test_found(tmp_path: Path, completions: list[Any], task: str, labels: list[str], why: str) -> None:
    table = write_table(tmp_path, rows(completions))
    found, reason = find_task(table, "Auto")
    assert (found, table.labels) == (task, labels)
    assert why in reason


def test_declared(tmp_path: Path) -> None:
    table = write_table(tmp_path, rows(MULTICLASS))
    assert find_task(table, "Multilabel")[0] == "Multilabel"
    with pytest.raises(UserError, match=r"Binary has one label, but .* has 2 \('a', 'b'\)"):
        find_task(table, "Binary")
    with pytest.raises(UserError, match="has only 'x': write Binary"):
        find_task(write_table(tmp_path, rows([{"x": 1}])), "Multiclass")
    with pytest.raises(UserError, match="has no label"):
        find_task(write_table(tmp_path, rows([{}, {}])), "Auto")


def test_two_labels_in_declared_multiclass(tmp_path: Path) -> None:
    faults = Faults("trainDataset", "u")
    add_multiclass_faults(write_table(tmp_path, rows([*MULTICLASS, {"a": 1, "b": 1}, {}])), faults)
    assert "line 4 has 2 labels at 1 ('a', 'b'), but Multiclass needs exactly one" in faults.sentence()
    assert "line 5 has no label at 1" in faults.sentence()


def test_all_faults_of_both_sets_together(tmp_path: Path) -> None:
    train = tmp_path / "train"
    train.write_text('{"prompt": "a"}\n{"prompt": "b", "completion": {"x": 1, "y": 1}}\n')
    test = tmp_path / "test"
    test.write_text('{"prompt": "a", "completion": {"z": 1}}\n{"prompt": 1, "completion": {"x": 1}}\n')
    with pytest.raises(UserError) as caught:
        load(tmp_path, train, test, taskType="Multiclass")
    message = str(caught.value)
    assert "trainDataset 'u': line 1 has no completion; line 2 has 2 labels at 1" in message
    # Which labels there are is not known for sure yet, so the label z is no fault.
    assert "testDataset 'u': line 2 has a prompt that is not a text." in message


def test_targets(tmp_path: Path) -> None:
    found = load(tmp_path, write(tmp_path / "train", MULTICLASS))
    assert found.train.targets.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert list(found.train.prompts) == ["text 0", "text 1", "text 2"]
    assert list(found.train.lines) == [1, 2, 3]
    assert (found.natural.tolist(), found.rows_natural) == ([1, 2], 3)


def test_labels_that_training_does_not_know(tmp_path: Path) -> None:
    train = write(tmp_path / "train", MULTICLASS)
    test = write(tmp_path / "test", [{"a": 1}, {"c": 1}, {"a": 1, "b": 1}])
    with pytest.raises(UserError) as caught:
        load(tmp_path, train, test)
    assert "testDataset 'u': line 2 has the label 'c', which the training set does not know" in str(caught.value)
    assert "line 3 has 2 labels at 1 ('a', 'b')" in str(caught.value)


def test_labels_of_the_own_test_set_stand_in_the_order_of_training(tmp_path: Path) -> None:
    train = write(tmp_path / "train", MULTICLASS)
    found = load(tmp_path, train, write(tmp_path / "test", [{"b": 1}, {"a": 1}]))
    assert found.test is not None
    assert found.test.targets.tolist() == [[0, 1], [1, 0]]


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
        load(tmp_path, write(tmp_path / "train", completions), test)


def test_split_that_leaves_nothing(tmp_path: Path) -> None:
    train = write(tmp_path / "train", [{"x": 1}, {"x": 0}])
    with pytest.raises(UserError, match=r"testDataset.split 0.1 of the 2 rows .* leaves no test row"):
        load(tmp_path, train, 0.1)
    with pytest.raises(UserError, match=r"validation.split 0.1 of the 2 rows .* leaves no validation row"):
        load(tmp_path, train, validation={"split": 0.1})


def test_no_torch(tmp_path: Path) -> None:
    """A profile alone is made without torch."""
    import subprocess
    import sys

    write(tmp_path / "train", MULTICLASS)
    code = (
        "import json, sys; from pathlib import Path; from support.datasets import load;"
        f"print(json.dumps(load(Path({str(tmp_path)!r}), Path({str(tmp_path / 'train')!r})).profile));"
        "sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout)["rows"]["train"] == 3
