"""What the profile says about the data, and its warnings with their lines."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from classifier_trainer.data.profile import add_token_lengths
from classifier_trainer.data.rows import Dataset
from support.datasets import load
from support.tiny_models import write_rows

VALIDATION_OFF = "no validation rows"


def rows(count: int, label: str = "ab") -> list[tuple[str, dict[str, int]]]:
    return [(f"text number {n}", {name: int(name == label[n % len(label)]) for name in label}) for n in range(count)]


def warnings(found: Dataset) -> list[str]:
    return [text for text in found.warnings if not text.startswith(VALIDATION_OFF)]


def test_clean_data(tmp_path: Path) -> None:
    found = load(tmp_path, write_rows(tmp_path / "f", rows(1000)), 0.2)
    profile = found.profile
    assert profile["rows"] == {"train": 700, "validation": 100, "test": 200, "read": 1000, "natural": 700}
    assert profile["labels"][0] == {"name": "a", "train": 350, "natural": 350, "validation": 50, "test": 100}
    assert (profile["task"], profile["reason"]) == ("Multiclass", found.reason)
    assert profile["duplicates"] == {"rows": 0, "contradicting": 0, "examples": []}
    assert profile["overlap"] == {"rows": 0, "examples": []}
    assert profile["empty"] == {"rows": 0, "lines": []}
    assert profile["outliers"] == {"long": [], "short": []}
    assert profile["missingLabels"] == {"rows": 0}
    assert profile["warnings"] == []
    assert found.warnings == []


def test_lengths_are_characters_at_first(tmp_path: Path) -> None:
    data = [("x" * (n % 50 + 1), completion) for n, (_, completion) in enumerate(rows(1000))]
    profile = load(tmp_path, write_rows(tmp_path / "f", data), 0.2).profile
    lengths = profile["lengths"]
    assert lengths["unit"] == "characters"
    assert lengths["bins"][0] == 0
    assert lengths["bins"][-1] == 51
    assert [sum(lengths[name]) for name in ("train", "validation", "test")] == [
        profile["rows"][name] for name in ("train", "validation", "test")
    ]
    assert len(lengths["train"]) == len(lengths["bins"]) - 1
    assert lengths["max"] == 50
    assert 20 <= lengths["median"] <= 30


def test_repeated_and_contradicting_texts(tmp_path: Path) -> None:
    data = rows(100)
    data[10] = data[4]
    data[20] = (data[4][0], {"a": 0, "b": 1})
    data[30] = (data[5][0], data[5][1])
    found = load(tmp_path, write_rows(tmp_path / "f", data))
    duplicates = found.profile["duplicates"]
    assert (duplicates["rows"], duplicates["contradicting"]) == (3, 1)
    assert duplicates["examples"] == [
        {"lines": [5, 11, 21], "text": "text number 4"},
        {"lines": [6, 31], "text": "text number 5"},
    ]
    assert warnings(found) == [
        "3 rows have the text of an earlier row (lines 11, 21, 31)",
        "1 row has the text of an earlier row, but other labels (line 21)",
    ]
    assert found.profile["warnings"][-1] == {
        "text": "1 row has the text of an earlier row, but other labels",
        "lines": [21],
        "rows": 1,
    }


def test_overlap_with_the_own_test_set(tmp_path: Path) -> None:
    train = rows(700)
    test = [("another text", {"a": 1}), train[3], train[600], ("", {"b": 1})]
    found = load(tmp_path, write_rows(tmp_path / "f", train), write_rows(tmp_path / "t", test))
    assert found.profile["overlap"] == {
        "rows": 2,
        "examples": [{"lines": [2], "text": "text number 3"}, {"lines": [3], "text": "text number 600"}],
    }
    assert found.profile["rows"]["test"] == 4
    assert found.profile["labels"][0]["test"] == 2  # lines 1 and 2 or 3 of the test set are of class a
    assert warnings(found) == [
        "2 of 4 test rows stand in the training set as well (lines 2, 3)",
        "testDataset: 1 row has an empty text (line 4)",
    ]


def test_few_rows_and_empty_texts(tmp_path: Path) -> None:
    data = [*rows(60), ("rare", {"c": 1}), (" \n", {"a": 1}), ("", {"b": 1})]
    found = load(tmp_path, write_rows(tmp_path / "f", data))
    assert found.profile["empty"] == {"rows": 2, "lines": [62, 63]}
    assert warnings(found) == [
        "fewer than 20 training rows have c (1)",
        "trainDataset: 2 rows have an empty text (lines 62, 63)",
    ]


def test_binary_names_both_classes(tmp_path: Path) -> None:
    data = [(f"text {n}", {"x": int(n > 0)}) for n in range(40)]
    assert "fewer than 20 training rows have not x (1)" in load(tmp_path, write_rows(tmp_path / "f", data)).warnings


def test_outliers(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    data = [("word " * generator.integers(8, 30), completion) for _, completion in rows(200)]
    data = [(f"{text}{n}", completion) for n, (text, completion) in enumerate(data)]
    data[7] = ("word " * 5000, data[7][1])
    data[8] = ("x", data[8][1])
    found = load(tmp_path, write_rows(tmp_path / "f", data))
    assert found.profile["outliers"] == {"long": [8], "short": [9]}
    texts = warnings(found)
    assert any(text.startswith("1 row is longer than") and text.endswith("(line 8)") for text in texts)
    assert any(text.startswith("1 row is shorter than") and text.endswith("(line 9)") for text in texts)


def test_labels_that_rows_leave_out(tmp_path: Path) -> None:
    multiclass = [(f"t{n}", {"ab"[n % 2]: 1}) for n in range(100)]
    found = load(tmp_path, write_rows(tmp_path / "f", multiclass))
    assert found.profile["missingLabels"] == {"rows": 100}
    assert not [text for text in found.warnings if "leave" in text]  # the usual way to write one class
    multilabel = [*multiclass, ("both", {"a": 1, "b": 1})]
    found = load(tmp_path, write_rows(tmp_path / "f", multilabel))
    assert "100 rows leave labels out, which counts as 0 (lines 1, 2, 3, 4, 5 and 95 more)" in found.warnings


def test_only_used_rows_are_looked_at(tmp_path: Path) -> None:
    data = [(f"t{n % 500}", {"x": int(n < 20)}) for n in range(1000)]
    path = write_rows(tmp_path / "f", data)
    found = load(tmp_path, path, trainDataset={"uri": f"file://{path}", "limit": 100})
    assert found.profile["rows"]["read"] == 1000
    assert found.profile["rows"]["train"] == 100
    lines = list(found.train.lines)
    repeated = sum(1 for at, line in enumerate(lines) if (line - 1) % 500 in {(x - 1) % 500 for x in lines[:at]})
    assert found.profile["duplicates"]["rows"] == repeated


def test_token_lengths(tmp_path: Path) -> None:
    profile = load(tmp_path, write_rows(tmp_path / "f", rows(50)), 0.2).profile
    train = np.array([*range(1, 40), 300], dtype=np.int32)
    content, new = add_token_lengths(profile, 32, {"train": train, "test": np.array([3, 40] * 5, dtype=np.int32)})
    lengths = content["lengths"]
    assert lengths["unit"] == "tokens"
    assert lengths["maxLength"] == 32
    assert lengths["cut"] == {"train": 8, "test": 5}
    assert (lengths["median"], lengths["p95"], lengths["max"]) == (20, 38, 300)
    assert (sum(lengths["train"]), sum(lengths["test"])) == (40, 10)
    assert new == [
        "8 of 40 training rows are longer than maxLength 32 and are cut",
        "5 of 10 test rows are longer than maxLength 32 and are cut",
    ]
    assert [each["text"] for each in content["warnings"]][-2:] == new
    assert profile["lengths"]["unit"] == "characters"
