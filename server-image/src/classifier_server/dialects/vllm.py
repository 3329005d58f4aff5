"""vLLM: `POST /classify`."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from classifier_server.classifier import Classified
from classifier_server.dialects import openai_errors
from classifier_server.dialects.dialect import Dialect, Incoming, Query, Rendered, Reply
from classifier_server.dialects.reading import Body
from classifier_server.dialects.writing import dump, numbers
from classifier_server.errors import RequestError
from classifier_server.tokenization import Reading, Truncation


class VllmRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True, frozen=True, json_schema_extra={"examples": [{"input": ["Wheat exports rose.", "Oil fell."]}]}
    )

    model: Annotated[str, Field(description="Name of the deployment or of its checkpoint; may be left out.")] | None = (
        None
    )
    input: Annotated[str | list[str], Field(description="One text or a list of texts; token ids are not taken.")]
    use_activation: Annotated[bool | None, Field(description="`false` answers the outputs of the model's head.")] = None
    truncate_prompt_tokens: (
        Annotated[int, Field(ge=-1, description="Tokens of a text that are read; -1: as many as the model takes.")]
        | None
    ) = None
    truncation_side: Annotated[Literal["left", "right"] | None, Field(description="Where a text is cut.")] = None


class VllmRow(BaseModel):
    """The answer for one text."""

    index: int
    label: Annotated[str, Field(description="The most probable label.")]
    probs: Annotated[list[float], Field(description="In the order of the model's labels.")]
    num_classes: int


class VllmUsage(BaseModel):
    """What the request cost."""

    prompt_tokens: int
    total_tokens: int
    completion_tokens: int


class VllmResponse(BaseModel):
    """Answer to a VllmRequest."""

    id: str
    object: Literal["list"]
    created: int
    model: str
    data: list[VllmRow]
    usage: VllmUsage


_BODY = Body(
    VllmRequest,
    {
        "model": "a string",
        "input": "a string or a list of strings",
        "input[]": "a string",
        "use_activation": "true or false",
        "truncate_prompt_tokens": "a whole number from -1 on",
        "truncation_side": "left or right",
    },
)
_SIDES: dict[str, Truncation] = {"left": "Left", "right": "Right"}
# vLLM's names where they are not those of HTTP.
_TYPES = {400: "BadRequestError", 404: "NotFoundError", 401: "AuthenticationError", 429: "RateLimitError"}


def parse(incoming: Incoming) -> Query[VllmRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
    request = _BODY.read(incoming.body)
    if not request.input and not isinstance(request.input, str):
        raise RequestError(422, "input is empty: write at least one text.", field="input")
    tokens = request.truncate_prompt_tokens
    if tokens == 0:
        raise RequestError(422, "truncate_prompt_tokens must be -1, or at least 1.", field="truncate_prompt_tokens")
    single = isinstance(request.input, str)
    texts = [request.input] if isinstance(request.input, str) else request.input
    side = _SIDES[request.truncation_side] if request.truncation_side is not None else None
    return Query(
        request,
        texts,
        "input",
        single=single,
        model=request.model,
        reading=Reading(side, max_tokens=None if tokens == -1 else tokens),
        names_of_reading={"max_tokens": "truncate_prompt_tokens"},
    )


def render(request: VllmRequest, answer: Classified, reply: Reply) -> Rendered:
    """By the shape of VllmResponse."""
    values = answer.logits.astype(np.float64) if request.use_activation is False else answer.class_probs
    names = answer.class_names
    rows = [
        {"index": index, "label": names[int(row.argmax())], "probs": numbers(row), "num_classes": len(names)}
        for index, row in enumerate(values)
    ]
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens, "completion_tokens": 0}
    body = {
        "id": f"classify-{reply.request_id}",
        "object": "list",
        "created": reply.created,
        "model": reply.model,
        "data": rows,
        "usage": usage,
    }
    return Rendered(dump(body))


def render_error(error: RequestError) -> bytes:
    """By the shape of OpenAIError, with vLLM's types."""
    kind = _TYPES.get(error.status) or HTTPStatus(error.status).phrase.title().replace(" ", "") + "Error"
    return openai_errors.render(error.message, kind.replace("ErrorError", "Error"), error.field, error.status)


DIALECT = Dialect(
    "vllm",
    "vLLM",
    parse,
    render,
    render_error,
    request=VllmRequest,
    response=VllmResponse,
    error=openai_errors.OpenAIError,
    note="Too long a text is cut, where vLLM refuses it without truncate_prompt_tokens.",
    statuses={422: 400},
)
