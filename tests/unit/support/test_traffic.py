"""What the counting client calls a right answer, an advice to come again, and a loss, against a server that misbehaves
in each of the ways there are."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import pytest

from support.caller import Caller, load, steady
from support.traffic import Answered, Ask, Outcome, Promise, Tally, Try, again_after, is_kept

QUICK = Promise(seconds=5, pause=0.01)
TWICE = Promise(seconds=5, tries=2, pause=0.01)

Step = bytes
CLOSE = b"close"
"""End the connection without an answer."""
SILENCE = b"silence"


def answer(code: int, body: bytes = b"{}", *headers: bytes, length: int | None = None) -> Step:
    lines = [
        b"HTTP/1.1 %d X" % code,
        b"Content-Length: %d" % (len(body) if length is None else length),
        *headers,
        b"",
        body,
    ]
    return b"\r\n".join(lines)


RIGHT = answer(200, b"right")


@dataclass
class Server:
    """Answers each request by the next step of its script, the last one for ever."""

    script: Sequence[Step]
    url: str = ""
    requests: int = 0
    connections: int = 0
    bodies: list[bytes] = field(default_factory=list)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while await self._exchange(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection stays open."""
        head = await reader.readuntil(b"\r\n\r\n")
        size = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))
        self.bodies.append(await reader.readexactly(int(size.split(b":")[1])))
        step = self.script[min(self.requests, len(self.script) - 1)]
        self.requests += 1
        if step == CLOSE:
            return False
        if step == SILENCE:
            await reader.read()
            return False
        writer.write(step)
        await writer.drain()
        return not step.endswith(b"half")


@asynccontextmanager
async def serving(*script: Step) -> AsyncIterator[Server]:
    made, tasks = Server(script), set[asyncio.Task[None]]()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(made.serve(reader, writer)))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in ended if isinstance(each, Exception)]


def question(text: bytes = b"q") -> Ask:
    return Ask(text, lambda body: body == b"right")


@pytest.mark.parametrize(
    ("step", "outcome", "kept", "kept_later"),
    [
        (RIGHT, Outcome.RIGHT, True, True),
        (answer(200, b"left"), Outcome.WRONG, False, False),
        (answer(503, b"{}", b"Retry-After: 7"), Outcome.LATER, False, True),
        (answer(429, b"{}", b"Retry-After: 1"), Outcome.LATER, False, True),
        (answer(503), Outcome.UNAVAILABLE, False, False),
        (answer(503, b"{}", b"Retry-After: soon"), Outcome.UNAVAILABLE, False, False),
        (answer(500, b"{}", b"Retry-After: 7"), Outcome.OTHER, False, False),
        (answer(502), Outcome.OTHER, False, False),
        (answer(302, b"", b"Location: /"), Outcome.OTHER, False, False),
        (CLOSE, Outcome.BROKEN, False, False),
        (answer(200, b"half", length=100), Outcome.BROKEN, False, False),
        (b"nonsense\r\n\r\nhalf", Outcome.BROKEN, False, False),
        (SILENCE, Outcome.TIMEOUT, False, False),
    ],
)
async def test_how_a_request_ends(step: Step, outcome: Outcome, kept: bool, kept_later: bool) -> None:
    seconds = 0.3 if outcome is Outcome.TIMEOUT else 5
    async with serving(step) as server, Caller() as caller:
        for later, wanted in ((False, kept), (True, kept_later)):
            answered = await caller.ask(server.url, question(), Promise(seconds=seconds, later=later))
            assert (answered.last.outcome, answered.kept) == (outcome, wanted), answered
            assert len(answered.tries) == 1
        assert server.requests == 2


async def test_no_connection_is_a_broken_one() -> None:
    async with serving(RIGHT) as server:
        pass
    async with Caller() as caller:
        answered = await caller.ask(server.url, question(), QUICK)
    assert answered.last.outcome is Outcome.BROKEN


