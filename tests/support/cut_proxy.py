"""A TCP proxy in front of an API server whose connections can be cut, as networks do."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import urlsplit


class CutProxy:
    """Forwards 127.0.0.1:port to a server, unless it is cut."""

    def __init__(self, server: str) -> None:
        parts = urlsplit(server)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 443)
        self._open: set[asyncio.StreamWriter] = set()
        self._listening: asyncio.Server | None = None
        self.refusing = False
        self.port = 0

    async def __aenter__(self) -> CutProxy:
        self._listening = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._listening.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._listening is not None
        self._listening.close()
        self.cut()
        await self._listening.wait_closed()

    def cut(self) -> None:
        """Breaks every connection at once."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.refusing:
            writer.transport.abort()
            return
        there, back = await asyncio.open_connection(*self._target)
        self._open |= {writer, back}
        try:
            await asyncio.gather(_copy(reader, back), _copy(there, writer))
        finally:
            self._open -= {writer, back}


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    target.close()
