"""One budget of bytes for all requests in the process, with a fair share for each namespace."""

from types import TracebackType
from typing import Final, Self

from classifier_operator.gateway.metrics import HELD_BYTES

REQUEST_BYTES: Final = 16 * 1024
"""Counted for each request beside its head and body: its connection, task and parser."""


class OverBudgetError(Exception):
    """There is no room for more bytes of this namespace."""


class Budget:
    """Bytes by namespace. A namespace may have as much as if every one that has any, and one more, had the same."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._by_namespace: dict[str, int] = {}

    @property
    def used(self) -> int:
        """Bytes that are taken."""
        return self._used

    def take(self, namespace: str, count: int) -> None:
        """Takes `count` bytes.

        Raises:
            OverBudgetError: they are not to be had; nothing was taken.
        """
        mine = self._by_namespace.get(namespace, 0) + count
        if self._used + count > self._total or mine > self._total // (len(self._by_namespace) + 1):
            raise OverBudgetError
        self._by_namespace[namespace] = mine
        self._set(self._used + count)

    def give(self, namespace: str, count: int) -> None:
        """Gives bytes back."""
        if not count:
            return
        left = self._by_namespace[namespace] - count
        if left:
            self._by_namespace[namespace] = left
        else:
            del self._by_namespace[namespace]
        self._set(self._used - count)

    def account(self, namespace: str) -> "Account":
        """The bytes of one request."""
        return Account(self, namespace)

    def _set(self, used: int) -> None:
        self._used = used
        HELD_BYTES.set(used)


class Account:
    """Gives back at the end of a `with` what one request took."""

    __slots__ = ("_budget", "_namespace", "_taken")

    def __init__(self, budget: Budget, namespace: str) -> None:
        self._budget = budget
        self._namespace = namespace
        self._taken = 0

    def take(self, count: int) -> None:
        """Takes more. Raises OverBudgetError."""
        self._budget.take(self._namespace, count)
        self._taken += count

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._budget.give(self._namespace, self._taken)
        self._taken = 0
