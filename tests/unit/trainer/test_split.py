"""Test and validation rows: stratified for every task, seeded, identical texts on one side."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classifier_trainer.data import duplicates, label_sets
from classifier_trainer.data.batches import stratified_sample, updates
from classifier_trainer.data.column import write_column
from classifier_trainer.data.partition import TEST, TRAIN, VALIDATION, Partition
from classifier_trainer.data.split import allocate, apportion, validation_share
from support.datasets import load, scratch, write_table
from support.tiny_models import write_rows


def partition(folder: Path, completions: list[Any], texts: list[str] | None = None) -> Partition:
    names = texts or [f"t{index}" for index in range(len(completions))]
    made = Partition(write_table(folder, list(zip(names, completions, strict=True))), scratch(folder))
    made.find_duplicates()
    return made


def classes(made: Partition, completions: list[Any], side: int) -> Counter[Any]:
    return Counter(str(completions[row]) for row in made.rows(side))


def test_classes_keep_their_shares(tmp_path: Path) -> None:
    rows = ["a"] * 100 + ["b"] * 40 + ["c"] * 10
    made = partition(tmp_path, rows)
    assert made.set_aside(TEST, 0.2, 1) == 30
    assert classes(made, rows, TEST) == {"a": 20, "b": 8, "c": 2}
    assert len(made.rows(TRAIN)) == 120


def test_small_classes(tmp_path: Path) -> None:
    rows = ["a"] * 30 + ["b", "b", "c"]
    made = partition(tmp_path, rows)
    made.set_aside(TEST, 0.2, 1)
    assert classes(made, rows, TEST)["b"] == 1  # two rows: one on each side
    assert classes(made, rows, TRAIN)["c"] == 1  # a single row stays


def test_binary_is_stratified_by_absence_too(tmp_path: Path) -> None:
    rows = [{"x": 1}] * 10 + [{"x": 0}] * 90
    made = partition(tmp_path, rows)
    made.set_aside(TEST, 0.3, 5)
    assert classes(made, rows, TEST) == {"{'x': 1}": 3, "{'x': 0}": 27}


def test_identical_texts_stay_together(tmp_path: Path) -> None:
    texts = [f"t{index % 20}" for index in range(100)]
    made = partition(tmp_path, ["a", "b"] * 50, texts)
    made.set_aside(TEST, 0.3, 3)
    made.set_aside(VALIDATION, 0.3, 3)
    sides = [{texts[row] for row in made.rows(side)} for side in (TRAIN, VALIDATION, TEST)]
    assert all(sides)
    assert sum(map(len, sides)) == len(set.union(*sides)) == 20


def test_a_label_that_only_a_repeated_text_has_stays(tmp_path: Path) -> None:
    rows: list[Any] = ["a"] * 50 + ["b"]
    for seed in range(20):
        made = partition(tmp_path, rows, [*[f"t{index}" for index in range(50)], "t0"])
        made.set_aside(TEST, 0.5, seed)
        assert 50 in made.rows(TRAIN)


def test_seed_decides(tmp_path: Path) -> None:
    found = []
    for seed in (1, 1, 2):
        made = partition(tmp_path, ["a", "b"] * 50)
        made.set_aside(TEST, 0.3, seed)
        found.append(made.rows(TEST).tolist())
    assert found[0] == found[1] != found[2]


def test_every_process_splits_alike(tmp_path: Path) -> None:
    """Ranks, and a run that is resumed, find equal texts by hashes that are others in each process."""
    write_rows(tmp_path / "f", [(f"t{n % 700}", {"a": int(n % 7 > 2), "b": int(n % 7 <= 2)}) for n in range(900)])
    code = (
        "import sys; from pathlib import Path; from support.datasets import load; folder = Path(sys.argv[1]);"
        "found = load(folder, folder / 'f', 0.2);"
        "print(list(found.train.lines), list(found.validation.lines), list(found.test.lines))"
    )
    folders = {scratch(tmp_path): seed for seed in ("1", "2")}
    for folder in folders:
        (folder / "f").symlink_to(tmp_path / "f")
    printed = {
        subprocess.run(
            [sys.executable, "-c", code, str(folder)],
            env={"PYTHONPATH": ":".join(sys.path), "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for folder, seed in folders.items()
    }
    assert len(printed) == 1


def test_where_equal_texts_are_found_does_not_depend_on_how(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(1)
    values = generator.integers(-(1 << 62), 1 << 62, 300)[generator.integers(0, 300, 1000)]
    hashes = write_column(tmp_path / "hashes", values)
    chosen = generator.random(1000) < 0.8
    first: dict[int, int] = {}
    expected = [first.setdefault(values[row], row) if chosen[row] else row for row in range(1000)]
    for bucket in (1 << 20, 100, 13):
        monkeypatch.setattr(duplicates, "_BUCKET", bucket)
        assert duplicates.first_of_equal(hashes, chosen, tmp_path / "first").read().tolist() == expected
        known = write_column(tmp_path / "known", values[:500])
        both = np.flatnonzero(np.isin(values, values[:500][chosen[:500]]))
        assert duplicates.count_known(hashes, known, chosen[:500], 5) == (len(both), both[:5].tolist())


def members_of(targets: np.ndarray[Any, Any]) -> tuple[list[tuple[int, ...]], np.ndarray[Any, Any]]:
    found = Counter(tuple(np.flatnonzero(row).tolist()) for row in targets)
    return list(found), np.array(list(found.values()), dtype=np.int64)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 0.5))
def test_multilabel_keeps_the_share_of_each_label(seed: int, share: float) -> None:
    targets = np.random.default_rng(seed).random((200, 5)) < [0.5, 0.3, 0.2, 0.1, 0.02]
    members, counts = members_of(targets)
    aside = apportion(members, counts, share, seed)
    assert (aside >= 0).all()
    assert (aside <= counts).all()
    for label in range(5):
        has = np.array([label in found for found in members])
        total, taken = counts[has].sum(), aside[has].sum()
        # Within a few rows of the share: labels that stand together cannot all be met exactly.
        assert abs(taken - share * total) <= 4
        if total >= 2:
            assert 0 < taken < total
        else:
            assert taken == 0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 50), min_size=1, max_size=12), st.floats(0.05, 0.95), st.integers(0, 99))
def test_classes_are_met_to_a_row(sizes: list[int], share: float, seed: int) -> None:
    counts = np.array([0, *sizes])
    aside = apportion([(), *[(label,) for label in range(len(sizes))]], counts, share, seed)
    for count, taken in zip(sizes, aside[1:].tolist(), strict=True):
        assert 0 < taken < count or count == 1
        assert abs(taken - share * count) < 1 or taken in (1, count - 1)
        assert not (count == 1 and taken)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 50), min_size=1, max_size=12), st.integers(1, 400), st.booleans(), st.integers(0, 9))
def test_a_limit_is_exact_and_keeps_the_balance(sizes: list[int], size: int, each: bool, seed: int) -> None:
    counts = np.array(sizes)
    found = allocate(counts, size, each=each, seed=seed)
    assert found.sum() == min(size, counts.sum())
    assert (found <= counts).all()
    if each and (counts > 0).sum() <= size:
        assert ((found > 0) == (counts > 0)).all()
    elif counts.sum() > size:
        assert (np.abs(found - counts * size / counts.sum()) < 1).all()


def test_limit_comes_before_the_splits(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "f", [(f"t{n}", {"a": int(n % 10 > 0), "b": int(n % 10 == 0)}) for n in range(5000)])
    found = load(tmp_path, rows, 0.2, trainDataset={"uri": f"file://{rows}", "limit": 1000})
    assert found.test is not None
    assert found.validation is not None
    assert [len(found.test), len(found.validation), len(found.train)] == [200, 100, 700]
    assert found.train.targets.sum(axis=0).tolist() == [630, 70]
    everything = [*found.train.lines, *found.validation.lines, *found.test.lines]
    assert len(set(everything)) == 1000
    for split in (found.train, found.validation, found.test):
        assert split.prompts[:] == [f"t{line - 1}" for line in split.lines]


def test_limit_of_a_multilabel_set(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    targets = (generator.random((3000, 12)) < 0.2).tolist()
    rows = [(f"t{n}", {f"l{at}": int(value) for at, value in enumerate(row)}) for n, row in enumerate(targets)]
    path = write_rows(tmp_path / "f", rows)
    found = load(tmp_path, path, trainDataset={"uri": f"file://{path}", "limit": 300}, validation={"split": 0})
    assert len(found.train) == 300
    assert np.abs(found.train.targets.mean(axis=0) - np.mean(targets, axis=0)).max() < 0.05


@pytest.mark.parametrize(
    ("rows", "expected"), [(499, 0), (500, 100), (1000, 100), (2000, 200), (50_000, 5000), (10_000_000, 5000)]
)
def test_size_of_the_validation_set(rows: int, expected: int) -> None:
    assert round(rows * validation_share(rows)) == expected


def test_validation_by_default(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "f", [(f"t{n}", {"a": int(n % 4 > 0), "b": int(n % 4 == 0)}) for n in range(800)])
    found = load(tmp_path, rows)
    assert found.validation is not None
    assert found.validation.targets.sum(axis=0).tolist() == [75, 25]
    assert not [text for text in found.warnings if "validation" in text]


def test_no_validation_below_500_rows(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "f", [(f"t{n}", {"a": n % 2}) for n in range(600)])
    found = load(tmp_path, rows, 0.2)
    assert found.validation is None
    assert found.warnings == [
        "no validation rows, since there are fewer than 500 training rows: "
        "the last epoch is the best, the temperature is 1 and every threshold 0.5"
    ]
    assert load(tmp_path, rows, 0.2, validation={"split": 0.1}).validation is not None
    found = load(tmp_path, rows, validation={"split": 0})
    assert found.validation is None
    assert "since validation.split is 0" in found.warnings[0]


def test_validation_is_at_most_5000_rows_whatever_repeats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"t{n % 300}" if n % 2 else f"u{n}" for n in range(4000)]
    completions = ["a" if text < "t5" else "b" for text in texts]
    for seed in range(5):
        made = partition(tmp_path, completions, texts)
        made.set_aside(VALIDATION, 0.3, seed, at_most=500)
        validation = made.rows(VALIDATION)
        assert 450 < len(validation) <= 500
        assert {texts[row] for row in validation}.isdisjoint(texts[row] for row in made.rows(TRAIN))


def test_many_rows_are_grouped_as_few(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is done in pieces comes to the same as at once."""
    from classifier_trainer.data.column import Column

    generator = np.random.default_rng(3)
    rows = [[f"l{at}" for at in np.flatnonzero(generator.random(4) < 0.4)] for _ in range(500)]
    made = partition(tmp_path, rows)
    chosen = generator.random(500) < 0.7
    whole = label_sets.group_by_set(made.sets, made.sets.ids, chosen)
    assert sorted(whole.rows.tolist()) == np.flatnonzero(chosen).tolist()
    ids = made.sets.ids.read()
    for found in range(len(made.sets.members)):
        part = whole.rows[whole.starts[found] : whole.starts[found + 1]]
        assert part.tolist() == np.flatnonzero(chosen & (ids == found)).tolist()
        assert all(
            sorted(rows[row]) == sorted(made.table.labels[at] for at in made.sets.members[found]) for row in part
        )
    chunks = Column.chunks
    monkeypatch.setattr(Column, "chunks", lambda self, size=37: chunks(self, size))
    again = partition(tmp_path, rows)
    assert again.sets.ids.read().tolist() == ids.tolist()
    assert label_sets.group_by_set(again.sets, again.sets.ids, chosen).rows.tolist() == whole.rows.tolist()


