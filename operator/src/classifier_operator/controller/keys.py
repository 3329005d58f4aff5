"""What the queue holds: an object of ours, by kind, namespace and name."""

from typing import NamedTuple


class Key(NamedTuple):
    """An object of ours."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}"
