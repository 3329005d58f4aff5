"""Ports of the gateway: stable, never one for two, also over restarts and whatever the Leases say."""

from __future__ import annotations

import random

import pytest

from classifier_operator.controller.ports import PortAllocator
from classifier_operator.wire.wake import FIRST_PORT, LAST_PORT


def test_ports_are_given_in_turn_and_stay() -> None:
    ports = PortAllocator(10, 13)
    assert [ports.port(uid) for uid in ("a", "b", "a")] == [10, 11, 10]
    ports.forget("a")
    assert "a" not in ports
    assert [ports.port(uid) for uid in ("c", "d", "e", "f")] == [12, 13, 10, None]
    ports.forget("b")
    assert ports.port("f") == 11


def test_the_range_is_that_of_the_wire() -> None:
    assert PortAllocator().port("a") == FIRST_PORT
    ports = PortAllocator()
    ports.restore([("z", LAST_PORT)])
    assert ports.port("a") == FIRST_PORT


def test_after_a_restart_the_leases_tell_the_ports_and_where_to_go_on() -> None:
    ports = PortAllocator(10, 19)
    ports.restore([("a", 12), ("b", 15)])
    assert [ports.port(uid) for uid in ("b", "a", "c", "d")] == [15, 12, 16, 17]
    assert ports.uids() == {"a", "b", "c", "d"}


def test_a_port_is_taken_as_long_as_a_lease_names_it() -> None:
    ports = PortAllocator(10, 11)
    assert ports.port("a") == 10
    ports.named("a", 10)
    ports.forget("a")
    assert ports.port("b") == 11
    assert ports.port("c") is None
    ports.unnamed("a")
    assert ports.port("c") == 10


def test_a_lease_that_somebody_deletes_costs_no_port() -> None:
    ports = PortAllocator(10, 19)
    ports.port("a")
    ports.named("a", 10)
    ports.unnamed("a")
    assert [ports.port("a"), ports.port("b")] == [10, 11]


def test_of_two_leases_with_one_port_the_second_gets_another() -> None:
    ports = PortAllocator(10, 19)
    ports.restore([("a", 10), ("b", 10)])
    assert ports.port("a") == 10
    assert ports.port("b") == 11
    ports.named("b", 11)
    ports.forget("a")
    ports.unnamed("a")
    assert ports.port("b") == 11


def test_a_lease_that_somebody_changes_takes_no_port_from_another() -> None:
    ports = PortAllocator(10, 19)
    for uid in ("a", "b"):
        ports.named(uid, ports.port(uid) or 0)
    ports.named("a", 11)
    assert (ports.port("a"), ports.port("b")) == (10, 11)
    ports.named("a", 12)
    assert ports.port("c") == 13, "12 stands in a Lease"
    ports.named("a", 10)
    assert [ports.port(uid) for uid in ("d", "e", "f", "g", "h", "i", "j")] == [14, 15, 16, 17, 18, 19, 12]


def test_a_port_out_of_range_is_not_given() -> None:
    ports = PortAllocator(10, 19)
    ports.restore([("a", 99)])
    assert ports.port("a") == 10


class World:
    """The API server and an operator that allocates, in steps of any order."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.first, self.last = 100, 100 + self.random.randint(2, 12)
        self.leases: dict[str, int] = {}
        """What the API server holds: it outlives the operator."""
        self.alive: list[str] = []
        self.made = 0
        self.start()

    def start(self) -> None:
        """An operator that has read all Leases."""
        self.ports = PortAllocator(self.first, self.last)
        self.cache = dict(self.leases)
        self.ports.restore(self.cache.items())
        self.unseen: list[tuple[str, int | None]] = []
        """What the watch has not told yet, in its order."""
        self.said: dict[str, int] = {}

    def step(self) -> None:
        name = self.random.choice(
            ["create", "ask", "ask", "write", "write", "see", "see", "delete", "sweep", "restart"]
        )
        getattr(self, name)()
        assert len(set(self.leases.values())) == len(self.leases), f"two Leases name one port after {name}"

    def create(self) -> None:
        self.made += 1
        self.alive.append(f"uid-{self.made}")

    def delete(self) -> None:
        if self.alive and self.random.random() < 0.7:
            self.alive.remove(self.random.choice(self.alive))

    def ask(self) -> None:
        for uid in self.random.sample(self.alive, min(2, len(self.alive))):
            port = self.ports.port(uid)
            assert self.said.get(uid, port) == port, "it moved"
            if port is None:
                taken = {*self.said.values(), *self.leases.values(), *self.cache.values()}
                assert taken >= set(range(self.first, self.last + 1)), "there is a free one"
                continue
            assert self.first <= port <= self.last
            others = (
                other for each in (self.leases, self.said, self.cache) for name, other in each.items() if name != uid
            )
            assert port not in others
            self.said[uid] = port

    def write(self) -> None:
        """Of the deployment whose turn it is, be it alive or just gone; the answer may be lost."""
        uid = self.random.choice(list(self.said) or [""])
        if uid and uid not in self.leases:
            self.leases[uid] = self.said[uid]
            self.unseen.append((uid, self.said[uid]))
            if self.random.random() < 0.5:
                self.ports.named(uid, self.said[uid])
                self.cache[uid] = self.said[uid]

    def see(self) -> None:
        if not self.unseen:
            return
        uid, port = self.unseen.pop(0)
        if port is None:
            self.ports.unnamed(uid)
            self.cache.pop(uid, None)
        else:
            self.ports.named(uid, port)
            self.cache[uid] = port

    def sweep(self) -> None:
        """What the janitor does when the ports of those that are gone have rested: by then the watch has told all."""
        while self.unseen:
            self.see()
        for uid in self.ports.uids() - set(self.alive):
            if self.leases.pop(uid, None) is not None:
                self.unseen.append((uid, None))
            self.ports.forget(uid)
            self.said.pop(uid, None)

    def restart(self) -> None:
        if self.random.random() < 0.3:
            self.start()


@pytest.mark.parametrize("seed", range(60))
def test_never_one_port_for_two(seed: int) -> None:
    """Deployments come and go, Leases are written late or not at all, are seen late, and the operator restarts."""
    world = World(seed)
    for _ in range(400):
        world.step()
    assert world.made > 10