def test_updates_hold_every_row_once_and_depend_on_seed_and_epoch() -> None:
    lengths = [5 + index % 40 for index in range(333)]
    first = list(updates(lengths, 16, 7, 1))
    assert sorted(row for update in first for row in update) == list(range(333))
    assert all(len(update) == 16 for update in first if len(update) != 333 % 16)
    assert len(first) == 21
    assert list(updates(lengths, 16, 7, 1)) == first
    assert list(updates(lengths, 16, 7, 2)) != first
    assert list(updates(lengths, 16, 8, 1)) != first


def test_updates_have_rows_of_about_one_length() -> None:
    generator = np.random.default_rng(1)
    lengths = generator.integers(5, 200, 512).tolist()
    spread = [
        max(lengths[row] for row in update) - min(lengths[row] for row in update)
        for update in updates(lengths, 16, 1, 1)
    ]
    assert np.mean(spread) < 40  # about 190 when rows are taken as they come


@pytest.mark.parametrize("size", [3, 10, 50, 1000])
def test_sample_takes_every_kind_by_its_share(size: int) -> None:
    kinds = [b"a"] * 80 + [b"b"] * 19 + [b"c"]
    found = stratified_sample(kinds, size, 3)
    assert found == sorted(set(found))
    assert len(found) == min(size, 100)
    assert {kinds[index] for index in found} == {b"a", b"b", b"c"}
    if size == 50:
        assert sum(kinds[index] == b"a" for index in found) == pytest.approx(40, abs=2)
