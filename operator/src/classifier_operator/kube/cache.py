"""What the API server last said: trimmed objects, never older than what was seen before."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from classifier_operator.kube.client import Json
from classifier_operator.kube.resources import Resource

ObjectKey = tuple[str, str]
"""Namespace and name."""

Trim = Callable[[Json], Json]
Index = Callable[[Json], Iterable[str]]
Listener = Callable[[Resource, Json | None, Json | None], None]

_TOMBSTONES: Final = 20_000


def version(value: Json) -> int:
    """The resourceVersion as a number, comparable within one resource; 0 where there is none."""
    text = value["metadata"].get("resourceVersion") or "0"
    return int(text) if text.isdigit() else 0


def key_of(value: Json) -> ObjectKey:
    return value["metadata"]["namespace"], value["metadata"]["name"]


class Store:
    """The objects of one resource, found by namespace and name and by the values of one index."""

    def __init__(self, resource: Resource, trim: Trim, index: Index, listener: Listener) -> None:
        self.resource = resource
        self._trim = trim
        self._index = index
        self._listener = listener
        self._objects: dict[ObjectKey, Json] = {}
        self._by_value: dict[str, set[ObjectKey]] = {}
        self._tombstones: OrderedDict[ObjectKey, int] = OrderedDict()
        self.complete = asyncio.Event()
        """Set when a first list has been finished."""

    def __len__(self) -> int:
        return len(self._objects)

    def get(self, namespace: str, name: str) -> Json | None:
        return self._objects.get((namespace, name))

    def values(self) -> Iterator[Json]:
        return iter(list(self._objects.values()))

    def find(self, value: str) -> list[Json]:
        """The objects whose index holds `value`, by name."""
        return [self._objects[key] for key in sorted(self._by_value.get(value, ()))]

    def put(self, value: Json, *, quiet: bool = False) -> bool:
        """Takes an object in, unless what is here (or was deleted here) is as new; says whether it did.

        Args:
            quiet: tell nobody, since whoever wrote it looks again anyway.
        """
        key, new = key_of(value), version(value)
        old = self._objects.get(key)
        if old is not None and version(old) >= new:
            return False
        if self._tombstones.get(key, -1) >= new:
            return False
        trimmed = self._trim(value)
        self._forget(key, old)
        self._objects[key] = trimmed
        for item in self._index(trimmed):
            self._by_value.setdefault(item, set()).add(key)
        if not quiet:
            self._listener(self.resource, old, trimmed)
        return True

    def remove(self, value: Json) -> bool:
        """Takes an object out, unless what is here is newer; says whether it did."""
        key, gone = key_of(value), version(value)
        old = self._objects.get(key)
        self._bury(key, gone)
        if old is None or version(old) > gone:
            return False
        self._forget(key, old)
        del self._objects[key]
        self._listener(self.resource, old, None)
        return True

    def finish_list(self, listed: set[ObjectKey], at: int) -> None:
        """Takes out what a list of version `at` did not contain and is not newer than it."""
        for key, value in list(self._objects.items()):
            if key not in listed and version(value) <= at:
                self.remove({"metadata": {**value["metadata"], "resourceVersion": str(max(at, version(value)))}})
        self.complete.set()

    def _bury(self, key: ObjectKey, at: int) -> None:
        self._tombstones[key] = max(at, self._tombstones.pop(key, 0))
        while len(self._tombstones) > _TOMBSTONES:
            self._tombstones.popitem(last=False)

    def _forget(self, key: ObjectKey, old: Json | None) -> None:
        if old is None:
            return
        for item in self._index(old):
            keys = self._by_value.get(item)
            if keys is not None:
                keys.discard(key)
                if not keys:
                    del self._by_value[item]


def controller_of(value: Json) -> dict[str, Any] | None:
    """The owner reference of the object's controller, if it has one."""
    for reference in value["metadata"].get("ownerReferences") or ():
        if reference.get("controller"):
            found: dict[str, Any] = reference
            return found
    return None
