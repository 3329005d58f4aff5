"""An application with a fake backend behind it, without ports and without torch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp
from tokenizers import Tokenizer, models, pre_tokenizers

from classifier_artifacts.classifier_json import Task
from classifier_server.app import build_app
from classifier_server.classifier import Classifier, LabelSet
from classifier_server.config import parse
from classifier_server.engine import Engine
from classifier_server.metrics import Metrics
from classifier_server.state import ServerState
from classifier_server.tokenization import TextEncoder
from support.fake_backend import FakeBackend

MAX_LENGTH = 8


def digits_tokenizer() -> Tokenizer:
    """Words that are numbers from 0 to 99 are their own token ids; any other word is 99; no special tokens."""
    tokenizer = Tokenizer(models.WordLevel({str(number): number for number in range(100)}, unk_token="99"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@dataclass
class Service:
    """The application and what stands behind it."""

    app: ASGIApp
    state: ServerState
    metrics: Metrics
    backend: FakeBackend
    engine: Engine


ServiceFactory = Callable[..., Service]


@pytest.fixture
def make_service() -> Iterator[ServiceFactory]:
    """Makes a service of a task: Binary (label `cat`, with one or two logits), Multiclass or Multilabel (labels `a`,
    `b`, `c`). But for Multiclass the first label's threshold is .4."""
    made: list[Service] = []

    def make(
        task: Task = "Multiclass",
        max_queue: int = 512,
        loaded: bool = True,
        logits: int = 2,
        server: dict[str, Any] | None = None,
    ) -> Service:
        config = parse(
            {
                "version": "v1alpha1",
                "name": "r8",
                "checkpoint": "epoch-3",
                "model": {"uri": "pvc://out/model"},
                "server": server or {},
            },
            "test",
        )
        names = ("cat",) if task == "Binary" else ("a", "b", "c")
        logit_names = ("not cat", "cat") if task == "Binary" and logits == 2 else names
        state, metrics = ServerState(config), Metrics()
        backend = FakeBackend(labels=len(logit_names))
        engine = Engine(backend, max_queue=max_queue, observer=metrics)
        engine.start()
        labels = LabelSet(task, names, logit_names, {} if task == "Multiclass" else {names[0]: 0.4})
        if loaded:
            state.loaded(Classifier(labels, TextEncoder(digits_tokenizer(), MAX_LENGTH), engine, metrics))
        made.append(Service(build_app(state, metrics), state, metrics, backend, engine))
        return made[-1]

    yield make
    for service in made:
        service.backend.gate.set()
        service.engine.close()


@pytest.fixture
async def client(make_service: ServiceFactory) -> AsyncIterator[httpx.AsyncClient]:
    """Talks to a multiclass service."""
    transport = httpx.ASGITransport(make_service().app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://server") as opened:
        yield opened
