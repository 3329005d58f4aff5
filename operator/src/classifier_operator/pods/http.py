"""HTTP with pods: what they answer is bounded in time and size, and leads nowhere else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import aiohttp

ANSWER_SECONDS: Final = 2.0
MAX_ANSWER_BYTES: Final = 65536


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer."""

    status: int
    body: bytes


class PodHttp:
    """GET without redirects, in 2 s, at most 64 KiB, past every proxy."""

    def __init__(self, *, connections: int = 100) -> None:
        self._connections = connections
        self._session: aiohttp.ClientSession | None = None

    async def get(self, url: str, headers: Mapping[str, str] | None = None) -> Answer | None:
        """The answer, or None if none came in time or it was too large."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._connections, force_close=True),
                timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS),
                trust_env=False,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        try:
            async with self._session.get(url, allow_redirects=False, headers=headers) as response:
                body = await response.content.read(MAX_ANSWER_BYTES + 1)
                while len(body) <= MAX_ANSWER_BYTES and not response.content.at_eof():
                    more = await response.content.read(MAX_ANSWER_BYTES + 1 - len(body))
                    body += more
                return Answer(response.status, body) if len(body) <= MAX_ANSWER_BYTES else None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            return None

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()


def host(address: str) -> str:
    """An IP address as it stands in a URL."""
    return f"[{address}]" if ":" in address else address
