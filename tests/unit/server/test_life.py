"""The process: it listens before it loads, drains on SIGTERM, and loses no request on the way."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from support.server_process import ServerProcess, running

REQUEST = json.dumps({"input": "a b c"}).encode()


@contextlib.contextmanager
def fake_server(
    *arguments: str, monkeypatch: pytest.MonkeyPatch, load_seconds: float = 0, batch_seconds: float = 0
) -> Iterator[ServerProcess]:
    monkeypatch.setenv("FAKE_LOAD_SECONDS", str(load_seconds))
    monkeypatch.setenv("FAKE_BATCH_SECONDS", str(batch_seconds))
    python = ("-m", "support.fake_server")
    with running(["--model", "/fake/model", *arguments], python=python) as server:
        server.wait_until_listening()
        yield server


def received(connection: socket.socket) -> bytes:
    return b"".join(iter(lambda: connection.recv(65536), b""))


@dataclass
class Callers:
    """Threads that send requests, each on a connection of its own, until they are refused."""

    server: ServerProcess
    answers: list[tuple[float, bytes]] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    refused_at: list[float] = field(default_factory=list)

    def start(self, count: int) -> list[threading.Thread]:
        threads = [threading.Thread(target=self._call) for _ in range(count)]
        for thread in threads:
            thread.start()
        return threads

    def _call(self) -> None:
        head = f"POST /v1/classification HTTP/1.1\r\nHost: s\r\nContent-Length: {len(REQUEST)}\r\n"
        request = (head + "Content-Type: application/json\r\nConnection: close\r\n\r\n").encode() + REQUEST
        while True:
            begun = time.monotonic()
            try:
                connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=10)
            except ConnectionRefusedError:
                self.refused_at.append(begun)
                return
            try:
                with connection:
                    connection.sendall(request)
                    answer = received(connection)
            except OSError as error:
                self.lost.append(repr(error))
            else:
                if answer.startswith(b"HTTP/1.1 200") and b'"probs"' in answer:
                    self.answers.append((begun, answer))
                else:
                    self.lost.append(repr(answer[:200]))


@pytest.mark.parametrize("hook", [False, True], ids=["SIGTERM", "preStop and SIGTERM"])
def test_no_request_is_lost_around_the_end(monkeypatch: pytest.MonkeyPatch, hook: bool) -> None:
    drain_seconds = 1.0
    arguments = ("--drain-seconds", str(drain_seconds))
    with (
        fake_server(*arguments, monkeypatch=monkeypatch, batch_seconds=0.004) as server,
        httpx.Client() as probe,  # made beforehand: it takes its time, and the drain is short
    ):
        server.wait_until_ready()
        callers = Callers(server)
        threads = callers.start(8)
        time.sleep(0.3)
        ended = time.monotonic()
        if hook:
            assert probe.get(f"{server.internal}/drain").json() == {"status": "Draining"}
            assert probe.get(f"{server.internal}/ready").status_code == 503
        server.terminate()
        time.sleep(0.05)
        ready = probe.get(f"{server.api}/ready")
        assert (ready.status_code, ready.json()["status"]) == (503, "Draining")
        assert ready.headers["connection"] == "close"
        assert probe.get(f"{server.internal}/health").status_code == 200
        for thread in threads:
            thread.join(30)
        assert callers.lost == []
        assert server.wait() == 0
        assert min(callers.refused_at) >= ended + drain_seconds
        late = [answer for begun, answer in callers.answers if begun > ended + 0.2]
        assert len(late) > 20
        assert all(b"\r\nconnection: close\r\n" in answer for answer in late)


def test_requests_in_the_queue_are_finished_after_the_listener_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server("--drain-seconds", "0", monkeypatch=monkeypatch, batch_seconds=0.3) as server:
        server.wait_until_ready()
        answers: list[int] = []
        # 64 tokens a batch, so that these are three batches of 0.3 s
        body = {"input": ["a " * 30] * 6}
        thread = threading.Thread(
            target=lambda: answers.append(httpx.post(f"{server.api}/v1/classification", json=body).status_code)
        )
        thread.start()
        while httpx.get(f"{server.internal}/stats").json()["inFlight"] == 0:
            time.sleep(0.01)
        server.terminate()
        assert server.wait() == 0
        thread.join(10)
        assert answers == [200]


def test_ports_answer_while_the_model_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch=monkeypatch, load_seconds=1.5) as server:
        ready = httpx.get(f"{server.internal}/ready")
        while ready.json().get("message") == "starting":  # the loader's thread has not come to speak
            ready = httpx.get(f"{server.internal}/ready")
        assert (ready.status_code, ready.json()["message"]) == (503, "pretending to load")
        assert httpx.get(f"{server.internal}/health").status_code == 200
        assert httpx.get(f"{server.internal}/stats").json() == {
            "inFlight": 0, "queue": 0, "secondsSinceLastCompletion": None, "secondsSinceReady": None,
        }  # fmt: skip
        assert httpx.get(f"{server.api}/ready").status_code == 503
        assert httpx.post(f"{server.api}/v1/classification", json={"input": "a"}).status_code == 503
        assert "classifier_ready 0.0" in httpx.get(f"{server.internal}/metrics").text
        server.wait_until_ready()
        assert httpx.post(f"{server.api}/v1/classification", json={"input": "a"}).status_code == 200
        ready_seconds = httpx.get(f"{server.internal}/stats").json()["secondsSinceReady"]
        assert 0 <= ready_seconds < httpx.get(f"{server.internal}/stats").json()["secondsSinceReady"]
        assert "classifier_ready 1.0" in httpx.get(f"{server.internal}/metrics").text
        assert httpx.get(f"{server.internal}/nowhere").status_code == 404


def test_sigterm_while_loading_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_server(monkeypatch=monkeypatch, load_seconds=60) as server:
        assert httpx.get(f"{server.internal}/ready").status_code == 503
        server.terminate()
        assert server.wait(5) == 0


def test_a_lost_device_ends_the_process_though_a_caller_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_BROKEN", "1")
    with fake_server(monkeypatch=monkeypatch) as server:
        server.wait_until_ready()
        assert httpx.post(f"{server.api}/v1/classification", json={"input": "a"}).status_code == 500
        assert server.wait() == 1
        assert server.termination_log.read_text() == "the GPU failed: it is a fake; the process starts anew."


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    """One server for the tests that only talk to it."""
    environment = pytest.MonkeyPatch()
    with fake_server(monkeypatch=environment) as shared:
        shared.wait_until_ready()
        yield shared
    environment.undo()


def exchange(server: ServerProcess, sent: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(sent)
        return received(connection)


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", 400),
        (b"GET /h\xc3\xa4 HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"GET /health HTTP/1.1\r\nHost: s\r\nX: " + b"a" * 20_000, 431),
        (b"GET /health HTTP/1.1\r\nHost: s\r\nConnection: close\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431),
        (b"GET /health HTTP/1.1\r\nHost: s\r\nConnection: close\r\nX: " + b"a" * 10_000 + b"\r\n\r\n", 200),
        (b"GET /" + b"a" * 70_000, 431),
        (b"GET /health HTTP/1.0\r\n\r\n", 200),
    ],
)
def test_heads_of_requests(server: ServerProcess, sent: bytes, status: int) -> None:
    answer = exchange(server, sent)
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"content-type: application/json" in head.lower()
    document = json.loads(body)
    assert document["error"]["code"] == status if status != 200 else document["status"] == "Alive"


def test_an_oversized_body_gets_its_answer(server: ServerProcess) -> None:
    body = b'{"input": "' + b"a" * (12 * 1024 * 1024) + b'"}'
    response = httpx.post(f"{server.api}/v1/classification", content=body, headers={"content-type": "application/json"})
    assert response.status_code == 413
    assert response.headers["connection"] == "close"


def test_the_socket_filter_is_in_force_while_closing() -> None:
    from classifier_server.sockets import listen, refuse_new

    with listen("127.0.0.1", 0) as listener:
        address = listener.getsockname()
        with socket.create_connection(address) as early:
            refuse_new(listener)
            accepted, _ = listener.accept()  # it was in the backlog before
            with accepted:
                early.sendall(b"x")
                assert accepted.recv(1) == b"x"
        with pytest.raises(TimeoutError), socket.create_connection(address, timeout=0.3):
            pass


def test_probes_do_not_count_as_activity(server: ServerProcess) -> None:
    before = httpx.get(f"{server.internal}/stats").json()["secondsSinceLastCompletion"]
    for path in ("/health", "/ready", "/metrics", "/docs", "/openapi.json"):
        assert httpx.get(f"{server.api}{path}").status_code == 200
    assert httpx.post(f"{server.api}/v1/classification", json={}).status_code == 422
    after = httpx.get(f"{server.internal}/stats").json()["secondsSinceLastCompletion"]
    assert before is None is after
    assert httpx.post(f"{server.api}/v1/classification", json={"input": "a"}).status_code == 200
    assert httpx.get(f"{server.internal}/stats").json()["secondsSinceLastCompletion"] < 5


def test_port_in_use(server: ServerProcess) -> None:
    arguments = ["--model", "/fake/model", "--internal-port", str(server.internal_port)]
    with running(arguments, python=("-m", "support.fake_server")) as second:
        assert second.wait() == 1
        sentence = f"Port {server.internal_port} cannot be opened: Address already in use."
        assert second.output().strip() == second.termination_log.read_text() == sentence