async def test_the_answer_tells_how_long_it_was_held_and_when_to_come_again() -> None:
    held = answer(200, b"right", b"X-Classifier-Held-Ms: 1234")
    async with serving(held, answer(503, b"", b"Retry-After: 9")) as server, Caller() as caller:
        first = await caller.ask(server.url, question(), QUICK)
        second = await caller.ask(server.url, question(), QUICK)
    assert (first.last.held_ms, first.last.retry_after) == (1234, None)
    assert (second.last.held_ms, second.last.retry_after, second.last.code) == (None, 9, 503)


@pytest.mark.parametrize(
    ("script", "promise", "tries", "kept"),
    [
        ([CLOSE, RIGHT], TWICE, 2, True),
        ([CLOSE, CLOSE, RIGHT], TWICE, 2, False),
        ([CLOSE, CLOSE, RIGHT], Promise(seconds=5, tries=3, pause=0.01), 3, True),
        ([CLOSE, RIGHT], QUICK, 1, False),
        ([answer(503), RIGHT], TWICE, 1, False),
        ([answer(200, b"left"), RIGHT], TWICE, 1, False),
        ([CLOSE, RIGHT], Promise(seconds=0.2, tries=2, pause=5), 1, False),
    ],
)
async def test_only_broken_connections_are_a_reason_to_ask_again(
    script: list[Step], promise: Promise, tries: int, kept: bool
) -> None:
    async with serving(*script) as server, Caller() as caller:
        answered = await caller.ask(server.url, question(b"the same"), promise)
        assert (len(answered.tries), answered.kept) == (tries, kept)
        assert server.bodies == [b"the same"] * tries


async def test_each_request_has_a_connection_of_its_own_unless_they_are_pooled() -> None:
    async with serving(RIGHT) as server:
        async with Caller() as caller:
            for _ in range(3):
                await caller.ask(server.url, question(), QUICK)
        assert server.connections == 3
        async with Caller(pooled=True) as caller:
            for _ in range(3):
                await caller.ask(server.url, question(), QUICK)
        assert server.connections == 4


async def test_an_idle_connection_that_closes_is_no_loss_but_a_new_one_is() -> None:
    # The second request meets the first one's connection, which ends without an answer.
    async with serving(RIGHT, CLOSE, RIGHT) as server, Caller(pooled=True) as caller:
        await caller.ask(server.url, question(), QUICK)
        answered = await caller.ask(server.url, question(), QUICK)
        assert answered.kept
        assert [each.idle for each in answered.tries] == [True, False]
        assert server.connections == 2
    async with serving(RIGHT, CLOSE, CLOSE, RIGHT) as server, Caller(pooled=True) as caller:
        await caller.ask(server.url, question(), QUICK)
        answered = await caller.ask(server.url, question(), QUICK)
        assert (len(answered.tries), answered.kept) == (2, False)


async def test_an_answer_that_broke_after_its_head_is_not_asked_for_again_for_being_idle() -> None:
    async with serving(RIGHT, answer(200, b"half", length=100)) as server, Caller(pooled=True) as caller:
        await caller.ask(server.url, question(), QUICK)
        answered = await caller.ask(server.url, question(), QUICK)
    assert (len(answered.tries), answered.last.outcome, answered.last.idle) == (1, Outcome.BROKEN, False)


def made(*outcomes: Outcome, idle: Sequence[int] = ()) -> list[Try]:
    return [Try(each, 0.0, 0.1, idle=number in idle) for number, each in enumerate(outcomes)]


BROKEN = Outcome.BROKEN


@pytest.mark.parametrize(
    ("tries", "limit", "passed", "pause"),
    [
        (made(BROKEN), 1, 0, None),
        (made(BROKEN), 2, 0, 2.0),
        (made(BROKEN, BROKEN), 2, 0, None),
        (made(BROKEN, idle=[0]), 1, 0, 0.0),
        (made(BROKEN, BROKEN, idle=[0]), 1, 0, None),
        (made(BROKEN, BROKEN, idle=[0]), 2, 0, 2.0),
        (made(BROKEN, BROKEN, idle=[0, 1]), 1, 0, None),
        (made(BROKEN), 2, 9, None),
        (made(BROKEN, idle=[0]), 1, 10, None),
        (made(Outcome.TIMEOUT), 2, 0, None),
        (made(Outcome.LATER), 2, 0, None),
        (made(Outcome.RIGHT), 2, 0, None),
    ],
)
def test_when_a_request_is_sent_again(tries: list[Try], limit: int, passed: float, pause: float | None) -> None:
    assert again_after(Promise(seconds=10, tries=limit, pause=2.0), tries, passed) == pause


