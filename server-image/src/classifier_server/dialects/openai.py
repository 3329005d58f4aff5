"""OpenAI: `POST /v1/moderations` and `GET /v1/models`."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from classifier_server.classifier import Classified
from classifier_server.dialects import openai_errors
from classifier_server.dialects.dialect import Dialect, Facts, Incoming, Query, Rendered, Reply
from classifier_server.dialects.reading import Body
from classifier_server.dialects.writing import by_name, dump
from classifier_server.errors import RequestError

# What OpenAI's clients write by default.
_ITS_MODELS = re.compile(r"(omni|text)-moderation-[a-z0-9.-]{1,64}")


class ModerationPart(BaseModel):
    """A part of one input."""

    model_config = ConfigDict(strict=True, frozen=True)

    type: Annotated[str, Field(description="`text`; images are not taken.")]
    text: str | None = None


class ModerationRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [
                {"input": ["Wheat exports rose."], "model": "omni-moderation-latest"},
                {"input": [{"type": "text", "text": "Wheat exports rose."}]},
            ]
        },
    )

    model: (
        Annotated[
            str,
            Field(
                description="Name of the deployment or of its checkpoint, or any `omni-moderation-` or "
                "`text-moderation-`, which stand for the model that is served; may be left out."
            ),
        ]
        | None
    ) = None
    input: Annotated[
        str | list[str] | list[ModerationPart],
        Field(description="A text, a list of texts, or the parts of one text: `[{type: text, text: …}]`."),
    ]


class Moderation(BaseModel):
    """The answer for one text."""

    flagged: Annotated[bool, Field(description="Whether a label is predicted that `server.unflaggedLabels` lacks.")]
    categories: Annotated[dict[str, bool], Field(description="Whether a label is predicted.")]
    category_scores: Annotated[dict[str, float], Field(description="Probability by label.")]
    category_applied_input_types: dict[str, list[Literal["text"]]]


class ModerationResponse(BaseModel):
    """Answer to a ModerationRequest."""

    id: str
    model: str
    results: list[Moderation]


_BODY = Body(
    ModerationRequest,
    {
        "model": "a string",
        "input": "a text, a list of texts or a list of parts",
        "input[]": "a text, or {type: text, text: …}",
        "input[].type": "text",
        "input[].text": "a string",
    },
)
_CODES = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}


def is_its_model(name: str) -> bool:
    """Whether the name is one of OpenAI's own, which are taken for the model that is served."""
    return _ITS_MODELS.fullmatch(name) is not None


def parse(incoming: Incoming) -> Query[ModerationRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong, or no text)."""
    request = _BODY.read(incoming.body)
    given: Sequence[str | ModerationPart] = [request.input] if isinstance(request.input, str) else request.input
    if not given:
        raise RequestError(422, "input is empty: write at least one text.", field="input")
    texts = [_text_of(part, index) for index, part in enumerate(given)]
    single = isinstance(request.input, str) or isinstance(given[0], ModerationPart)
    if single:  # parts make up one input, as in OpenAI's own answers
        texts = ["\n".join(texts)]
    return Query(request, texts, "input", single=single, model=request.model)


def _text_of(part: str | ModerationPart, index: int) -> str:
    if isinstance(part, str):
        return part
    if part.type != "text":
        message = f"input[{index}].type must be text: this model reads nothing else."
        raise RequestError(422, message, field=f"input[{index}].type")
    if part.text is None:
        raise RequestError(422, f"input[{index}].text is missing: write a string.", field=f"input[{index}].text")
    return part.text


def render(_: ModerationRequest, answer: Classified, reply: Reply) -> Rendered:
    """By the shape of ModerationResponse."""
    names = answer.labels.names
    results = [
        {
            "flagged": not set(predicted) <= reply.unflagged,
            "categories": {name: name in predicted for name in names},
            "category_scores": by_name(names, probs),
            "category_applied_input_types": {name: ["text"] for name in names},
        }
        for predicted, probs in zip(map(set, answer.predicted), answer.probs, strict=True)
    ]
    return Rendered(dump({"id": f"modr-{reply.request_id}", "model": reply.model, "results": results}))


def render_error(error: RequestError) -> bytes:
    """By the shape of OpenAIError."""
    kind = "server_error" if error.status >= 500 else "invalid_request_error"
    code = _CODES.get(error.status) if error.field in ("model", None) else None
    return openai_errors.render(error.message, kind, error.field, code)


def models(facts: Facts, _: Mapping[str, str]) -> Rendered:
    """`GET /v1/models`."""
    return Rendered(dump({"object": "list", "data": [_model(facts)]}))


def model(facts: Facts, path: Mapping[str, str]) -> Rendered:
    """`GET /v1/models/{name}`, which KServe V1 has too: 503 until the model is loaded. Raises RequestError 404."""
    name = facts.of(path["name"])
    return Rendered(dump({**_model(facts), "name": name, "ready": facts.ready}), 200 if facts.ready else 503)


def _model(facts: Facts) -> dict[str, Any]:
    return {
        "id": facts.names[0],
        "object": "model",
        "created": facts.created,
        "owned_by": "classifier-operator",
        "root": facts.uri,
        "max_model_len": facts.max_length,
    }


DIALECT = Dialect(
    "openai",
    "OpenAI moderations",
    parse,
    render,
    render_error,
    request=ModerationRequest,
    response=ModerationResponse,
    error=openai_errors.OpenAIError,
    note="Categories are the model's labels.",
    statuses={422: 400},
    accepts_model=is_its_model,
)
