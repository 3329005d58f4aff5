"""The load generator counts what a server does to it."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from bench.load import Address, closed_loop, http_request, json_request, once, open_loop

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
FULL = b"HTTP/1.1 429 Too Many\r\ncontent-length: 0\r\n\r\n"
CLOSING = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
REQUEST = json_request("/x", {"input": "a"})

Behave = Callable[[int], bytes | None]
"""What the n-th request of a server is answered; None: the connection is closed without an answer."""


@contextmanager
def serving(behave: Behave, *, parts: int = 1) -> Iterator[tuple[Address, list[bytes]]]:
    """A server that answers in so many pieces, and the requests it got."""
    got: list[bytes] = []
    lock = threading.Lock()

    def talk(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):  # whoever asked may have left
            while True:
                data = b""
                while b"\r\n\r\n" not in data or len(data.partition(b"\r\n\r\n")[2]) < 14:
                    piece = connection.recv(65536)
                    if not piece:
                        return
                    data += piece
                with lock:
                    answer = behave(len(got))
                    got.append(data)
                if answer is None:
                    return
                step = -(-len(answer) // parts)
                for at in range(0, len(answer), step):
                    connection.sendall(answer[at : at + step])
                    if parts > 1:
                        time.sleep(0.002)
                if answer is CLOSING:
                    return

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=talk, args=(connection,), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname(), got
        listener.shutdown(socket.SHUT_RDWR)


def test_requests_are_whole() -> None:
    assert http_request("/a", b"{}", close=True) == (
        b"POST /a HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: 2\r\n"
        b"Connection: close\r\n\r\n{}"
    )


@pytest.mark.parametrize("parts", [1, 3])
def test_callers_ask_again_as_soon_as_they_are_answered(parts: int) -> None:
    with serving(lambda _: OK, parts=parts) as (address, got):
        load = closed_loop(address, [REQUEST], clients=3, seconds=0.3, kept_bodies=2)
    assert load.statuses[200] == load.sent == len(load.latencies) > 3
    assert load.sent <= len(got) <= load.sent + 3
    assert load.bodies == [b"ok", b"ok"]
    assert load.per_second == load.statuses[200] / load.seconds
    assert 0 < load.quantile(0.5) <= load.quantile(1.0)


def test_what_comes_before_does_not_count() -> None:
    with serving(lambda number: FULL if number < 5 else OK) as (address, _):
        load = closed_loop(address, [REQUEST], clients=1, seconds=0.2, warm_up=0.2)
    assert load.statuses[429] == 0
    assert load.statuses[200] > 0


def test_a_connection_that_ends_without_an_answer_is_a_loss() -> None:
    with serving(lambda number: None if number % 4 == 3 else OK) as (address, got):
        load = closed_loop(address, [REQUEST], clients=1, seconds=0.2)
    assert load.lost == pytest.approx(len(got) / 4, abs=1)
    assert load.lost > 0


def test_a_closing_answer_is_no_loss() -> None:
    with serving(lambda _: CLOSING) as (address, _):
        load = closed_loop(address, [REQUEST], clients=2, seconds=0.2)
    assert load.lost == 0
    assert load.statuses[200] > 2


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = listener.getsockname()
    load = closed_loop(address, [REQUEST], clients=2, seconds=5)
    assert (load.refused, load.sent, load.lost) == (2, 0, 0)
    assert once(address, REQUEST).status == 0


def test_an_open_loop_does_not_wait_for_answers() -> None:
    gate = threading.Event()
    with serving(lambda _: OK if gate.wait(10) else None) as (address, got):
        threading.Timer(0.5, gate.set).start()
        load = open_loop(address, lambda: REQUEST, rate=100, seconds=0.4)
    assert len(got) == load.sent == load.statuses[200]
    assert 20 < load.sent < 70
    assert load.quantile(1.0) > 0.3


def test_an_answer_that_never_comes_is_a_loss() -> None:
    gate = threading.Event()
    with serving(lambda number: OK if number or gate.wait(10) else None) as (address, _):
        load = open_loop(address, lambda: REQUEST, rate=100, seconds=0.1, patience=0.2)
        gate.set()
    assert load.lost >= 1


def test_server_errors_are_counted() -> None:
    broken = b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n"
    with serving(lambda number: broken if number % 2 else FULL) as (address, _):
        load = open_loop(address, lambda: REQUEST, rate=100, seconds=0.2)
    assert load.server_errors == load.statuses[503] > 0
    assert load.statuses[429] > 0
