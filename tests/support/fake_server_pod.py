"""A server pod that does what the test wants: two ports on a loopback address of its own, in the test's event loop."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

_ADDRESSES: Final = itertools.count(2)

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def free_ports(count: int, address: str = "127.0.8.1") -> list[int]:
    """Ports that nobody listens at right now."""
    sockets = [socket.create_server((address, 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    """Says what was asked."""
    body = await request.content.read()
    headers = [[name.decode(), value.decode()] for name, value in request.raw_headers]
    said = {"method": request.method, "target": request._message.path, "headers": headers, "size": len(body)}
    return web.json_response({**said, "body": body[:100].decode(errors="replace")})


class FakeServerPod:
    """A pod.

    Attributes:
        ready: what `/ready` on the internal port says.
        answer: what is done with a request.
        requests: how many came.
        connections: how many connections were made for them.
        probes: how often it was asked whether it is ready.
    """

    def __init__(self, name: str, port: int, internal_port: int, answer: Answer = echo) -> None:
        number = next(_ADDRESSES)
        self.name = name
        self.address = f"127.0.8.{number % 250 + 2}"
        self.ready = True
        self.answer = answer
        self.requests = 0
        self.probes = 0
        self._ports = (port, internal_port)
        self._servers: list[tuple[web.Server, asyncio.Server]] = []
        self.connections = 0

    async def start(self) -> None:
        """Listens."""
        loop = asyncio.get_running_loop()
        for handler, port in zip((self._serve, self._probe), self._ports, strict=True):
            http = web.Server(handler, access_log=None, max_field_size=2**16)
            self._servers.append((http, await loop.create_server(http, self.address, port)))

    async def stop(self) -> None:
        """Closes both ports and breaks every connection."""
        for http, server in self._servers:
            server.close()
            for connection in http.connections:
                if connection.transport is not None:
                    connection.transport.abort()
            await http.shutdown(0.01)
        self._servers = []

    async def _serve(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests += 1
        if request.protocol._request_count == 1:
            self.connections += 1
        return await self.answer(request)

    async def _probe(self, _: web.BaseRequest) -> web.StreamResponse:
        self.probes += 1
        return web.Response(status=200 if self.ready else 503, body=json.dumps({"ready": self.ready}).encode())
