"""Data sets with something wrong in them: any form, any place, from a seed."""

from __future__ import annotations

import copy
import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]
Rows = list[Row]

_ENDINGS = {"JSONL": ".jsonl", "JSON": ".json", "CSV": ".csv", "Parquet": ".parquet"}
_WORDS = ["ä", "日本", "", '"', ",", "a: b"]
_ODD: list[Any] = [
    None,
    True,
    0,
    2,
    -1,
    1.5,
    float("nan"),
    "",
    " ",
    [],
    {},
    [[]],
    {"a": {}},
    "\ud800",
    "x" * 500,
    10**30,
]
_BYTES = [
    b"\xff\xfe",
    b"\xed\xa0\x80",
    b"\0",
    b'"',
    b"{",
    b"]",
    b"\n",
    b"\r",
    b",",
    b"\xef\xbb\xbf",
    b"\\u",
    b"\x1f\x8b",
]

_LINES = [b"[]", b"1", b"null", b"{", b"}{", b"[" * 5000, b"9" * 5000]


@dataclass
class Case:
    """A data set, and the parts of a configuration around it."""

    name: str
    content: bytes
    test: bytes | None = None
    parts: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> dict[str, Any]:
        """Writes the files and returns the configuration's parts for them."""
        parts: dict[str, Any] = copy.deepcopy(self.parts)
        path = folder / self.name
        path.write_bytes(self.content)
        parts["trainDataset"] = {**parts.get("trainDataset", {}), "uri": f"file://{path}"}
        if self.test is not None:
            test = folder / f"test-{self.name}"
            test.write_bytes(self.test)
            parts["testDataset"] = {"uri": f"file://{test}"}
        return parts


def make_case(seed: int) -> Case:
    """The case of a seed. Nearly all are wrong; some changes happen to leave what can be read."""
    draw = random.Random(seed)
    form = draw.choice(list(_ENDINGS))
    rows = _good_rows(draw)
    change = draw.choice([_odd_values, _odd_rows, _odd_bytes, _odd_bytes, _odd_container, _odd_classes, _odd_parts])
    return change(draw, form, rows)


def _good_rows(draw: random.Random) -> Rows:
    labels = [f"l{n}" for n in range(draw.randint(1, 4))]
    rows = []
    for number in range(draw.randint(2, 30)):
        chosen = draw.choice(labels)
        completion = {label: int(label == chosen and (len(labels) > 1 or number % 2)) for label in labels}
        rows.append({"prompt": f"text {number} {draw.choice(_WORDS)}", "completion": completion})
    return rows


def _written(form: str, rows: Rows) -> bytes:
    """The rows in a form, as well as it can hold what is in them."""
    if form in ("JSONL", "JSON"):
        texts = [json.dumps(row) for row in rows]
        return ("\n".join(texts) if form == "JSONL" else f"[{', '.join(texts)}]").encode("utf-8", "surrogatepass")
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["prompt"]
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    if form == "CSV":
        buffer = io.StringIO()
        csv.writer(buffer).writerows([names, *cells])
        return buffer.getvalue().encode("utf-8", "surrogatepass")
    columns = {name: [row[at].encode("utf-8", "replace").decode() for row in cells] for at, name in enumerate(names)}
    return _parquet(pa.table(columns))


