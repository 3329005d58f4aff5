"""The material's own logic, without a network: the sample's balance, and a cache that holds whole folders only."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from material.cache import ensure, publish
from material.rows import sample


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
