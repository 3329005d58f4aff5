"""JSONL, and every fault of it with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier_trainer.data.read import read_jsonl
from classifier_trainer.errors import UserError

GOOD = '{"prompt": "a", "completion": {"x": 1}}'


def read(path: Path, content: str | bytes) -> object:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return read_jsonl(path, "trainDataset", "pvc://d/train.jsonl")


def test_rows(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(
        '\ufeff{"prompt": "ä", "completion": {"x": 1, "y": 0}, "id": 7}\r\n\n'
        '{"prompt": "b", "completion": {"y": 1.0}}\n{"prompt": "", "completion": {}}',
        encoding="utf-8",
    )
    found = read_jsonl(path, "trainDataset", "u")
    assert found.prompts == ["ä", "b", ""]
    assert found.completions == [{"x": 1, "y": 0}, {"y": 1}, {}]
    assert found.lines == [1, 3, 4]
    assert found.warnings == ["trainDataset: line 4 has an empty prompt"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON (Expecting property name enclosed in double quotes at column 2)"),
        ("[1]", "line 2 is not an object"),
        ('{"completion": {"x": 1}}', "line 2 has no prompt"),
        ('{"prompt": 3, "completion": {"x": 1}}', "line 2 has a prompt that is not a text"),
        ('{"prompt": "a"}', "line 2 has no completion"),
        ('{"prompt": "a", "completion": "x"}', "line 2 has a completion that is not an object"),
        ('{"prompt": "a", "completion": {"x": 2}}', "line 2 has the value 2 for label 'x': write 0 or 1"),
        ('{"prompt": "a", "completion": {"x": true}}', "the value true for label 'x'"),
        ('{"prompt": "a", "completion": {"x": "1"}}', "the value \"1\" for label 'x'"),
        ('{"prompt": "a", "completion": {"x": NaN}}', "the value NaN for label 'x'"),
        ('{"prompt": "a", "completion": {"x": null}}', "the value null for label 'x'"),
        ('{"prompt": "a", "completion": {"x": 1, "x": 0}}', "line 2 names 'x' twice"),
        ('{"prompt": "a", "completion": {" ": 1}}', "line 2 has a label without a name"),
        ('{"prompt": "\\ud800", "completion": {"x": 1}}', "half a surrogate pair"),
        ("[" * 100_000, "nested too deep"),
        ("1" * 5000, "a number too long"),
    ],
)
def test_faults(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(UserError) as caught:
        read(tmp_path / "f", f"{GOOD}\n{line}\n")
    assert str(caught.value).startswith("trainDataset 'pvc://d/train.jsonl': line 2 ")
    assert words in str(caught.value)


def test_not_utf8(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"line 2 is not UTF-8 \(byte 13\)"):
        read(tmp_path / "f", GOOD.encode() + b'\n{"prompt": "\xe4", "completion": {"x": 1}}\n')


def test_all_faults_in_one_message(tmp_path: Path) -> None:
    lines = [GOOD, *['{"prompt": "a"}'] * 30]
    with pytest.raises(UserError) as caught:
        read(tmp_path / "f", "\n".join(lines))
    assert str(caught.value).count("has no completion") == 20
    assert "line 2 " in str(caught.value)
    assert "line 21 " in str(caught.value)
    assert str(caught.value).endswith("; and 10 more faults.")


@pytest.mark.parametrize("content", ["", "\n\n", " \r\n"])
def test_empty(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        read(tmp_path / "f", content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read_jsonl(tmp_path, "testDataset", "u")
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read_jsonl(tmp_path / "absent", "testDataset", "u")


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.binary(max_size=40),
            st.recursive(
                st.none() | st.booleans() | st.floats() | st.text(max_size=5) | st.integers(),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["prompt", "completion", "x"]), inner, max_size=3)
                ),
                max_leaves=8,
            ).map(lambda value: json.dumps(value).encode()),
        ),
        max_size=4,
    )
)
def test_anything_is_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f"
    path.write_bytes(b"\n".join(lines))
    sentence = ""
    try:
        found = read_jsonl(path, "trainDataset", "u")
    except UserError as error:
        sentence = str(error)
    else:
        assert len(found) > 0
        assert all(value in (0, 1) for row in found.completions for value in row.values())
    assert "\n" not in sentence
