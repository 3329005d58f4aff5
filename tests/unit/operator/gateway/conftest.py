"""A gateway in the test's event loop."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from support.gateway_scene import GatewayScene, gateway_scene


@pytest.fixture
async def scene() -> AsyncIterator[GatewayScene]:
    async with gateway_scene() as made:
        yield made
