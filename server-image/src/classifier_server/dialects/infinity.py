"""Infinity: `POST /classify` under its own prefix, or bare where the configuration says so."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from classifier_server.classifier import Classified
from classifier_server.dialects import openai_errors
from classifier_server.dialects.dialect import Dialect, Incoming, Query, Rendered, Reply
from classifier_server.dialects.reading import Body
from classifier_server.dialects.tei import Prediction
from classifier_server.dialects.writing import dump, scored
from classifier_server.errors import RequestError


class InfinityRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True, frozen=True, json_schema_extra={"examples": [{"input": ["Wheat exports rose.", "Oil fell."]}]}
    )

    model: Annotated[str, Field(description="Name of the deployment or of its checkpoint; may be left out.")] | None = (
        None
    )
    input: Annotated[list[str], Field(description="Texts.")]
    raw_scores: Annotated[bool, Field(description="Scores are the outputs of the model's head.")] = False


class InfinityUsage(BaseModel):
    """What the request cost."""

    prompt_tokens: int
    total_tokens: int


class InfinityResponse(BaseModel):
    """Answer to an InfinityRequest; a list of labels for each text, the highest score first."""

    object: Literal["classify"]
    data: list[list[Prediction]]
    model: str
    usage: InfinityUsage
    id: str
    created: int


_BODY = Body(
    InfinityRequest,
    {
        "model": "a string",
        "input": "a list of strings",
        "input[]": "a string",
        "raw_scores": "true or false",
    },
)


def parse(incoming: Incoming) -> Query[InfinityRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
    request = _BODY.read(incoming.body)
    if not request.input:
        raise RequestError(422, "input is empty: write at least one text.", field="input")
    return Query(request, request.input, "input", model=request.model)


def render(request: InfinityRequest, answer: Classified, reply: Reply) -> Rendered:
    """By the shape of InfinityResponse."""
    values = answer.logits.astype(np.float64) if request.raw_scores else answer.class_probs
    body = {
        "object": "classify",
        "data": [scored(answer.class_names, row) for row in values],
        "model": reply.model,
        "usage": {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens},
        "id": f"infinity-{reply.request_id}",
        "created": reply.created,
    }
    return Rendered(dump(body))


def render_error(error: RequestError) -> bytes:
    """By the shape of OpenAIError, with the status as code."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    return openai_errors.render(error.message, kind, error.field, error.status)


DIALECT = Dialect(
    "infinity",
    "Infinity",
    parse,
    render,
    render_error,
    request=InfinityRequest,
    response=InfinityResponse,
    error=openai_errors.OpenAIError,
)
