"""One endpoint for all dialects: read the body, admit its texts, classify them, write the answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from typing import Any, NoReturn, TypeVar

from starlette.types import Receive, Scope

from classifier_server.classifier import Classified, Classifier, Timings
from classifier_server.dialects.dialect import Incoming, Query, Rendered, Reply, unknown_model
from classifier_server.edge import Call
from classifier_server.engine import InferenceError, QueueFullError
from classifier_server.errors import ClientGoneError, RequestError
from classifier_server.limits import MAX_BATCH_TEXTS, read_body
from classifier_server.routes import Ask
from classifier_server.state import ServerState
from classifier_server.tokenization import NoRoomError, NoTokensError, TextTooLongError, TooManyWindowsError

T = TypeVar("T")

_LISTED_LABELS = 20


class Asking:
    """Answers the rows of the table that are questions."""

    def __init__(self, state: ServerState) -> None:
        self._state = state
        self._unflagged = frozenset(state.config.server.unflagged_labels)

    async def answer(self, row: Ask, path: Mapping[str, str], call: Call, scope: Scope, receive: Receive) -> Rendered:
        """Notes in `call` the dialect that is spoken. Raises RequestError and ClientGoneError."""
        headers = dict(scope["headers"])
        row.dialect.check_headers(headers)
        body = await read_body(scope, receive)
        dialect = row.dialect if row.choose is None else row.choose(body)
        call.shape = dialect
        query = dialect.parse(Incoming(body, headers, path))
        call.texts = len(query.texts)
        config = self._state.config
        asked = query.model
        if asked is not None and asked not in config.accepted_names and not dialect.accepts_model(asked):
            raise unknown_model(config.accepted_names)
        classifier = self._state.classifier
        if classifier is None:
            raise RequestError(503, f"The model is not ready yet: {self._state.loading}.", headers={"retry-after": "1"})
        call.asked = time.perf_counter()
        call.answer = answer = await unless_client_leaves(receive, _classify(self._state, classifier, query))
        reply = Reply(call.request_id, config.name, config.checkpoint, int(time.time()), self._unflagged)
        rendered = dialect.render(query.request, answer, reply)
        headers_of_all = {
            "x-classifier-model": config.model_id,
            "x-classifier-truncated": str(answer.truncated),
            "server-timing": _server_timing(answer.timings),
        }
        return Rendered(rendered.body, rendered.status, rendered.media_type, {**rendered.headers, **headers_of_all})


def _server_timing(timings: Timings) -> str:
    """The stages, which follow each other, in milliseconds."""
    stages = {"tokenize": timings.tokenize, "queue": timings.queue, "infer": timings.infer - timings.queue}
    return ", ".join(f"{name};dur={1000 * max(seconds, 0.0):.2f}" for name, seconds in stages.items())


async def _classify(state: ServerState, classifier: Classifier, query: Query[Any]) -> Classified:
    """Admission, tokens and logits of a request; failures as RequestError that names its fields."""
    limit = min(MAX_BATCH_TEXTS, classifier.engine.max_queue)
    if len(query.texts) > limit:
        message = f"{query.where} has {len(query.texts)} texts, at most {limit} are taken at once."
        raise RequestError(422, message, field=query.where)
    _check_labels(query, classifier)
    try:
        admission = classifier.engine.admit(len(query.texts))
    except QueueFullError as error:
        raise _overloaded(error) from None
    state.request_started()
    answered = False
    try:
        with admission:
            answer = await classifier.classify(admission, query.texts, query.reading, query.thresholds)
        answered = True
    except QueueFullError as error:
        raise _overloaded(error) from None
    except InferenceError as error:
        raise RequestError(500, f"The request could not be computed: {error}.") from error
    except (TextTooLongError, NoTokensError, NoRoomError, TooManyWindowsError) as error:
        _refuse_texts(error, query)
    finally:
        state.request_ended(answered=answered)
    return answer


def _check_labels(query: Query[Any], classifier: Classifier) -> None:
    known = classifier.labels.names
    if not set(query.thresholds) <= set(known):
        named = ", ".join(known[:_LISTED_LABELS]) + (", …" if len(known) > _LISTED_LABELS else "")
        raise RequestError(422, f"thresholds has a label that the model does not have; it has {named}.",
                           field="thresholds")  # fmt: skip


def _overloaded(error: QueueFullError) -> RequestError:
    headers = {"retry-after": str(error.retry_after)}
    return RequestError(429, "Too many texts are waiting; try again after Retry-After.", headers=headers)


def _refuse_texts(
    error: TextTooLongError | NoTokensError | NoRoomError | TooManyWindowsError, query: Query[Any]
) -> NoReturn:
    """What the tokenizer could not take, by the names of the request."""
    if isinstance(error, TextTooLongError):
        place = query.place(error.row)
        message = f"{place} has {error.tokens} tokens, the model takes {error.limit}."
    elif isinstance(error, NoTokensError):
        place = query.place(error.row)
        message = f"{place} is empty: the tokenizer makes no token of it."
    elif isinstance(error, NoRoomError):
        place = query.names_of_reading[error.what]
        message = f"{place} must be from {error.least} to {error.most} with this model."
    else:
        place = query.where
        message = f"{place} has more than {error.limit} windows, which are too many at once: send fewer texts."
    raise RequestError(422, message, field=place) from None


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