def test_only_the_last_try_counts() -> None:
    assert is_kept(QUICK, made(BROKEN, Outcome.RIGHT))
    assert not is_kept(QUICK, made(Outcome.RIGHT, BROKEN))


def answered(*tries: Try) -> Answered:
    return Answered(tries, is_kept(QUICK, tries))


def test_the_tally_counts_everything_once() -> None:
    tally, other = Tally(), Tally()
    tally.add(answered(Try(Outcome.RIGHT, 0, 1.0)))
    tally.add(answered(Try(Outcome.RIGHT, 0, 3.0, held_ms=2900)))
    tally.add(answered(Try(BROKEN, 0, 0.1), Try(Outcome.RIGHT, 2, 2.5)))
    other.add(answered(Try(BROKEN, 0, 0.1, idle=True), Try(Outcome.RIGHT, 0.1, 0.1)))
    other.add(answered(Try(Outcome.UNAVAILABLE, 0, 0.2, detail="503 why")))
    other.add(answered(Try(BROKEN, 0, 0.2, detail="reset")))
    tally.absorb(other)
    figures = tally.figures()
    losses = figures.pop("losses")
    assert figures == {
        "requests": 6,
        "lost": 2,
        "broken": 1,
        "idle": 1,
        "held": 1,
        "slowest": 4.5,
        "ends": {"broken": 1, "right": 4, "unavailable": 1},
    }
    assert len(losses) == 2
    assert "503 why" in losses[0]
    assert "reset" in losses[1]
    assert Tally.of_figures(tally.figures()) == tally


def test_the_tally_remembers_some_losses_and_counts_all() -> None:
    tally = Tally()
    for _ in range(50):
        tally.add(answered(Try(Outcome.TIMEOUT, 0, 1.0)))
    tally.absorb(tally)
    assert tally.lost == 100
    assert len(tally.losses) == 20


async def test_a_steady_load_ends_when_it_shall() -> None:
    async with serving(RIGHT) as server, Caller() as caller:
        tally = Tally()
        await steady(
            caller,
            lambda: server.url,
            question,
            lambda: QUICK,
            lambda: tally,
            workers=3,
            pause=0.001,
            stopped=lambda: tally.requests >= 20,
        )
        assert 20 <= tally.requests <= 23
        assert (tally.requests, tally.lost) == (server.requests, 0)


async def test_a_load_from_a_thread_counts_what_it_sent() -> None:
    async with serving(RIGHT, CLOSE, RIGHT) as server:

        def blocking() -> Tally:
            with load(server.url, question, QUICK, workers=2, pause=0.001) as tally:
                while tally.requests < 10:
                    time.sleep(0.001)
            return tally

        tally = await asyncio.to_thread(blocking)
        assert tally.requests == server.requests
        assert (tally.lost, tally.ends["broken"]) == (1, 1)


async def test_a_check_that_fails_is_not_swallowed() -> None:
    def broken(_: bytes) -> bool:
        raise ValueError("a bug of the test's own")

    async with serving(RIGHT) as server:

        def blocking() -> None:
            with load(server.url, lambda: Ask(b"q", broken), QUICK, workers=1):
                while not server.requests:
                    time.sleep(0.001)

        with pytest.raises(BaseExceptionGroup):
            await asyncio.to_thread(blocking)


async def test_no_proxy_of_the_environment_stands_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with serving(RIGHT) as server, Caller() as caller:
        async with httpx.AsyncClient() as proxied:
            with pytest.raises(httpx.TransportError):
                await proxied.post(server.url)
        assert (await caller.ask(server.url, question(), QUICK)).kept
