"""The malformed requests that the overload benchmark sends: what the server makes of them, and that they vary."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import islice

import pytest

from bench.load import once
from bench.malformed_requests import malformed
from support.server_process import ServerProcess, running


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with running(["--model", "/fake/model"], python=("-m", "support.fake_server")) as started:
        started.wait_until_ready()
        yield started


def test_they_are_refused_or_answered_and_never_an_error_of_the_server(server: ServerProcess) -> None:
    statuses = Counter(once(("127.0.0.1", server.port), request).status for request in islice(malformed(3), 250))
    assert not [status for status in statuses if not 200 <= status < 500], statuses
    assert {400, 404, 405, 413, 415, 422, 431} <= set(statuses)
    assert statuses[200] < 50


def test_a_seed_is_a_sequence() -> None:
    first, again, other = (list(islice(malformed(seed), 200)) for seed in (1, 1, 2))
    assert first == again != other
    assert len(set(first)) > 120
