"""Sends a request to a pod, and its answer back."""

import asyncio
import io
import time
from typing import Final

import aiohttp
from aiohttp import web
from yarl import URL

from classifier_operator.gateway.head import Head, passed_on
from classifier_operator.gateway.metrics import BROKEN, FORWARD_SECONDS, FORWARDED
from classifier_operator.gateway.pods import Pod
from classifier_operator.gateway.refusal import SERVER_NAME, RefusalError
from classifier_operator.pods.http import host

HELD_HEADER: Final = "X-Classifier-Held-Ms"
_WHOLE_BYTES: Final = 256 * 1024
"""An answer up to this size is read whole before any of it is passed on: if it breaks, it can be asked for again."""
_LARGE_BODY_BYTES: Final = 64 * 1024
_CONNECT_SECONDS: Final = 2.0
_IDLE_SECONDS: Final = 15.0
"""How long an unused connection is kept; shorter than the server keeps it, so that it never closes under a request."""
_NOT_ADDED: Final = ("User-Agent", "Accept", "Accept-Encoding", "Content-Type")


class PodUnreachableError(Exception):
    """The pod took no connection; it has not seen the request."""


class PodBrokeError(Exception):
    """The connection broke before the answer was there; the pod may have seen the request."""


def pod_session() -> aiohttp.ClientSession:
    """The one session for all pods."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_SECONDS),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_SECONDS),
        skip_auto_headers=_NOT_ADDED,
        auto_decompress=False,
        trust_env=False,
        cookie_jar=aiohttp.DummyCookieJar(),
    )


class Forwarder:
    """One exchange with one pod at a time for each request; whoever calls it chooses the pod and tries again."""

    def __init__(self, session: aiohttp.ClientSession, *, port: int) -> None:
        self._session = session
        self._port = port

    async def send(
        self, request: web.BaseRequest, head: Head, body: bytes, pod: Pod, *, seconds: float, held_seconds: float
    ) -> web.StreamResponse:
        """The pod's answer.

        Args:
            request: the caller's, for answers that are too large to be read whole.
            seconds: for the whole exchange.

        Raises:
            RefusalError: 504, no answer in time.
            PodUnreachableError, PodBrokeError: nothing was passed on yet.
            ConnectionError: the answer broke after its beginning was passed on.
        """
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                made = await self._exchange(request, head, body, pod, held_seconds)
        except TimeoutError:
            if request.writer.output_size > 0:
                raise ConnectionError("the rest of the answer did not come in time") from None
            raise RefusalError(504, f"The server did not answer within {seconds:.0f} s.", reason="PodTimeout") from None
        FORWARD_SECONDS.observe(time.monotonic() - begun)
        FORWARDED.labels(str(made.status)).inc()
        return made

    async def _exchange(
        self, request: web.BaseRequest, head: Head, body: bytes, pod: Pod, held_seconds: float
    ) -> web.StreamResponse:
        response = await self._ask(head, body, pod)
        async with response:
            first, whole = await _beginning(response)
            headers = passed_on(response.raw_headers)
            headers[HELD_HEADER] = str(round(held_seconds * 1000))
            headers.setdefault("Server", SERVER_NAME)
            if whole:
                if head.method != "HEAD":
                    headers.popall("Content-Length", None)
                made = web.Response(status=response.status, reason=response.reason, headers=headers, body=first)
                made.force_close()
                return made
            streamed = web.StreamResponse(status=response.status, reason=response.reason, headers=headers)
            streamed.force_close()
            await _stream(request, streamed, first, response)
            return streamed

    async def _ask(self, head: Head, body: bytes, pod: Pod) -> aiohttp.ClientResponse:
        url = URL(f"http://{host(pod.ip)}:{self._port}{head.target}", encoded=True)
        # As a file a large body is sent piece by piece, instead of all at once.
        data = io.BytesIO(body) if len(body) > _LARGE_BODY_BYTES else body or None
        try:
            return await self._session.request(
                head.method, url, headers=head.forwarded(), data=data, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            BROKEN.labels("unreachable").inc()
            raise PodUnreachableError from error
        except (aiohttp.ClientError, ConnectionError) as error:
            BROKEN.labels("broken").inc()
            raise PodBrokeError from error


async def _beginning(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The answer's body as far as it is read before any of it is passed on, and whether that is all."""
    chunks: list[bytes] = []
    size = 0
    try:
        while size <= _WHOLE_BYTES:
            chunk = await response.content.readany()
            if not chunk:
                return b"".join(chunks), True
            size += len(chunk)
            chunks.append(chunk)
    except (aiohttp.ClientError, ConnectionError) as error:
        BROKEN.labels("broken").inc()
        raise PodBrokeError from error
    return b"".join(chunks), False


async def _stream(
    request: web.BaseRequest, streamed: web.StreamResponse, first: bytes, response: aiohttp.ClientResponse
) -> None:
    await streamed.prepare(request)
    await streamed.write(first)
    try:
        async for chunk in response.content.iter_any():
            await streamed.write(chunk)
    except (aiohttp.ClientError, TimeoutError) as error:
        raise ConnectionError("the answer broke") from error
    await streamed.write_eof()
