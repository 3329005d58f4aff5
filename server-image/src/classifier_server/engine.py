"""The queue and its workers: no waiting timer, whoever is free takes what waits.

Requests come from the event loop; batches are computed in threads (torch releases the GIL). One lock guards the queue
and everything that is counted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np

from classifier_server.backend import Backend, BackendBrokenError, BackendMemoryError, Logits
from classifier_server.batching import BatchLimits, Caller, Waiting, select

logger = logging.getLogger(__name__)

_RETRY_AFTER_SECONDS = (1, 60)
_BEAT_SECONDS = 1.0
_ALIVE_SECONDS = 10.0
# A batch may take this many times longer than its tokens did so far before the worker counts as stuck.
_SLOWNESS = 20.0


class QueueFullError(Exception):
    """There is no room for all texts of the request; `retry_after` is in seconds."""

    def __init__(self, retry_after: int) -> None:
        super().__init__(f"the queue is full, try again in {retry_after} s")
        self.retry_after = retry_after


class InferenceError(Exception):
    """The model failed on a text of the request, alone and with others."""


class Observer(Protocol):
    """Is told what the engine does, from the workers' threads."""

    def batch_done(self, texts: int, tokens: int, padded_tokens: int, seconds: float) -> None:
        """A batch was computed; `tokens` are without padding."""

    def text_started(self, waited_seconds: float) -> None:
        """A text left the queue."""


class _Request(Caller):
    """The texts of one caller and where their logits go."""

    __slots__ = ("arrived", "error", "future", "left", "logits", "loop", "waited")

    def __init__(self, rows: int, loop: asyncio.AbstractEventLoop, now: float) -> None:
        super().__init__(served=now)
        self.arrived = now
        self.loop = loop
        self.future: asyncio.Future[None] = loop.create_future()
        self.logits: list[Logits | None] = [None] * rows
        self.left = rows
        self.waited = 0.0
        self.error: Exception | None = None

    def finish(self) -> None:
        """Wakes the caller; runs in the event loop."""
        if self.future.done():
            return
        if self.error is not None:
            self.future.set_exception(self.error)
        else:
            self.future.set_result(None)


_Text = Waiting[_Request]


@dataclass(slots=True)
class _Worker:
    beat: float
    patience: float = _ALIVE_SECONDS
    busy: bool = False
    thread: threading.Thread | None = None


@dataclass(slots=True)
class _Load:
    """What waits and how fast it goes away."""

    reserved: int = 0
    """Texts admitted and not yet tokenized."""
    tokens: int = 0
    computing: int = 0
    """Tokens in the batches that are being computed."""
    tokens_per_second: float = 0.0
    tokens_per_text: float = 64.0


@dataclass(slots=True)
class Admission:
    """Room in the queue for `texts` texts; leaving the context gives back what was not used."""

    engine: Engine
    texts: int
    waited: float = 0.0
    """After `infer`: seconds that the text which waited longest was in the queue."""
    _open: bool = field(default=True)

    def __enter__(self) -> Admission:
        return self

    def __exit__(self, *_: object) -> Literal[False]:
        self._close()
        return False

    def _close(self) -> None:
        if self._open:
            self._open = False
            self.engine._release(self.texts)

    def extend(self, texts: int) -> None:
        """Room for so many more, or QueueFullError."""
        with self.engine.admit(texts) as more:
            more._open = False
        self.texts += texts

    async def infer(self, ids: Sequence[Sequence[int]]) -> Logits:
        """Logits [len(ids), labels] of tokenized texts, in their order. To be called once.

        Cancelling takes the texts out of the queue. Raises InferenceError.
        """
        request = _Request(len(ids), asyncio.get_running_loop(), time.monotonic())
        self._open = False
        self.engine._enqueue(request, ids, self.texts)
        try:
            await request.future
        except asyncio.CancelledError:
            self.engine._withdraw(request)
            raise
        self.waited = request.waited
        return np.stack([row for row in request.logits if row is not None])


