"""A client that says of each request how it ended; what counts as kept is in support.traffic."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from types import SimpleNamespace, TracebackType
from typing import Any

import aiohttp

from support.traffic import Answered, Ask, Outcome, Promise, Tally, Try, again_after, is_kept

CONNECT_SECONDS = 10.0
MAX_ANSWER_BYTES = 1 << 20
_JSON = {"Content-Type": "application/json"}


class Caller:
    """Sends requests, each on a connection of its own, or, `pooled`, on one that was used before if there is one."""

    def __init__(self, *, pooled: bool = False) -> None:
        self._pooled = pooled
        self._fresh: aiohttp.ClientSession | None = None
        self._kept: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Caller:
        self._fresh = _session(aiohttp.TCPConnector(limit=0, force_close=True))
        if self._pooled:
            self._kept = _session(aiohttp.TCPConnector(limit=0, keepalive_timeout=300))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for session in (self._fresh, self._kept):
            if session is not None:
                await session.close()

    async def ask(self, url: str, ask: Ask, promise: Promise) -> Answered:
        """Sends a request until it has ended."""
        began = time.monotonic()
        tries: list[Try] = []
        while True:
            passed = time.monotonic() - began
            # What is sent again is not sent on another connection that may have been idle for as long.
            session = self._kept if self._kept is not None and not tries else self._fresh
            assert session is not None, "use `async with`"
            tries.append(await _exchange(session, url, ask, max(0.05, promise.seconds - passed)))
            pause = again_after(promise, tries, time.monotonic() - began)
            if pause is None:
                return Answered(tuple(tries), is_kept(promise, tries))
            await asyncio.sleep(pause)


def _session(connector: aiohttp.TCPConnector) -> aiohttp.ClientSession:
    trace = aiohttp.TraceConfig()

    async def reused(_: aiohttp.ClientSession, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.reused = True

    trace.on_connection_reuseconn.append(reused)
    limits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS)
    return aiohttp.ClientSession(connector=connector, timeout=limits, trace_configs=[trace], trust_env=False)


async def _exchange(session: aiohttp.ClientSession, url: str, ask: Ask, seconds: float) -> Try:
    began, start = time.time(), time.monotonic()
    context = SimpleNamespace(reused=False)
    response: aiohttp.ClientResponse | None = None

    def ended(outcome: Outcome, detail: str = "", **more: Any) -> Try:
        return Try(outcome, began, time.monotonic() - start, detail=detail, **more)

    try:
        async with asyncio.timeout(seconds):
            headers = {**_JSON, **ask.headers}
            response = await session.post(
                f"{url}{ask.path}", data=ask.body, headers=headers, allow_redirects=False, trace_request_ctx=context
            )
            body = await response.content.read(MAX_ANSWER_BYTES)
            while more := await response.content.read(MAX_ANSWER_BYTES):
                body += more
                if len(body) > MAX_ANSWER_BYTES:
                    return ended(Outcome.WRONG, f"more than {MAX_ANSWER_BYTES} bytes", code=response.status)
    except aiohttp.InvalidURL:
        raise
    except (aiohttp.ClientError, ConnectionError) as error:  # before TimeoutError: no connection in time is one of them
        idle = context.reused and response is None
        return ended(Outcome.BROKEN, f"{type(error).__name__} {error}".strip()[:200], idle=idle)
    except TimeoutError:
        return ended(Outcome.TIMEOUT, "headers had come" if response is not None else "no headers came")
    finally:
        if response is not None:
            response.release()
    return ended(**_judged(ask, response.status, response.headers, body))


def _judged(ask: Ask, code: int, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    """Outcome and details of a whole answer."""
    advice = headers.get("Retry-After", "")
    retry_after = int(advice) if advice.isascii() and advice.isdigit() else None
    held = headers.get("X-Classifier-Held-Ms", "")
    known = {"code": code, "retry_after": retry_after, "held_ms": int(held) if held.isdigit() else None}
    detail = f"{code} {body[:160].decode(errors='replace')}"
    if code == 200:
        right = ask.is_right(body)
        return known | {"outcome": Outcome.RIGHT if right else Outcome.WRONG, "detail": "" if right else detail}
    if code not in (429, 503):
        return known | {"outcome": Outcome.OTHER, "detail": detail}
    return known | {"outcome": Outcome.UNAVAILABLE if retry_after is None else Outcome.LATER, "detail": detail}


async def steady(
    caller: Caller,
    url: Callable[[], str],
    make: Callable[[], Ask],
    promise: Callable[[], Promise],
    tally: Callable[[], Tally],
    *,
    workers: int,
    pause: float,
    stopped: Callable[[], bool],
) -> None:
    """So many workers send one request after the other, with a pause between, until `stopped` says so.

    Args:
        url: says where to, each time.
        tally: says, when a request has ended, where it is counted.
    """

    async def worker(number: int) -> None:
        await asyncio.sleep(pause * number / workers)
        while not stopped():
            answered = await caller.ask(url(), make(), promise())
            tally().add(answered)
            await asyncio.sleep(pause)

    async with asyncio.TaskGroup() as group:
        for number in range(workers):
            group.create_task(worker(number))


def ask_once(url: str, ask: Ask, promise: Promise | None = None) -> Answered:
    """One request on a connection of its own, for callers that are not asynchronous."""

    async def run() -> Answered:
        async with Caller() as caller:
            return await caller.ask(url, ask, promise or Promise())

    return asyncio.run(run())


@contextmanager
def load(
    url: str,
    make: Callable[[], Ask],
    promise: Promise | None = None,
    *,
    workers: int = 4,
    pause: float = 0.05,
    pooled: bool = False,
) -> Iterator[Tally]:
    """The same from a thread of its own, for as long as the block lasts; the tally is whole after it."""
    tally, stop, kept = Tally(), threading.Event(), promise or Promise()
    errors: list[BaseException] = []

    async def run() -> None:
        async with Caller(pooled=pooled) as caller:
            await steady(
                caller,
                lambda: url,
                make,
                lambda: kept,
                lambda: tally,
                workers=workers,
                pause=pause,
                stopped=stop.is_set,
            )

    def work() -> None:
        try:
            asyncio.run(run())
        except BaseException as error:  # handed to the thread that waits
            errors.append(error)

    thread = threading.Thread(target=work, name="load", daemon=True)
    thread.start()
    try:
        yield tally
    finally:
        stop.set()
        thread.join(kept.seconds * 2 + 30)
    if errors:
        raise errors[0]
    assert not thread.is_alive(), "a request did not end in time"
