"""How much of a request is read, and how long for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

from starlette.types import Receive, Scope

from classifier_server.errors import ClientGoneError, RequestError

MAX_HEADER_BYTES = 16 * 1024
MAX_BODY_BYTES = 4 * 1024 * 1024
MAX_BATCH_TEXTS = 256
RECEIVE_SECONDS = 30.0
# So much of a body that is too large is read and thrown away, because a client that is still sending when the
# connection closes sees a broken pipe instead of the answer.
_DISCARDED_BYTES = 16 * MAX_BODY_BYTES


def check_size_of_headers(headers: Iterable[tuple[bytes, bytes]]) -> None:
    """Raises RequestError 431."""
    if sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEADER_BYTES:
        raise RequestError(431, f"The headers are larger than {MAX_HEADER_BYTES // 1024} KiB.")


def require_plain(headers: Mapping[bytes, bytes]) -> None:
    """Raises RequestError 415 where the body is compressed."""
    if headers.get(b"content-encoding", b"identity").lower() not in (b"identity", b""):
        raise RequestError(415, "Content-Encoding is not taken: send the body as it is.", field="Content-Encoding")


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Raises RequestError 415 where the body cannot be JSON in UTF-8, or is compressed.

    A page of another site cannot send this type unasked, so that nobody's browser is made to ask.
    """
    require_plain(headers)
    media_type, _, parameters = headers.get(b"content-type", b"").lower().partition(b";")
    charset = parameters.partition(b"charset=")[2].strip(b' "') or b"utf-8"
    if media_type.strip() != b"application/json" or charset != b"utf-8":
        raise RequestError(415, "Content-Type must be application/json (in UTF-8).", field="Content-Type")


async def read_body(scope: Scope, receive: Receive) -> bytes:
    """The whole body, counted as it arrives.

    Raises:
        RequestError: 413 over 4 MiB, 408 after 30 s.
        ClientGoneError: the caller left before its end.
    """
    try:
        async with asyncio.timeout(RECEIVE_SECONDS):
            return await _read(scope, receive)
    except TimeoutError:
        raise RequestError(
            408, f"The body did not arrive within {RECEIVE_SECONDS:.0f} s.", headers={"connection": "close"}
        ) from None


async def _read(scope: Scope, receive: Receive) -> bytes:
    too_large = RequestError(
        413, f"The body is larger than {MAX_BODY_BYTES // 2**20} MiB.", headers={"connection": "close"}
    )
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > _DISCARDED_BYTES:
        raise too_large
    chunks: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        chunk: bytes = message.get("body", b"")
        size += len(chunk)
        if size <= MAX_BODY_BYTES:
            chunks.append(chunk)
        elif size > _DISCARDED_BYTES:
            raise too_large
        else:
            chunks.clear()
        if not message.get("more_body", False):
            break
    if size > MAX_BODY_BYTES:
        raise too_large
    return b"".join(chunks)