class Engine:
    """Computes logits for many callers with one model."""

    def __init__(
        self,
        backend: Backend,
        *,
        max_queue: int,
        max_batch_tokens: int | None = None,
        observer: Observer | None = None,
        on_broken: Callable[[str], None] | None = None,
    ) -> None:
        """`max_queue` counts texts; `max_batch_tokens` None asks the backend; `on_broken` is told, from a worker's
        thread, that the device is lost and the process should end."""
        self.max_queue = max_queue
        self._backend = backend
        self._limits = BatchLimits(max_batch_tokens or backend.max_batch_tokens, backend.max_padding)
        self._observer = observer
        self._on_broken = on_broken
        lock = threading.RLock()
        self._changed = threading.Condition(lock)
        # Of the first worker, the only one that computes with several threads. Each worker that does so would keep some
        # of its own, and with more of them than CPUs OpenMP lets all sleep between any two steps: measured with one
        # text of 70 tokens, 20 ms instead of 14.
        self._single = threading.Condition(lock)
        self._queue: list[_Text] = []
        self._load = _Load()
        self._closed = False
        self._workers = [_Worker(time.monotonic()) for _ in range(backend.workers)]

    def warm_up(self, token: int, longest: int) -> None:
        """Computes a short text, a long one and a full batch of the token id `token`, so that the first caller meets
        a model that has allocated what it needs. Before start(); raises what the backend raises."""
        full = min(longest, self._limits.tokens)
        rows = self._limits.tokens // full
        for length, texts in ((min(8, longest), 1), (full, 1), (full, rows)):
            begun = time.monotonic()
            self._backend.forward([[token] * length] * texts, 1)
            self._load.tokens_per_second = length * texts * len(self._workers) / max(time.monotonic() - begun, 1e-6)

    def start(self) -> None:
        """Starts the workers' threads."""
        for number, worker in enumerate(self._workers):
            worker.thread = threading.Thread(target=self._work, args=(worker,), name=f"batcher-{number}", daemon=True)
            worker.thread.start()

    def close(self) -> None:
        """Ends the workers once the queue is empty; does not wait for them."""
        with self._changed:
            self._closed = True
            self._single.notify()
            self._changed.notify_all()

    # -- callers ----------------------------------------------------------------------------------------------------

    def admit(self, texts: int) -> Admission:
        """Room for all `texts` of a request, or QueueFullError."""
        with self._changed:
            if self.queued + texts > self.max_queue:
                raise QueueFullError(self._retry_after())
            self._load.reserved += texts
        return Admission(self, texts)

    @property
    def queued(self) -> int:
        """Texts that wait, those that are being tokenized included."""
        return len(self._queue) + self._load.reserved

    @property
    def tokens_per_second(self) -> float:
        """Measured over the last batches, all workers together; 0 before the first."""
        return self._load.tokens_per_second

    @property
    def alive(self) -> bool:
        """Whether every worker's thread runs and none is stuck in a batch."""
        now = time.monotonic()
        return all(
            worker.thread is not None and worker.thread.is_alive() and now - worker.beat < worker.patience
            for worker in self._workers
        )

    def _release(self, texts: int) -> None:
        with self._changed:
            self._load.reserved -= texts

    def _enqueue(self, request: _Request, ids: Sequence[Sequence[int]], reserved: int) -> None:
        entries = [Waiting(request, row, text) for row, text in enumerate(ids)]
        tokens = sum(entry.length for entry in entries)
        with self._changed:
            self._load.reserved -= reserved
            self._load.tokens += tokens
            self._load.tokens_per_text += 0.1 * (tokens / len(entries) - self._load.tokens_per_text)
            self._queue.extend(entries)
            self._single.notify()
            if not self._is_single():
                self._changed.notify(len(entries))

    def _withdraw(self, request: _Request) -> None:
        with self._changed:
            self._drop([entry for entry in self._queue if entry.caller is request])

    def _drop(self, entries: Sequence[_Text]) -> None:
        """Takes `entries` out of the queue; the lock is held."""
        gone = {id(entry) for entry in entries}
        self._queue = [entry for entry in self._queue if id(entry) not in gone]
        self._load.tokens -= sum(entry.length for entry in entries)

    def _retry_after(self) -> int:
        tokens = self._load.tokens + self._load.computing + self._load.reserved * self._load.tokens_per_text
        low, high = _RETRY_AFTER_SECONDS
        if not self._load.tokens_per_second:
            return low
        return min(max(math.ceil(tokens / self._load.tokens_per_second), low), high)

    # -- workers ----------------------------------------------------------------------------------------------------

    def _work(self, worker: _Worker) -> None:
        first = worker is self._workers[0]
        changed = self._single if first else self._changed
        while True:
            with self._changed:
                worker.busy = False
                worker.beat, worker.patience = time.monotonic(), _ALIVE_SECONDS
                while not self._queue or (self._is_single() and not first):
                    if self._queue:
                        self._single.notify()
                    elif self._closed:
                        return
                    changed.wait(_BEAT_SECONDS)
                    worker.beat = time.monotonic()
                batch, threads = self._next_batch(worker)
            try:
                finished = self._compute(batch, threads)
            except BackendBrokenError as error:
                if self._on_broken is not None:
                    self._on_broken(str(error))
                return
            _wake(finished)

    def _is_single(self) -> bool:
        """Whether one text waits, none is computed and none comes at this moment; the lock is held."""
        return len(self._queue) == 1 and not self._load.reserved and not any(worker.busy for worker in self._workers)

    def _next_batch(self, worker: _Worker) -> tuple[list[_Text], int]:
        """Takes the next batch out of the queue and says how many threads compute it; the lock is held."""
        idle = sum(not other.busy for other in self._workers)
        limits = self._limits
        if idle > 1 and len(self._queue) > 1:
            # Two texts and two free CPUs: a text each is quicker than one batch of both.
            fair = math.ceil(self._load.tokens / idle)
            limits = BatchLimits(min(limits.tokens, fair), limits.padding)
        threads = len(self._workers) if self._is_single() else 1
        batch = select(self._queue, limits)
        self._drop(batch)
        now = time.monotonic()
        for entry in batch:
            entry.caller.served = now
            entry.caller.waited = now - entry.caller.arrived
            if self._observer is not None:
                self._observer.text_started(now - entry.caller.arrived)
        tokens = sum(entry.length for entry in batch)
        self._load.computing += tokens
        worker.busy = True
        if self._load.tokens_per_second:
            worker.patience = _ALIVE_SECONDS + _SLOWNESS * tokens / self._load.tokens_per_second
        else:
            worker.patience = math.inf
        return batch, threads

    def _compute(self, batch: list[_Text], threads: int) -> list[_Request]:
        """Computes a batch and notes its results; the requests that are complete now."""
        begun = time.monotonic()
        results = self._forward(batch, threads)
        seconds = time.monotonic() - begun
        tokens = sum(entry.length for entry in batch)
        if self._observer is not None:
            longest = max(entry.length for entry in batch)
            self._observer.batch_done(len(batch), tokens, self._limits.tokens_of(len(batch), longest, tokens), seconds)
        finished: list[_Request] = []
        with self._changed:
            self._load.computing -= tokens
            busy = sum(other.busy for other in self._workers)
            rate = busy * tokens / max(seconds, 1e-6)
            known = self._load.tokens_per_second
            self._load.tokens_per_second = rate if not known else known + 0.1 * (rate - known)
            for entry, result in zip(batch, results, strict=True):
                request = entry.caller
                if isinstance(result, Exception):
                    request.error = result
                else:
                    request.logits[entry.row] = result
                request.left -= 1
                if request.left == 0:
                    finished.append(request)
        return finished

    def _forward(self, batch: Sequence[_Text], threads: int) -> list[Logits | Exception]:
        """Logits of each entry, or why there are none. Too little memory halves the batch, any other error tries its
        entries one by one, so that one bad text costs nobody else an answer."""
        try:
            logits = self._backend.forward([entry.ids for entry in batch], threads)
        except BackendBrokenError:
            raise
        except BackendMemoryError:
            if len(batch) == 1:
                return [InferenceError("a text of this length does not fit into the memory of the device")]
            middle = len(batch) // 2
            return self._forward(batch[:middle], threads) + self._forward(batch[middle:], threads)
        except Exception as error:  # whatever a model's code may raise
            if len(batch) == 1:
                logger.exception("the model failed on a text of %d tokens", batch[0].length)
                return [InferenceError(f"the model failed: {type(error).__name__}")]
            return [result for entry in batch for result in self._forward([entry], threads)]
        return [
            row if np.isfinite(row).all() else InferenceError("the model's output is not a finite number")
            for row in logits
        ]


def _wake(finished: Sequence[_Request]) -> None:
    """Tells the callers, with one call for each event loop."""
    by_loop: dict[asyncio.AbstractEventLoop, list[_Request]] = {}
    for request in finished:
        by_loop.setdefault(request.loop, []).append(request)
    for loop, requests in by_loop.items():
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends and nobody waits any more
            loop.call_soon_threadsafe(_finish_all, requests)


def _finish_all(requests: Sequence[_Request]) -> None:
    for request in requests:
        request.finish()
