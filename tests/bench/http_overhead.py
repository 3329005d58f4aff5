"""What HTTP costs on top of the engine: the real server around a fake backend that computes nothing."""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("tests", "base-image/src", "server-image/src")]

from bench.load import closed_loop, json_request  # noqa: E402  # the path above makes the script run by itself
from classifier_server.config import for_model  # noqa: E402
from classifier_server.metrics import Metrics  # noqa: E402
from classifier_server.tokenization import Reading  # noqa: E402
from support.fake_server import load_fake  # noqa: E402
from support.server_process import running  # noqa: E402

TEXT = "the quick brown fox jumps over the lazy dog and is never seen again"


def overhead_ms(requests: int = 3000) -> float:
    """Median milliseconds of a request by HTTP without those that tokenizer and engine take in process."""
    return _by_http(requests) - _in_process(requests)


def _by_http(requests: int) -> float:
    request = json_request("/v1/classification", {"input": TEXT})
    with running(["--model", "/fake/model"], python=("-m", "support.fake_server")) as server:
        server.wait_until_ready()
        address = ("127.0.0.1", server.port)
        closed_loop(address, [request], clients=1, seconds=0.5)
        load = closed_loop(address, [request], clients=1, seconds=requests / 1000)
    return 1000 * statistics.median(load.latencies)


def _in_process(requests: int) -> float:
    classifier = load_fake(for_model("/fake/model"), Metrics(), report=lambda _: None, on_broken=lambda _: None)

    async def ask() -> list[float]:
        took = []
        for _ in range(requests):
            begun = time.perf_counter()
            with classifier.engine.admit(1) as admission:
                await classifier.classify(admission, [TEXT], Reading(), {})
            took.append(time.perf_counter() - begun)
        return took

    found = asyncio.run(ask())
    classifier.engine.close()
    return 1000 * statistics.median(found)


if __name__ == "__main__":
    print(f"{overhead_ms():.3f} ms")