def _parquet(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _case(draw: random.Random, form: str, content: bytes, **more: Any) -> Case:
    ending = draw.choice(
        [_ENDINGS[form], _ENDINGS[form], _ENDINGS[form], "", ".txt", draw.choice(list(_ENDINGS.values()))]
    )
    return Case(f"rows{ending}", content, **more)


def _odd_values(draw: random.Random, form: str, rows: Rows) -> Case:
    for row in draw.sample(rows, draw.randint(1, len(rows))):
        place: Any = row if draw.random() < 0.5 else row["completion"]
        place[draw.choice(list(place))] = copy.deepcopy(draw.choice(_ODD))
        if not isinstance(row.get("completion"), dict):
            continue
        if draw.random() < 0.2:
            row["completion"][draw.choice(["", " ", "\ud800", "new", "l0 "])] = copy.deepcopy(draw.choice(_ODD))
    return _case(draw, form, _written(form, rows))


def _odd_rows(draw: random.Random, form: str, rows: Rows) -> Case:
    odd: Rows = [{}, {"prompt": "a"}, {"completion": {"l0": 1}}, {"text": "a", "label": "b"}, {"prompt": [], "x": 1}]
    for _ in range(draw.randint(1, 5)):
        rows.insert(draw.randint(0, len(rows)), copy.deepcopy(draw.choice(odd)))
    if form == "JSONL":
        lines = _written(form, rows).split(b"\n")
        lines.insert(draw.randint(0, len(lines)), draw.choice(_LINES))
        return _case(draw, form, b"\n".join(lines))
    return _case(draw, form, _written(form, rows))


def _odd_bytes(draw: random.Random, form: str, rows: Rows) -> Case:
    content = bytearray(_written(form, rows))
    for _ in range(draw.randint(1, 6)):
        at = draw.randint(0, len(content))
        match draw.randint(0, 4):
            case 0:
                content[at:at] = draw.choice(_BYTES)
            case 1:
                del content[at : at + draw.randint(1, 20)]
            case 2:
                content[at : at + 1] = bytes([draw.randint(0, 255)])
            case 3:
                content[at:at] = draw.randbytes(draw.randint(1, 20))
            case 4:
                del content[at:]
    return _case(draw, form, bytes(content))


def _odd_container(draw: random.Random, form: str, rows: Rows) -> Case:
    content = _written(form, rows)
    packed = gzip.compress(content)
    made: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: draw.choice([b"\n\n", b" ", b"\xef\xbb\xbf", b"[]", b"{}", b"null", b"[", b"PAR1", b"PAR1PAR1"]),
        lambda: draw.randbytes(draw.randint(1, 300)),
        lambda: packed[: draw.randint(3, len(packed) - 1)],
        lambda: packed[:20] + draw.randbytes(8) + packed[28:],
        lambda: b"\x28\xb5\x2f\xfd" + content,
        lambda: b"\x28\xb5\x2f\xfd" + draw.randbytes(30),
        lambda: content.decode("utf-8", "replace").encode("utf-16"),
        lambda: content + content[: len(content) // 2],
        lambda: gzip.compress(_parquet(pa.table({"text": ["a"], "label": ["b"]}))),
        lambda: _parquet(pa.table({"text": [1, 2], "label": ["a", "b"]})),
        lambda: _parquet(pa.table({"text": [["a"], ["b"]], "label": [[1.5], None]})),
        lambda: _parquet(pa.table({"text": ["a", None], "label": pa.array([b"\xff", b"b"])})),
        lambda: _parquet(pa.table({"prompt": ["a", "b"], "completion": [{"x": 5, "y": 1}, {"x": None, "y": None}]})),
        lambda: _parquet(pa.table({"prompt": ["a"]})).replace(b"prompt", b"\xff\xfeompt"),
    ]
    return _case(draw, form, draw.choice(made)())


def _odd_classes(draw: random.Random, form: str, rows: Rows) -> Case:
    match draw.randint(0, 3):
        case 0:
            rows = [{**row, "completion": dict(rows[0]["completion"])} for row in rows]
        case 1:
            rows = [{**row, "completion": {}} for row in rows]
        case 2:
            rows = [{**row, "completion": f"unique {number}"} for number, row in enumerate(rows)]
        case _:
            rows = rows[:1]
    return _case(draw, form, _written(form, rows))


def _odd_parts(draw: random.Random, form: str, rows: Rows) -> Case:
    content = _written(form, rows)
    parts: list[dict[str, Any]] = [
        {"trainDataset": {"columns": {"prompt": "absent"}}},
        {"trainDataset": {"columns": {"labels": ["prompt", "absent"]}}},
        {"trainDataset": {"columns": {"completion": "prompt"}}},
        {"trainDataset": {"format": draw.choice(list(_ENDINGS))}},
        {"trainDataset": {"limit": 1}},
        {"taskType": draw.choice(["Binary", "Multiclass", "Multilabel"])},
        {"testDataset": {"split": draw.choice([1e-6, 0.5, 0.999999])}},
        {"validation": {"split": draw.choice([1e-6, 0.5, 0.999999])}},
        {"rebalance": {"counts": {"l0": 5, "l1": draw.choice([0, 3])}}},
        {"rebalance": {"shares": {"positive": 0.5, "negative": 0.5}}},
        {"rebalance": {"shares": {"none": 1.0}}},
    ]
    if draw.random() < 0.3:
        other = _good_rows(draw)
        other[0]["completion"] = draw.choice(["unknown", {"l0": 1, "l9": 1}, {}, {"l0": 1, "l1": 1}, [], 3])
        return _case(draw, form, content, test=_written(form, other))
    chosen: dict[str, Any] = {}
    for part in draw.sample(parts, draw.randint(1, 2)):
        chosen |= part
    return _case(draw, form, content, parts=chosen)
