"""A load generator that costs little: one thread, raw sockets, one text a request.

It runs beside the server that it measures, on the same few cores, so what it uses itself is reported with every result.
"""

from __future__ import annotations

import json
import selectors
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

Address = tuple[str, int]

_RECEIVED = 1 << 18
_LOST = 0
"""In place of a status: the connection ended before the answer did."""


def http_request(path: str, body: bytes, *, headers: Iterable[str] = (), close: bool = False) -> bytes:
    """A whole POST of JSON."""
    lines = [f"POST {path} HTTP/1.1", "Host: bench", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += [*headers, *(["Connection: close"] if close else [])]
    return "\r\n".join([*lines, "", ""]).encode() + body


def json_request(path: str, body: object, *, close: bool = False) -> bytes:
    """The same from an object."""
    return http_request(path, json.dumps(body).encode(), close=close)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; status 0: nothing whole."""

    status: int
    body: bytes = b""
    closing: bool = False


@dataclass
class Load:
    """What a run of requests was answered."""

    seconds: float = 0.0
    statuses: Counter[int] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    """Seconds of each answer of status 200."""
    own_cpu: float = 0.0
    """Seconds of CPU of the generator itself."""
    refused: int = 0
    """Connections that were not opened; such a request was never sent."""
    bodies: list[bytes] = field(default_factory=list)
    """Of the answers that are kept."""

    @property
    def sent(self) -> int:
        """Requests that reached the server."""
        return self.statuses.total()

    @property
    def lost(self) -> int:
        """Requests without a whole answer."""
        return self.statuses[_LOST]

    @property
    def server_errors(self) -> int:
        """Answers of 500 and more."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    @property
    def per_second(self) -> float:
        """Answers of status 200 a second."""
        return self.statuses[200] / self.seconds if self.seconds else 0.0

    @property
    def own_cpu_share(self) -> float:
        """CPUs that the generator used."""
        return self.own_cpu / self.seconds if self.seconds else 0.0

    def quantile(self, share: float) -> float:
        """Seconds that this share of the answers took at most; 0 without answers."""
        ordered = sorted(self.latencies)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0.0


class _Connection:
    """One exchange after another on one socket."""

    def __init__(self, address: Address) -> None:
        self.socket = socket.create_connection(address, timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self.busy = False
        self._buffer = bytearray()

    def send(self, request: bytes, due: float | None = None) -> bool:
        """Whether it went out; its latency counts from when it was `due`, else from now."""
        self.began, self.busy = time.perf_counter() if due is None else due, True
        try:
            self.socket.sendall(request)
        except OSError:
            return False
        return True

    def receive(self) -> Answer | None:
        """The answer, once it is whole; to be called when there is something to read."""
        try:
            data = self.socket.recv(_RECEIVED)
        except OSError:
            return Answer(_LOST, closing=True)
        if not data:
            return Answer(_LOST, closing=True)
        self._buffer += data
        head, found, rest = self._buffer.partition(b"\r\n\r\n")
        if not found:
            return None
        lines = bytes(head).lower().split(b"\r\n")
        length = next((int(line[15:]) for line in lines if line.startswith(b"content-length:")), 0)
        if len(rest) < length:
            return None
        answer = Answer(int(lines[0].split()[1]), bytes(rest[:length]), b"connection: close" in lines)
        self._buffer = bytearray(rest[length:])
        self.busy = False
        return answer

    def close(self) -> None:
        self.socket.close()


def closed_loop(
    address: Address,
    requests: Sequence[bytes],
    *,
    clients: int,
    seconds: float,
    warm_up: float = 0.0,
    kept_bodies: int = 0,
    until: Callable[[], bool] = lambda: False,
) -> Load:
    """`clients` callers, each of whom asks again as soon as it is answered, for `warm_up` seconds that do not count and
    `seconds` that do, or until `until` says so. Every caller starts elsewhere in `requests`."""
    load = Load()
    turns: list[Iterator[bytes]] = [_from(requests, caller * len(requests) // clients) for caller in range(clients)]
    with selectors.DefaultSelector() as selector:

        def ask(caller: int, connection: _Connection | None) -> None:
            while True:
                if connection is None:
                    try:
                        connection = _Connection(address)
                    except OSError:
                        load.refused += 1
                        return
                    selector.register(connection.socket, selectors.EVENT_READ, (caller, connection))
                if connection.send(next(turns[caller])):
                    return
                load.statuses[_LOST] += 1
                _drop(selector, connection)
                connection = None

        for caller in range(clients):
            ask(caller, None)
        begun = time.perf_counter()
        cpu = time.process_time()
        counted = warm_up == 0
        while selector.get_map() and not until():
            now = time.perf_counter()
            if not counted and now - begun >= warm_up:
                load.statuses.clear()
                load.latencies.clear()
                begun, cpu, counted = now, time.process_time(), True
            elif counted and now - begun >= seconds:
                break
            for key, _ in selector.select(0.05):
                caller, connection = key.data
                answer = connection.receive()
                if answer is None:
                    continue
                _note(load, answer, connection, kept_bodies)
                if answer.closing:
                    _drop(selector, connection)
                ask(caller, None if answer.closing else connection)
        load.seconds = time.perf_counter() - begun
        load.own_cpu = time.process_time() - cpu
        for key in list(selector.get_map().values()):
            key.data[1].close()
    return load


def open_loop(
    address: Address,
    requests: Callable[[], bytes],
    *,
    rate: float,
    seconds: float,
    patience: float = 60.0,
    seed: int = 0,
) -> Load:
    """Requests that come `rate` times a second at random moments, whether or not those before are answered. Latencies
    count from those moments. Answers are awaited for `patience` seconds after the last request; what is then missing
    counts as lost."""
    import random

    draw, load = random.Random(seed), Load()
    idle: list[_Connection] = []
    with selectors.DefaultSelector() as selector:
        begun, cpu = time.perf_counter(), time.process_time()
        due, end, waiting = begun, begun + seconds, 0

        def send() -> int:
            while True:
                fresh = not idle
                try:
                    connection = _Connection(address) if fresh else idle.pop()
                except OSError:
                    load.refused += 1
                    return 0
                if fresh:
                    selector.register(connection.socket, selectors.EVENT_READ, connection)
                if connection.send(requests(), due):
                    return 1
                _drop(selector, connection)
                if fresh:
                    load.statuses[_LOST] += 1
                    return 0

        while True:
            now = time.perf_counter()
            while due <= now and due < end:
                waiting += send()
                due += draw.expovariate(rate)
            if due >= end and (waiting == 0 or now > end + patience):
                break
            for key, _ in selector.select(max(min(due - now, 0.05), 0.0) if due < end else 0.05):
                connection = key.data
                busy = connection.busy
                answer = connection.receive()
                if answer is None:
                    continue
                if not busy:  # the server closed a connection that nobody used
                    idle.remove(connection)
                    _drop(selector, connection)
                    continue
                waiting -= 1
                _note(load, answer, connection, 0)
                if answer.closing:
                    _drop(selector, connection)
                else:
                    idle.append(connection)
        load.statuses[_LOST] += waiting
        load.seconds, load.own_cpu = time.perf_counter() - begun, time.process_time() - cpu
        for key in list(selector.get_map().values()):
            key.data.close()
    return load


def once(address: Address, request: bytes) -> Answer:
    """One request on a connection of its own; a status of 0 where there is no answer."""
    try:
        connection = _Connection(address)
    except OSError:
        return Answer(_LOST)
    try:
        if not connection.send(request):
            return Answer(_LOST)
        while (answer := connection.receive()) is None:
            pass
        return answer
    finally:
        connection.close()


def _from(requests: Sequence[bytes], start: int) -> Iterator[bytes]:
    while True:
        yield from requests[start:]
        yield from requests[:start]


def _note(load: Load, answer: Answer, connection: _Connection, kept_bodies: int) -> None:
    load.statuses[answer.status] += 1
    if answer.status == 200:
        load.latencies.append(time.perf_counter() - connection.began)
    if len(load.bodies) < kept_bodies:
        load.bodies.append(answer.body)


def _drop(selector: selectors.BaseSelector, connection: _Connection) -> None:
    selector.unregister(connection.socket)
    connection.close()
