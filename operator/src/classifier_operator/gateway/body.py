"""The body of a request: counted as it arrives, and JSON if it says so."""

import asyncio
from typing import Final

import pydantic_core
from aiohttp import web
from aiohttp.web_protocol import RequestPayloadError

from classifier_operator.gateway.budget import REQUEST_BYTES, Account
from classifier_operator.gateway.head import Head
from classifier_operator.gateway.refusal import RefusalError

MAX_BODY_BYTES: Final = 4 * 1024 * 1024


async def read_body(request: web.BaseRequest, head: Head, account: Account, *, seconds: float) -> bytes:
    """The whole body.

    Raises:
        RefusalError: 400, 408 after `seconds`, 413 over 4 MiB.
        OverBudgetError: the account gets no more bytes.
    """
    account.take(REQUEST_BYTES + head.size)
    if not request.can_read_body:
        return b""
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise _too_large()
    if head.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # nothing of the answer has been sent yet
    try:
        async with asyncio.timeout(seconds):
            return await _read(request, account)
    except TimeoutError:
        request.protocol._lingering_time = 0.0  # the rest is not waited for either
        raise RefusalError(408, f"The body did not arrive within {seconds:g} s.", reason="TooSlow") from None
    except RequestPayloadError:
        raise RefusalError(400, "The body ends early or is not encoded as its head says.", reason="Malformed") from None


async def _read(request: web.BaseRequest, account: Account) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await request.content.readany():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        account.take(len(chunk))
        chunks.append(chunk)
    return b"".join(chunks)


def check_json(head: Head, body: bytes) -> None:
    """Raises RefusalError 400 if the body says that it is JSON and is not."""
    media_type = head.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        return
    if "Inference-Header-Content-Length" in head.headers:
        return  # KServe's binary tensors follow the JSON
    try:
        pydantic_core.from_json(body, cache_strings="none")
    except ValueError:
        raise RefusalError(400, "The body is not valid JSON in UTF-8.", reason="Malformed") from None


def _too_large() -> RefusalError:
    return RefusalError(413, f"The body is larger than {MAX_BODY_BYTES // 2**20} MiB.", reason="BodyTooLarge")
