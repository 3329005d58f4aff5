"""JSON, CSV and Parquet, packed or not, under the names that data sets have for their columns."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from classifier_trainer.data import json_array
from classifier_trainer.data.source import DataFiles, find_format
from classifier_trainer.errors import UserError
from support.datasets import completions, read

TEXTS = ["eins", "zwei", "drei"]
ROWS = [
    {"prompt": "eins", "completion": {"a": 1, "b": 0}},
    {"prompt": "zwei", "completion": "b"},
    {"prompt": "drei", "completion": ["a"]},
]
EXPECTED = [["a"], ["b"], ["a"]]


def texts(table: Any) -> list[str]:
    return [text for batch in table.texts.batches() for text in batch]


def packed(content: bytes, how: str) -> bytes:
    if how == "gzip":
        return gzip.compress(content[:20]) + gzip.compress(content[20:])
    if how == "zstd":
        sink = pa.BufferOutputStream()
        with pa.CompressedOutputStream(sink, "zstd") as stream:
            stream.write(content)
        return bytes(sink.getvalue())
    return content


def jsonl_bytes() -> bytes:
    return "\n".join(map(json.dumps, ROWS)).encode()


@pytest.mark.parametrize("how", ["plain", "gzip", "zstd"])
@pytest.mark.parametrize(
    ("name", "content"),
    [
        *[(name, jsonl_bytes()) for name in ("rows.jsonl", "rows.jsonl.gz", "rows.json", "rows.zst", "rows")],
        *[(name, json.dumps(ROWS).encode()) for name in ("rows.json", "rows.zst", "rows")],
        ("rows.json", json.dumps(ROWS, indent=2).encode()),
    ],
)
def test_form_and_packing_are_told_by_the_content(tmp_path: Path, content: bytes, name: str, how: str) -> None:
    path = tmp_path / name
    path.write_bytes(packed(content, how))
    table, faults = read(path)
    assert not faults
    assert (texts(table), completions(table)) == (TEXTS, EXPECTED)


@pytest.mark.parametrize("how", ["gzip", "zstd"])
def test_packing_that_is_broken(tmp_path: Path, how: str) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(packed(b"\n".join([jsonl_bytes()] * 1000), how)[:-30])
    with pytest.raises(UserError, match=r"pack the file anew|cannot be read"):
        read(path)
    whole = packed(jsonl_bytes(), how)
    path.write_bytes(whole[: len(whole) // 2] + b"\0\xff\0\xff" + whole[len(whole) // 2 + 4 :])
    with pytest.raises(UserError, match=r"pack the file anew|cannot be read"):
        read(path)


def test_format_that_the_configuration_says(tmp_path: Path) -> None:
    path = tmp_path / "f.txt"
    path.write_text("input\texpected_output\neins\ta\n")
    assert texts(read(path, format="CSV")[0]) == ["eins"]
    _, faults = read(path, format="JSONL")
    assert "line 1 is not JSON" in faults.sentence()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"just words", "has a form that is not known: write format: JSONL, JSON, CSV or Parquet"),
        ("[{}]".encode("utf-16"), "is UTF-16: save the file as UTF-8"),
        (b"\x00\x01\x02,", "has a form that is not known"),
        (b"PAR1 and no more", "is not Parquet that can be read"),
    ],
)
def test_no_form_at_all(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        read(path)


def test_parquet_under_another_name(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    pq.write_table(pa.table({"text": TEXTS, "label": ["a", "b", "a"]}), path)
    assert find_format(path, DataFiles("x", "u", [path])) == "Parquet"
    with pytest.raises(UserError, match="is Parquet: write format: Parquet"):
        read(path, format="CSV")


# JSON


def test_json_is_read_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "_BLOCK", 7)
    rows = [{"prompt": f"ö{n}" * (n % 9), "completion": {"a": n % 2, "b": 1 - n % 2}} for n in range(60)]
    path = tmp_path / "f.json"
    path.write_text(json.dumps(rows, indent=1, ensure_ascii=False))
    table, faults = read(path)
    assert not faults
    assert texts(table) == [row["prompt"] for row in rows]
    assert completions(table) == [["a"] if n % 2 else ["b"] for n in range(60)]
    lines = path.read_text().split("\n")
    assert all(lines[line - 1] == " {" for line in table.lines.read().tolist())


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('[\n{"prompt": "a"},\n{"prompt": "b", "completion": {"x": 2}}]', "line 2 has no completion; line 3 has the"),
        ('[{"prompt": "a", "completion": "x"}\n{"prompt"', "line 2 has no ',' or ']' after a row"),
        ('[{"prompt": "a", "completion": "x"}', "line 1 has no ',' or ']' after a row"),
        ('[{"prompt": "a", "completion": "x"},\n]', "line 2 has a row that is not JSON"),
        ('[{"prompt": "a", "completion": "x"}] []', "has more after the end of the array"),
        ('[{"prompt": "a", "prompt": "b", "completion": "x"},\n{}]', "names 'prompt' twice; line 2 has no prompt"),
        ('[1,\n"a"]', "line 1 is not an object"),
        ("[" * 100_000, "nested too deep"),
        ('[{"prompt": "\\udc00", "completion": "x"}]', "half a surrogate pair"),
    ],
)
def test_json_faults(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "f.json"
    path.write_text(content)
    _, faults = read(path)
    assert words in faults.sentence()


def test_json_that_is_no_array(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_text('{"data": []}')
    _, faults = read(path, format="JSON")
    assert "is not an array: write" in faults.sentence()


def test_json_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "f.json"
    path.write_bytes(b'[\n{"prompt": "\xe4", "completion": "x"}]')
    _, faults = read(path)
    assert "is not UTF-8" in faults.sentence()


# CSV


@pytest.mark.parametrize(
    ("content", "columns"),
    [
        ("input,expected_output\neins,a\nzwei,b\ndrei,a\n", None),
        ("prompt,completion\r\neins,a\r\n\r\nzwei,b\r\ndrei,a", None),
        ('\ufefflabel;text\na;eins\n"b";zwei\na;"drei"\n', None),
        ("id\ttext\tlabel\n1\teins\ta\n2\tzwei\tb\n3\tdrei\ta\n", None),
        ("Title,Topic\neins,a\nzwei,b\ndrei,a\n", {"prompt": "Title", "completion": "Topic"}),
        ("text,b,a\neins,0,1\nzwei,1,\ndrei,0.0,1.0\n", {"labels": ["a", "b"]}),
        ('text,label\neins,"{""a"": 1}"\nzwei,"[""b""]"\ndrei,a\n', None),
    ],
)
def test_csv(tmp_path: Path, content: str, columns: dict[str, Any] | None) -> None:
    path = tmp_path / "f.csv"
    path.write_text(content, encoding="utf-8", newline="")
    table, faults = read(path, columns=columns)
    assert not faults
    assert texts(table) == TEXTS
    assert completions(table) == EXPECTED


def test_csv_lines_of_quoted_texts(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text('text,label\n"one\ntwo, ""three""",a\nnext,b\nlast\n', newline="")
    table, faults = read(path)
    assert texts(table) == ['one\ntwo, "three"', "next"]
    assert table.lines.read().tolist() == [2, 4]
    assert "line 5 has 1 columns, but the header has 2" in faults.sentence()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a,b\n1,2\n", "line 1 has no column 'prompt' and 'completion': it has 'a', 'b'; say by columns"),
        (b"text,text,label\n1,2,3\n", "line 1 names the column 'text' twice"),
        (b'text,label\nx,a\n"open,b\nmore\n', "line 3 is not CSV"),
        (b'text,label\nx,a\n"ab"c,b\n', "line 3 is not CSV"),
        (b"text,label\n\xe4,a\nok,b\n,\n", "line 2 is not UTF-8 (byte 1): save the file as UTF-8; line 4 has an empty"),
        (b"text,label\nx,\n", "line 2 has an empty completion"),
    ],
)
def test_csv_faults(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "f.csv"
    path.write_bytes(content)
    _, faults = read(path)
    assert words in faults.sentence()


def test_a_column_a_label_holds_numbers(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("text,a,b\nx,1,0\ny,2,0\nz,yes,1\n")
    _, faults = read(path, columns={"labels": ["a", "b"]})
    assert faults.sentence().count("write 0 or 1") == 2
    path.write_text("text,a\nx,1\n")
    _, faults = read(path, columns={"labels": ["a", "b"]})
    assert "has no column 'b'" in faults.sentence()


def test_a_column_a_label_in_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_text('{"text": "x", "b": 1}\n{"text": "y", "a": 1, "b": 0}\n{"text": "z"}\n')
    table, faults = read(path, columns={"labels": ["a", "b"]})
    assert table.labels == ["a", "b"]
    assert completions(table) == [["b"], ["a"]]
    assert table.named.read().tolist() == [1, 2]
    assert "line 3 has none of the columns 'a', 'b' of columns.labels" in faults.sentence()


# Parquet


def hub_metadata(features: dict[str, Any]) -> dict[bytes, bytes]:
    return {b"huggingface": json.dumps({"info": {"features": features}}).encode()}


CLASSES = {"_type": "ClassLabel", "names": ["a", "b"]}


@pytest.mark.parametrize(
    ("column", "features"),
    [
        (pa.array([0, 1, 0]), {"label": CLASSES}),
        (pa.array([[0], [1], [0]]), {"label": {"_type": "Sequence", "feature": CLASSES}}),
        (pa.array([[0], [1], [0]]), {"label": [CLASSES]}),
        (pa.array(["a", "b", "a"]), {}),
        (pa.array(["a", "b", "a"]).dictionary_encode(), {}),
        (pa.array([["a"], ["b"], ["a"]]), {}),
        (pa.array([{"a": 1, "b": 0}, {"a": None, "b": 1}, {"a": 1, "b": None}]), {}),
        (pa.array([{"a": True, "b": False}, {"a": None, "b": True}, {"a": True, "b": None}]), {}),
        (pa.array([[("a", 1)], [("b", 1), ("a", 0)], [("a", 1)]], type=pa.map_(pa.string(), pa.int8())), {}),
        (pa.array(['{"a": 1}', '{"b": 1}', "a"]), {}),
    ],
)
def test_parquet(tmp_path: Path, column: pa.Array, features: dict[str, Any]) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"text": TEXTS, "label": column, "id": [1, 2, 3]})
    pq.write_table(table.replace_schema_metadata(hub_metadata(features)), path)
    found, faults = read(path)
    assert not faults
    assert texts(found) == TEXTS
    assert completions(found) == EXPECTED


