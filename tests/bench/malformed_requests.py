"""Requests with something wrong in them, from a seed: broken HTTP, broken JSON, JSON of another shape."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from bench.load import http_request

PATH = "/v1/classification"
_GOOD = json.dumps({"input": ["oil prices fell", "grain"], "data_format": "probs", "top_k": 2}).encode()

_BODIES: tuple[bytes, ...] = (
    b"", b"{", b"[]", b"null", b"1", b'"x"', b"[" * 100_000, b'{"a":' * 5_000, b'{"input": NaN}', b'{"input": "\xff"}',
    b'{"input": "\\ud800"}', b'{"input": []}', b'{"input": [1]}', b'{"input": {"a": 1}}', b'{"input": null}',
    b'{"input": "a", "top_k": 0}', b'{"input": "a", "top_k": 1e400}', b'{"input": "a", "unknown": 1}',
    b'{"input": "a", "model": "other"}', b'{"input": "a", "data_format": "xml"}', b'{"input": "a"} {}',
    b'{"input": ' + json.dumps(["a"] * 1000).encode() + b"}", b"\x1f\x8b\x08\x00" + b"\0" * 50,
    b'{"input": "' + b"a" * 5_000_000 + b'"}',
)  # fmt: skip
_HEADS: tuple[bytes, ...] = (
    b"hello\r\n\r\n",
    b"GET / HTTP/9.9\r\n\r\n",
    b"POST /v1/classification HTTP/1.1\r\nContent-Length: -5\r\n\r\n",
    b"POST /v1/classification HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
    b"POST /v1/classification HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"GET /health HTTP/1.1\r\nHost: s\r\nX: " + b"a" * 20_000 + b"\r\n\r\n",
    b"POST /nowhere HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n",
    b"DELETE /v1/classification HTTP/1.1\r\nHost: s\r\nContent-Length: 0\r\n\r\n",
    http_request(PATH, _GOOD).replace(b"application/json", b"text/plain"),
    http_request(PATH, _GOOD, headers=["Content-Encoding: gzip"]),
)


def malformed(seed: int = 0) -> Iterator[bytes]:
    """Requests without end; a few of those that are mutated at random may be right by chance."""
    draw = random.Random(seed)
    yield from (http_request(PATH, body) for body in _BODIES)
    yield from _HEADS
    while True:
        kind = draw.random()
        if kind < 0.1:
            yield http_request(PATH, draw.choice(_BODIES[:-1]))
        elif kind < 0.2:
            yield draw.choice(_HEADS)
        else:
            yield http_request(PATH, _mutated(_GOOD, draw))


def _mutated(body: bytes, draw: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(changed) or 1)
        match draw.randrange(4):
            case 0:
                del changed[at : at + draw.randint(1, 8)]
            case 1:
                changed[at:at] = bytes(draw.choices(b'{}[]",:\\ \x00\xff0123456789eE-ntf', k=draw.randint(1, 6)))
            case 2 if changed:
                changed[at] = draw.randrange(256)
            case _:
                changed = changed[: draw.randrange(len(changed) + 1)]
    return bytes(changed)
