"""The material's own logic, without a network: the sample's balance, and a cache that holds whole folders only."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path

import pytest

from material.cache import ensure, publish
from material.newsgroups import name_parts
from material.rotten_tomatoes import reviews
from material.rows import multiclass, read_tab, sample, write


def test_sample_is_fixed_and_in_the_natural_balance() -> None:
    rows = (
        [("a", f"a{n}") for n in range(700)] + [("b", f"b{n}") for n in range(297)] + [("c", f"c{n}") for n in range(3)]
    )
    found = sample(rows, 100, 8)
    assert len(found) == len(set(found)) == 100
    counts = Counter(label for label, _ in found)
    assert counts["c"] == 1  # at least one, though its share is 0.3
    assert counts["a"] == pytest.approx(70, abs=1)
    assert found == sample(rows, 100, 8)
    assert found != sample(rows, 100, 9)


def test_cache_builds_once_and_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path))
    built: list[Path] = []

    def broken(folder: Path) -> None:
        (folder / "half").write_text("x")
        raise ZeroDivisionError

    def build(folder: Path) -> None:
        built.append(folder)
        (folder / "file").write_text("x")
        (folder / "file").chmod(0o600)

    with pytest.raises(ZeroDivisionError):
        ensure("thing", 1, broken)
    assert list((tmp_path / "material").iterdir()) == []
    folder = ensure("thing", 1, build)
    assert ensure("thing", 1, build) == folder
    assert len(built) == 1
    assert (folder / "file").stat().st_mode & 0o044 == 0o044


def test_publish_copies_what_is_not_there(tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    (source / "a").write_text("new")
    publish(source, out)
    first = (out / "a").stat().st_ino
    publish(source, out)
    assert (out / "a").stat().st_ino == first
    (out / "a").write_text("spoiled")
    publish(source, out)
    assert (out / "a").read_text() == "new"


def test_rows_are_read_from_a_table_and_written_for_the_trainer(tmp_path: Path) -> None:
    table = tmp_path / "a.tab"
    table.write_text('Category\tText\nd\tstring\nclass\t\n\nrec.autos\ta "quoted word\nsci.space\torbit\n')
    rows = read_tab(table)
    assert rows == [("rec.autos", 'a "quoted word'), ("sci.space", "orbit")]
    write(tmp_path / "a.jsonl", multiclass(rows), ["rec.autos", "sci.space"])
    write(tmp_path / "b.jsonl", [(name_parts(group), text) for group, text in rows], ["autos", "rec", "sci", "space"])
    assert [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()] == [
        {"prompt": 'a "quoted word', "completion": {"rec.autos": 1, "sci.space": 0}},
        {"prompt": "orbit", "completion": {"rec.autos": 0, "sci.space": 1}},
    ]
    parts = [json.loads(line)["completion"] for line in (tmp_path / "b.jsonl").read_text().splitlines()]
    assert parts == [{"autos": 1, "rec": 1, "sci": 0, "space": 0}, {"autos": 0, "rec": 0, "sci": 1, "space": 1}]


def test_reviews_are_taken_once_and_plots_left_out() -> None:
    corpus = 'category,text,movie_name\nplot,"a, b",x\nfresh,good,x\nrotten,bad,x\nrotten,good,y\n'
    assert reviews(io.StringIO(corpus)) == [("fresh", "good"), ("rotten", "bad")]
