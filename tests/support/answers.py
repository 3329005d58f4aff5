"""What a server would answer, without a port: the real loader and the real HTTP application in this process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx

from classifier_server.app import build_app
from classifier_server.config import ServeConfig
from classifier_server.loading import load_classifier
from classifier_server.metrics import Metrics
from classifier_server.state import ServerState


def answers(config: ServeConfig, *requests: dict[str, Any]) -> list[list[dict[str, Any]]]:
    """The rows (`data`) of the answer to each request body; all are sent at once."""
    return [answer["data"] for answer in posted(config, *(("/v1/classification", body) for body in requests))]


def posted(config: ServeConfig, *requests: tuple[str, dict[str, Any]]) -> list[Any]:
    """The answer to each body that is posted to a path; all are sent at once."""
    metrics = Metrics()
    state = ServerState(config)
    classifier = load_classifier(config, metrics, report=lambda _: None, on_broken=lambda _: None)
    state.loaded(classifier)

    async def ask() -> Sequence[httpx.Response]:
        transport = httpx.ASGITransport(build_app(state, metrics))
        async with httpx.AsyncClient(transport=transport, base_url="http://server") as client:
            return await asyncio.gather(*(client.post(path, json=body) for path, body in requests))

    try:
        responses = asyncio.run(ask())
    finally:
        classifier.engine.close()
    return [response.raise_for_status().json() for response in responses]
