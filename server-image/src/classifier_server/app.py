"""The API port's application: routes and what each does. Light: the model comes with the state, once it is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from classifier_server import documentation
from classifier_server.classifier import Classified, Classifier
from classifier_server.dialects import native
from classifier_server.edge import Edge, respond
from classifier_server.engine import InferenceError, QueueFullError
from classifier_server.errors import ClientGoneError, RequestError
from classifier_server.keys import Keys
from classifier_server.limits import MAX_BATCH_TEXTS, check_headers, read_body
from classifier_server.metrics import CONTENT_TYPE, Metrics
from classifier_server.state import ServerState
from classifier_server.tokenization import NoTokensError, TextTooLongError

T = TypeVar("T")

_OPEN_PATHS = frozenset({"/health", "/ready"})


def build_app(state: ServerState, metrics: Metrics, keys: Keys | None = None) -> ASGIApp:
    """The ASGI application of port 8080; without `keys` everybody may ask."""

    async def health(_: Request) -> Response:
        code, body = state.health()
        return JSONResponse(body, code)

    async def ready(_: Request) -> Response:
        code, body = state.readiness()
        return JSONResponse(body, code)

    async def metrics_page(_: Request) -> Response:
        return Response(metrics.render(), headers={"content-type": CONTENT_TYPE})

    document = documentation.openapi()
    page = documentation.page(document, state.config.model_id)

    async def openapi(_: Request) -> Response:
        return JSONResponse(document)

    async def docs(_: Request) -> Response:
        return HTMLResponse(page, headers=documentation.SECURITY_HEADERS)

    routes = [
        Route(native.PATH, NativeEndpoint(state), methods=["POST"]),
        Route("/health", health),
        Route("/ready", ready),
        Route("/metrics", metrics_page),
        Route("/openapi.json", openapi),
        Route("/docs", docs),
    ]
    app = _keyed(_raising(Router(routes, redirect_slashes=False)), keys or Keys())
    return Edge(app, state, metrics, {native.PATH: native.NAME}.get)


def _keyed(app: ASGIApp, keys: Keys) -> ASGIApp:
    """The application behind the keys; open are only the probes."""

    async def keyed(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] not in _OPEN_PATHS:
            keys.check(scope["headers"])
        await app(scope, receive, send)

    return keyed


class NativeEndpoint:
    """`POST /v1/classification`."""

    def __init__(self, state: ServerState) -> None:
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        check_headers(scope)
        request = native.parse(await read_body(scope, receive))
        config = self._state.config
        if request.model is not None and request.model not in config.accepted_names:
            known = ", ".join(config.accepted_names)
            raise RequestError(404, f"This server has no such model; it serves {known}.", field="model")
        classifier = self._state.classifier
        if classifier is None:
            raise RequestError(503, f"The model is not ready yet: {self._state.loading}.", headers={"retry-after": "1"})
        answer = await unless_client_leaves(receive, _classify(self._state, classifier, request))
        request_id = scope["state"]["request_id"]
        body = native.render(request, answer, request_id=request_id, model=config.name)
        headers = {"x-classifier-model": config.model_id, "x-classifier-truncated": str(answer.truncated)}
        await respond(send, 200, body, "application/json", headers)


async def _classify(state: ServerState, classifier: Classifier, request: native.ClassificationRequest) -> Classified:
    """Admission, tokens and logits of a request; failures as RequestError that names its fields."""
    texts = request.texts
    limit = min(MAX_BATCH_TEXTS, classifier.engine.max_queue)
    if len(texts) > limit:
        raise RequestError(422, f"input has {len(texts)} texts, at most {limit} are taken at once.", field="input")
    try:
        admission = classifier.engine.admit(len(texts))
    except QueueFullError as error:
        headers = {"retry-after": str(error.retry_after)}
        raise RequestError(429, "Too many texts are waiting; try again after Retry-After.", headers=headers) from None
    state.request_started()
    answered = False
    try:
        with admission:
            answer = await classifier.classify(admission, texts, request.truncate)
        answered = True
    except TextTooLongError as error:
        message = f"{_place(request, error.row)} has {error.tokens} tokens, the model takes {error.limit}."
        raise RequestError(422, message, field=_place(request, error.row)) from None
    except NoTokensError as error:
        place = _place(request, error.row)
        raise RequestError(422, f"{place} is empty: the tokenizer makes no token of it.", field=place) from None
    except InferenceError as error:
        raise RequestError(500, f"The request could not be computed: {error}.") from error
    finally:
        state.request_ended(answered=answered)
    return answer


def _place(request: native.ClassificationRequest, row: int) -> str:
    return "input" if isinstance(request.input, str) else f"input[{row}]"


async def unless_client_leaves(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; cancels it and raises ClientGoneError when the caller closes the connection first. The body
    must have been read."""
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnected(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientGoneError
        return task.result()
    finally:
        for pending in (task, watcher):
            pending.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _raising(router: Router) -> ASGIApp:
    """The router with its 404 and 405 raised as exceptions, as Starlette does inside one of its applications."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["app"] = router
        await router(scope, receive, send)

    return app
