from __future__ import annotations

import asyncio
import contextlib
import math
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest

from classifier_server.backend import BackendBrokenError, BackendMemoryError
from classifier_server.engine import Engine, InferenceError, QueueFullError
from support.fake_backend import FakeBackend, expected_logits


@contextlib.contextmanager
def running(backend: FakeBackend, max_queue: int = 512, **options: object) -> Iterator[Engine]:
    engine = Engine(backend, max_queue=max_queue, **options)  # type: ignore[arg-type]
    engine.start()
    try:
        yield engine
    finally:
        backend.gate.set()
        engine.close()


async def infer(engine: Engine, ids: Sequence[Sequence[int]]) -> list[list[float]]:
    with engine.admit(len(ids)) as admission:
        return [[round(float(value), 4) for value in row] for row in await admission.infer(ids)]


async def until(condition: object) -> None:
    assert callable(condition)
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # the engine tells nobody else
            await asyncio.sleep(0.002)


async def test_everyone_gets_their_own_logits_in_order() -> None:
    generator = np.random.default_rng(0)
    requests = [
        [list(map(int, generator.integers(1, 50, generator.integers(1, 40)))) for _ in range(generator.integers(1, 9))]
        for _ in range(60)
    ]
    with running(FakeBackend(workers=3)) as engine:
        answers = await asyncio.gather(*(infer(engine, request) for request in requests))
    for request, answer in zip(requests, answers, strict=True):
        assert answer == [pytest.approx(expected_logits(text)) for text in request]
    assert engine.queued == 0
    assert engine.tokens_per_second > 0


async def test_waiting_texts_are_batched_by_length_without_a_timer() -> None:
    backend = FakeBackend()
    with running(backend) as engine:
        backend.gate.clear()
        first = asyncio.create_task(infer(engine, [[1] * 5]))
        await until(lambda: backend.batches)
        rest = [asyncio.create_task(infer(engine, [[1] * length])) for length in (8, 30, 8, 30, 8)]
        await until(lambda: engine.queued == 5)
        backend.gate.set()
        await asyncio.gather(first, *rest)
    assert [[len(text) for text in batch] for batch in backend.batches] == [[5], [8, 8, 8], [30, 30]]


async def test_texts_that_are_not_padded_are_batched_whatever_their_length() -> None:
    padding: list[tuple[int, int]] = []

    class Observer:
        def batch_done(self, *told: Any) -> None:
            _, tokens, padded_tokens, _ = told
            padding.append((tokens, padded_tokens))

        def text_started(self, waited_seconds: float) -> None:
            pass

    backend = FakeBackend(max_padding=None)
    with running(backend, observer=Observer()) as engine:
        backend.gate.clear()
        first = asyncio.create_task(infer(engine, [[1] * 5]))
        await until(lambda: backend.batches)
        rest = [asyncio.create_task(infer(engine, [[1] * length])) for length in (3, 40, 8)]
        await until(lambda: engine.queued == 3)
        backend.gate.set()
        await asyncio.gather(first, *rest)
    assert [[len(text) for text in batch] for batch in backend.batches] == [[5], [3, 40, 8]]
    assert padding == [(5, 5), (51, 51)]


async def test_admission_is_all_or_nothing() -> None:
    backend = FakeBackend(max_batch_tokens=8)
    with running(backend, max_queue=4) as engine:
        backend.gate.clear()
        running_text = asyncio.create_task(infer(engine, [[1]]))
        await until(lambda: backend.batches and engine.queued == 0)
        waiting = asyncio.create_task(infer(engine, [[1], [2], [3]]))
        await until(lambda: engine.queued == 3)
        with pytest.raises(QueueFullError) as full:
            engine.admit(2)
        assert 1 <= full.value.retry_after <= 60
        with engine.admit(1):
            assert engine.queued == 4
        assert engine.queued == 3  # an admission that was not used gives its room back
        backend.gate.set()
        await asyncio.gather(running_text, waiting)


async def test_retry_after_is_the_time_that_the_queue_takes() -> None:
    backend = FakeBackend(seconds_per_batch=0.05, max_batch_tokens=10, max_padding=0.0)
    with running(backend, max_queue=100) as engine:
        await infer(engine, [[1] * 10] * 5)
        measured = engine.tokens_per_second
        assert 100 < measured <= 200  # 10 tokens in 0.05 s and a little
        backend.gate.clear()
        waiting = asyncio.create_task(infer(engine, [[1] * 10] * 100))
        await until(lambda: engine.queued == 99)
        with pytest.raises(QueueFullError) as full:
            engine.admit(100)
        assert full.value.retry_after == math.ceil(1000 / measured)
        waiting.cancel()
        backend.gate.set()


async def test_a_caller_who_left_costs_no_computation() -> None:
    backend = FakeBackend()
    with running(backend) as engine:
        backend.gate.clear()
        first = asyncio.create_task(infer(engine, [[7]]))
        await until(lambda: backend.batches)
        gone = asyncio.create_task(infer(engine, [[8], [9]]))
        stays = asyncio.create_task(infer(engine, [[10]]))
        await until(lambda: engine.queued == 3)
        gone.cancel()
        await until(lambda: engine.queued == 1)
        backend.gate.set()
        await asyncio.gather(first, stays)
    assert backend.batches == [[[7]], [[10]]]


