"""Gives each deployment a port of the gateway. The Leases remember it, so that a restart changes nothing."""

from collections.abc import Iterable

from classifier_operator.wire.wake import FIRST_PORT, LAST_PORT


class PortAllocator:
    """One port for each deployment, by UID, and no port for two.

    A port is taken while a Lease names it or while it is promised to a deployment whose Lease is not written yet. Ports
    are given in turn, so that a free one rests as long as there are others.

    Args:
        first: the lowest port to give.
        last: the highest port to give.
    """

    def __init__(self, first: int = FIRST_PORT, last: int = LAST_PORT) -> None:
        self._first = first
        self._last = last
        self._next = first
        self._given: dict[str, int] = {}
        self._named: dict[str, int] = {}
        self._holders: dict[int, set[str]] = {}

    def __contains__(self, uid: str) -> bool:
        return uid in self._given or uid in self._named

    def restore(self, leases: Iterable[tuple[str, int]]) -> None:
        """Takes over what the Leases say at the start: UID and port of each, oldest first.

        Where two name one port, the first keeps it and the other gets a new one.
        """
        highest = self._first - 1
        for uid, port in leases:
            self.named(uid, port)
            highest = max(highest, port if self._first <= port <= self._last else highest)
        self._next = self._following(highest)

    def named(self, uid: str, port: int) -> None:
        """A Lease says that this deployment has this port."""
        before = self._named.get(uid)
        if before == port:
            return
        self._named[uid] = port
        if before is not None:
            self._release(uid, before)
        alone = not self._holders.get(port)
        self._holders.setdefault(port, set()).add(uid)
        if alone and uid not in self._given and self._first <= port <= self._last:
            self._given[uid] = port

    def unnamed(self, uid: str) -> None:
        """The Lease of this deployment is gone; what was promised to it stays promised."""
        port = self._named.pop(uid, None)
        if port is not None:
            self._release(uid, port)

    def port(self, uid: str) -> int | None:
        """The port of this deployment, always the same; None: all are taken."""
        known = self._given.get(uid)
        if known is not None:
            return known
        port = self._next
        for _ in range(self._last - self._first + 1):
            if not self._holders.get(port):
                self._given[uid] = port
                self._holders.setdefault(port, set()).add(uid)
                self._next = self._following(port)
                return port
            port = self._following(port)
        return None

    def forget(self, uid: str) -> None:
        """The deployment is gone and its port has rested: it may be given away once no Lease names it."""
        port = self._given.pop(uid, None)
        if port is not None:
            self._release(uid, port)

    def uids(self) -> frozenset[str]:
        """Every deployment that has a port or that a Lease names one for."""
        return frozenset(self._given) | frozenset(self._named)

    def _release(self, uid: str, port: int) -> None:
        if port in (self._given.get(uid), self._named.get(uid)):
            return
        holders = self._holders.get(port)
        if holders is not None:
            holders.discard(uid)
            if not holders:
                del self._holders[port]

    def _following(self, port: int) -> int:
        return port + 1 if port < self._last else self._first
