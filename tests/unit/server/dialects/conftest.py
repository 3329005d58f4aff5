"""Clients of services with a fake backend."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import httpx
import pytest

from support.dialect_cases import CASES, Case

OpenClient = Callable[..., Any]


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    """Each kind of task."""
    return CASES[request.param]


@pytest.fixture
async def talk(make_service: Any) -> AsyncIterator[OpenClient]:
    """`await talk(task="Binary", …)`: a client of a service that is made with these arguments."""
    async with AsyncExitStack() as stack:

        async def opened(**arguments: Any) -> httpx.AsyncClient:
            transport = httpx.ASGITransport(make_service(**arguments).app, raise_app_exceptions=False)
            return await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url="http://server"))

        yield opened