async def test_too_little_memory_halves_the_batch() -> None:
    backend = FakeBackend(fail=lambda batch: BackendMemoryError("full") if len(batch) > 2 else None)
    with running(backend) as engine:
        answer = await infer(engine, [[n] for n in range(8)])
    assert answer == [pytest.approx(expected_logits([n])) for n in range(8)]
    assert [len(batch) for batch in backend.batches] == [8, 4, 2, 2, 4, 2, 2]


async def test_a_text_that_never_fits_is_told_so() -> None:
    with (
        running(FakeBackend(fail=lambda _: BackendMemoryError("full"))) as engine,
        pytest.raises(InferenceError, match="does not fit into the memory"),
    ):
        await infer(engine, [[1], [2]])


@pytest.mark.parametrize("poison", [[13], [14]])
async def test_one_bad_text_fails_alone(poison: list[int]) -> None:
    def fail(batch: Sequence[Sequence[int]]) -> Exception | None:
        return ValueError("unlucky") if [13] in batch else None

    backend = FakeBackend(fail=fail)
    original = backend.forward

    def forward(batch: Sequence[Sequence[int]], threads: int) -> np.ndarray:
        logits = original(batch, threads)
        logits[[row for row, text in enumerate(batch) if list(text) == [14]]] = math.nan
        return logits

    backend.forward = forward  # type: ignore[method-assign]
    with running(backend) as engine:
        backend.gate.clear()
        first = asyncio.create_task(infer(engine, [[1]]))
        await until(lambda: backend.batches)
        bad = asyncio.create_task(infer(engine, [poison]))
        good = asyncio.create_task(infer(engine, [[2]]))
        await until(lambda: engine.queued == 2)
        backend.gate.set()
        await first
        assert await good == [pytest.approx(expected_logits([2]))]
        with pytest.raises(InferenceError, match=r"ValueError|not a finite number"):
            await bad
        assert await infer(engine, [[3]]) == [pytest.approx(expected_logits([3]))]


async def test_a_lost_device_is_reported_once_and_ends_the_worker() -> None:
    reports: list[str] = []
    with running(FakeBackend(fail=lambda _: BackendBrokenError("the GPU failed")), on_broken=reports.append) as engine:
        lost = asyncio.create_task(infer(engine, [[1]]))
        await until(lambda: reports == ["the GPU failed"])
        await until(lambda: not engine.alive)
        lost.cancel()


async def test_one_text_uses_all_threads_and_many_use_all_workers() -> None:
    backend = FakeBackend(workers=4, max_batch_tokens=1000)
    with running(backend) as engine:
        await infer(engine, [[1]])
        assert backend.threads == [4]
        # The answer is there a moment before its worker is free again.
        await until(lambda: not any(worker.busy for worker in engine._workers))
        backend.gate.clear()
        eight = asyncio.create_task(infer(engine, [[1, 2]] * 8))
        await until(lambda: len(backend.batches) == 5)
        backend.gate.set()
        await eight
    assert backend.threads == [4, 1, 1, 1, 1]
    # How the eight are dealt out depends on which workers are awake at that moment.
    assert sum(len(batch) for batch in backend.batches[1:]) == 8


async def test_single_texts_are_computed_by_one_worker() -> None:
    threads: list[str] = []

    def note(_: Sequence[Sequence[int]]) -> None:
        threads.append(threading.current_thread().name)

    backend = FakeBackend(workers=3, fail=note)
    with running(backend) as engine:
        for _ in range(10):
            await infer(engine, [[1]])
            await until(lambda: not any(worker.busy for worker in engine._workers))
        assert set(threads) == {"batcher-0"}
        assert backend.threads == [3] * 10
        # Another one does not wait for it, but takes one thread.
        backend.gate.clear()
        both = [asyncio.create_task(infer(engine, [[2]]))]
        await until(lambda: len(backend.batches) == 11)
        both.append(asyncio.create_task(infer(engine, [[3]])))
        await until(lambda: len(backend.batches) == 12)
        backend.gate.set()
        await asyncio.gather(*both)
    assert backend.threads[10:] == [3, 1]


async def test_a_single_text_does_not_wait_for_a_large_request() -> None:
    backend = FakeBackend(max_batch_tokens=32, max_padding=0.1, seconds_per_batch=0.005)
    with running(backend) as engine:
        large = asyncio.create_task(infer(engine, [[1] * 16] * 100))
        await until(lambda: len(backend.batches) >= 2)
        await infer(engine, [[1] * 5])
        served = next(number for number, batch in enumerate(backend.batches) if len(batch[0]) == 5)
        assert served < 10
        await large


def test_alive_notices_a_stuck_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend()
    with running(backend) as engine:
        engine.warm_up(1, 8)
        assert engine.alive
        backend.gate.clear()
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=lambda: loop.run_until_complete(infer(engine, [[1]])))
        thread.start()
        deadline = time.monotonic() + 10
        while len(backend.batches) < 4 and time.monotonic() < deadline:
            time.sleep(0.005)
        assert engine.alive
        now = time.monotonic()
        monkeypatch.setattr(time, "monotonic", lambda: now + 60)
        assert not engine.alive
        monkeypatch.undo()
        backend.gate.set()
        thread.join(10)
        loop.close()
