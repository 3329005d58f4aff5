"""The API port's application. Light: the model comes with the state, once it is loaded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from classifier_server import documentation
from classifier_server.asking import Asking
from classifier_server.dialects.dialect import Facts, Rendered
from classifier_server.dialects.writing import dump
from classifier_server.edge import Call, Edge, respond
from classifier_server.handled import Recorder, log
from classifier_server.keys import Keys
from classifier_server.limits import check_size_of_headers
from classifier_server.metrics import CONTENT_TYPE, Metrics
from classifier_server.playground import pages as playground
from classifier_server.playground.files import unless_known
from classifier_server.routes import Ask, Look, Row, Table, choose, dialect_rows
from classifier_server.state import ServerState

# Where clients of other servers look for its health, beside their dialect.
_PREFIXES = ("tei", "vllm", "infinity")


def build_app(
    state: ServerState, metrics: Metrics, keys: Keys | None = None, recorders: Sequence[Recorder] = (log,)
) -> ASGIApp:
    """The ASGI application of port 8080; without `keys` everybody may ask. `recorders` are told of each question."""
    rows = [*dialect_rows(state.config.server), *_pages(state, metrics), *playground.rows(state)]
    rows += documentation.rows(rows, state.config.model_id)
    return Edge(_App(state, Table(rows), keys or Keys()), state, metrics, recorders)


def _pages(state: ServerState, metrics: Metrics) -> list[Row]:
    """What is no dialect's."""

    def health(_: Facts, __: Mapping[str, str]) -> Rendered:
        status, body = state.health()
        return Rendered(dump(body), status)

    def ready(_: Facts, __: Mapping[str, str]) -> Rendered:
        status, body = state.readiness()
        return Rendered(dump(body), status)

    def scrape(_: Facts, __: Mapping[str, str]) -> Rendered:
        return Rendered(metrics.render(), media_type=CONTENT_TYPE)

    return [
        Look("/health", health, "Whether the process is alive", open=True),
        *(Look(f"/{prefix}/health", health, "The same", open=True, hidden=True) for prefix in _PREFIXES),
        Look("/ready", ready, "Whether the model is loaded", open=True),
        Look("/metrics", scrape, "Prometheus metrics", media_type="text/plain"),
    ]


class _App:
    """Finds the row of a request, asks for the key, answers."""

    def __init__(self, state: ServerState, table: Table, keys: Keys) -> None:
        self._state = state
        self._table = table
        self._keys = keys
        self._asking = Asking(state)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: Call = scope["state"]["call"]
        fitting = self._table.fitting(scope["path"])
        if fitting:
            call.shape = fitting[0][0].shape
        check_size_of_headers(scope["headers"])
        try:
            row, path = choose(fitting, scope["method"])
        except Exception:
            self._keys.check(scope["headers"])  # nobody without a key learns what there is
            raise
        call.shape, call.counted = row.shape, isinstance(row, Ask)
        if not row.open:
            self._keys.check(scope["headers"])
        if isinstance(row, Ask):
            rendered = await self._asking.answer(row, path, call, scope, receive)
        else:
            rendered = unless_known(row.tell(self._state.facts(), path), scope["headers"])
        await respond(send, rendered)
