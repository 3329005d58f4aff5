"""Rows a line, and every fault of them with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier_trainer.data import jsonl
from classifier_trainer.data.read import read_table
from classifier_trainer.data.source import DataFiles
from classifier_trainer.errors import TransientError, UserError
from support.datasets import completions, read

GOOD = '{"prompt": "a", "completion": {"x": 1}}'


def fault(path: Path, content: str | bytes) -> str:
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    _, faults = read(path, uri="pvc://d/train.jsonl")
    return faults.sentence() if faults else ""


def test_rows(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(
        '\ufeff{"prompt": "ä", "completion": {"x": 1, "y": 0}, "id": 7}\r\n\n'
        '{"prompt": "b", "completion": {"y": 1.0}}\n{"prompt": "", "completion": {}}',
        encoding="utf-8",
    )
    found, faults = read(path)
    assert not faults
    assert list(next(found.texts.batches())) == ["ä", "b", ""]
    assert found.labels == ["x", "y"]
    assert completions(found) == [["x"], ["y"], []]
    assert found.lines.read().tolist() == [1, 3, 4]
    assert found.lengths.read().tolist() == [1, 1, 0]
    assert found.named.read().tolist() == [2, 1, 0]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "line 2 is not JSON (Expecting property name enclosed in double quotes at column 2)"),
        ("[1]", "line 2 is not an object"),
        ('{"completion": {"x": 1}}', "line 2 has no prompt"),
        ('{"prompt": 3, "completion": {"x": 1}}', "line 2 has a prompt that is not a text"),
        ('{"prompt": null, "completion": {"x": 1}}', "line 2 has a prompt that is not a text"),
        ('{"prompt": "a"}', "line 2 has no completion"),
        ('{"prompt": "a", "completion": null}', "line 2 has the completion null: write {label: 0 or 1}, or a label"),
        ('{"prompt": "a", "completion": 1.5}', "line 2 has the completion 1.5"),
        ('{"prompt": "a", "completion": true}', "line 2 has the completion true"),
        ('{"prompt": "a", "completion": " "}', "line 2 has an empty completion"),
        ('{"prompt": "a", "completion": [["x"]]}', 'line 2 has the completion ["x"]'),
        ('{"prompt": "a", "completion": "{x: 1}"}', "line 2 has the completion '{x: 1}', which is not JSON"),
        ('{"prompt": "a", "completion": "{\\"x\\": 1, \\"x\\": 1}"}', "line 2 names 'x' twice"),
        ('{"prompt": "a", "completion": {"x": 2}}', "line 2 has the value 2 for label 'x': write 0 or 1"),
        ('{"prompt": "a", "completion": {"x": true}}', "the value true for label 'x'"),
        ('{"prompt": "a", "completion": {"x": "1"}}', "the value \"1\" for label 'x'"),
        ('{"prompt": "a", "completion": {"x": NaN}}', "the value NaN for label 'x'"),
        ('{"prompt": "a", "completion": {"x": null}}', "the value null for label 'x'"),
        ('{"prompt": "a", "completion": {"x": 1, "x": 0}}', "line 2 names 'x' twice"),
        ('{"prompt": "a", "prompt": "b", "completion": {"x": 1}}', "line 2 names 'prompt' twice"),
        ('{"prompt": "a: b", "completion": {"x": 1, "x": 0}}', "line 2 names 'x' twice"),
        ('{"prompt": "a", "completion": {" ": 1}}', "line 2 has a label without a name"),
        ('{"prompt": "\\ud800", "completion": {"x": 1}}', "half a surrogate pair"),
        ('{"prompt": "a", "completion": {"\\uD800": 1}}', "line 2 has a label without a name"),
        ("[" * 100_000, "nested too deep"),
        ("1" * 5000, "a number too long"),
    ],
)
def test_faults(tmp_path: Path, line: str, words: str) -> None:
    sentence = fault(tmp_path / "f", f"{GOOD}\n{line}\n")
    assert sentence.startswith("trainDataset 'pvc://d/train.jsonl': line 2 ")
    assert words in sentence


def test_not_utf8(tmp_path: Path) -> None:
    sentence = fault(tmp_path / "f", GOOD.encode() + b'\n{"prompt": "\xe4", "completion": {"x": 1}}\n' + GOOD.encode())
    assert "line 2 is not UTF-8 (byte 13)" in sentence
    assert "line 3" not in sentence


def test_all_faults_in_one_message(tmp_path: Path) -> None:
    sentence = fault(tmp_path / "f", "\n".join([GOOD, *['{"prompt": "a"}'] * 30]))
    assert sentence.count("has no completion") == 20
    assert "line 2 " in sentence
    assert "line 21 " in sentence
    assert sentence.endswith("; and 10 more faults.")


@pytest.mark.parametrize("content", ["", "\n\n", " \r\n"])
def test_empty(tmp_path: Path, content: str) -> None:
    with pytest.raises(UserError, match="is empty"):
        fault(tmp_path / "f", content)


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is a folder"):
        read(tmp_path)
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "absent")


def test_lines_are_counted_across_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_BLOCK", 50)
    path = tmp_path / "f"
    path.write_text("".join(f'{{"prompt": "{"ö" * (n % 70)}", "completion": "l{n % 3}"}}\n\n' for n in range(200)))
    found, faults = read(path)
    assert not faults
    assert found.lines.read().tolist() == [1 + 2 * n for n in range(200)]
    assert [len(text) for batch in found.texts.batches() for text in batch] == [n % 70 for n in range(200)]


def test_a_line_without_an_end_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "_BLOCK", 50)
    monkeypatch.setattr(jsonl, "MAX_ROW", 1 << 20)
    sentence = fault(tmp_path / "f", GOOD + "\n" + '{"prompt": "' + "x" * (2 << 20))
    assert "line 2 is longer than 1 MiB" in sentence


def test_disk_that_is_full(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f"{GOOD}\n" * 5000)
    full = tmp_path / "full"
    full.mkdir()
    (full / "lines").symlink_to("/dev/full")
    with pytest.raises(TransientError, match=r"the rows cannot be kept on this machine's disk: .*No space left"):
        read_table(DataFiles("trainDataset", "u", [path]), full)


def test_progress(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text(f"{GOOD}\n" * 10_000)
    steps: list[int] = []
    read_table(DataFiles("trainDataset", "u", [path]), tmp_path / "scratch", progress=steps.append)
    assert steps == [4096, 8192, 10_000]


ROWS = st.lists(
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


@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_anything_is_rows_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "f.jsonl"
    path.write_bytes(b"\n".join(lines))
    try:
        found, faults = read(path)
    except UserError as error:
        sentence = str(error)
    else:
        sentence = faults.sentence() if faults else ""
        assert len(found) > 0 or sentence
    assert "\n" not in sentence
