"""The cache is never older than what was seen before."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.kube.cache import Store
from classifier_operator.kube.resources import BATCH_JOBS

Json = dict[str, Any]
Change = tuple[int | None, int | None]


def an_object(version: int, name: str = "a", group: str = "x") -> Json:
    return {"metadata": {"namespace": "ns", "name": name, "resourceVersion": str(version)}, "group": group}


def number(value: Json | None) -> int | None:
    return int(value["metadata"]["resourceVersion"]) if value else None


@pytest.fixture
def changes() -> list[Change]:
    return []


@pytest.fixture
def store(changes: list[Change]) -> Store:
    return Store(
        BATCH_JOBS,
        lambda value: value,
        lambda value: (value["group"],),
        lambda _, old, new: changes.append((number(old), number(new))),
    )


def test_newer_replaces_and_older_does_not(store: Store, changes: list[Change]) -> None:
    assert store.put(an_object(5))
    assert not store.put(an_object(4)), "an own write that comes after its watch event"
    assert not store.put(an_object(5))
    assert store.put(an_object(6))
    assert changes == [(None, 5), (5, 6)]


def test_versions_compare_as_numbers(store: Store) -> None:
    store.put(an_object(9))
    assert store.put(an_object(10))


def test_what_was_deleted_does_not_come_back(store: Store, changes: list[Change]) -> None:
    store.put(an_object(5))
    assert store.remove(an_object(8))
    assert not store.put(an_object(7)), "the answer to a write of ours, late"
    assert store.put(an_object(9)), "a new object of that name"
    assert changes == [(None, 5), (5, None), (None, 9)]


def test_a_late_deletion_does_not_remove_the_next_object_of_that_name(store: Store) -> None:
    store.put(an_object(9))
    assert not store.remove(an_object(8))
    assert store.get("ns", "a") is not None


def test_a_finished_list_removes_what_it_does_not_contain(store: Store, changes: list[Change]) -> None:
    for version, name in ((1, "stays"), (2, "gone"), (30, "made after the list")):
        store.put(an_object(version, name))
    changes.clear()
    assert not store.complete.is_set()
    store.finish_list({("ns", "stays")}, 20)
    assert store.complete.is_set()
    assert {value["metadata"]["name"] for value in store.values()} == {"stays", "made after the list"}
    assert changes == [(2, None)]


def test_the_index_follows_changes(store: Store) -> None:
    store.put(an_object(1, "b"))
    store.put(an_object(2, "a"))
    assert [value["metadata"]["name"] for value in store.find("x")] == ["a", "b"]
    store.put(an_object(3, "a", group="y"))
    assert [value["metadata"]["name"] for value in store.find("x")] == ["b"]
    assert [value["metadata"]["name"] for value in store.find("y")] == ["a"]
    store.remove(an_object(4, "a"))
    assert store.find("y") == []