def test_parquet_numbers_without_names(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"text": TEXTS, "label": [3.0, 4.0, 3.0]}), path)
    assert completions(read(path)[0]) == [["3"], ["4"], ["3"]]
    pq.write_table(pa.table({"text": TEXTS, "label": [True, False, True]}), path)
    assert completions(read(path)[0]) == [["true"], ["false"], ["true"]]


def test_parquet_a_column_a_label(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"text": TEXTS, "b": [0, 1, None], "a": [True, None, True]}), path)
    table, faults = read(path, columns={"labels": ["a", "b"]})
    assert not faults
    assert completions(table) == EXPECTED
    assert table.named.read().tolist() == [2, 1, 1]


def test_parquet_faults(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    table = pa.table({"text": ["a", None, "c", "d"], "label": [0, 1, -1, None]})
    pq.write_table(table.replace_schema_metadata(hub_metadata({"label": CLASSES})), path)
    _, faults = read(path)
    assert faults.sentence() == (
        "trainDataset 'u': line 2 has no text; line 3 has the class -1, but the metadata names 2 classes; "
        "line 4 has no label."
    )


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ({"a": [1]}, "has no column 'prompt' and 'completion'"),
        ({"text": [1], "label": [1]}, "has the type int64 in column 'text': texts must be strings"),
    ],
)
def test_parquet_that_holds_no_rows_of_ours(tmp_path: Path, columns: dict[str, Any], words: str) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table(columns), path)
    with pytest.raises(UserError, match=words):
        read(path)


def test_parquet_that_is_broken(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"text": ["a" * 100] * 100, "label": ["x"] * 100}), path, compression="none")
    content = bytearray(path.read_bytes())
    content[10:60] = b"\xff" * 50
    path.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r"is not Parquet that can be read|not UTF-8"):
        read(path)


def test_several_files_are_one_set(tmp_path: Path) -> None:
    from classifier_trainer.data.read import read_table

    first, second = tmp_path / "a.jsonl", tmp_path / "b.csv"
    first.write_text('{"prompt": "eins", "completion": "a"}\n')
    second.write_text("text,label\nzwei,b\ndrei\n")
    table, faults = read_table(DataFiles("trainDataset", "u", [first, second]), tmp_path / "scratch")
    assert texts(table) == ["eins", "zwei"]
    assert completions(table) == [["a"], ["b"]]
    assert "of b.csv has 1 columns" in faults.sentence()
