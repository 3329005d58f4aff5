"""Our own dialect, `POST /v1/classification`: models of request and answer, and the pure functions between them and
the classifier. The same models make the OpenAPI document."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from classifier_server.classifier import Classified
from classifier_server.errors import RequestError
from classifier_server.tokenization import Truncation

PATH = "/v1/classification"
NAME = "native"


class ClassificationRequest(BaseModel):
    """Texts to classify."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        json_schema_extra={"examples": [{"input": ["Grain shipments rose by 4 percent in March."], "top_k": 3}]},
    )

    model: Annotated[str, Field(description="Name of the deployment or of its checkpoint; may be left out.")] | None = (
        None
    )
    input: Annotated[str | list[str], Field(description="One text or a list of texts.")]
    data_format: Annotated[
        Literal["probs", "logits"],
        Field(description="`logits` answers the head's raw outputs instead of probabilities."),
    ] = "probs"
    top_k: Annotated[int, Field(ge=1, description="Only this many labels, the most probable first.")] | None = None
    truncate: (
        Annotated[
            Truncation,
            Field(description="Where a text longer than the model takes is cut; `Error` refuses it instead."),
        ]
        | None
    ) = None

    @property
    def texts(self) -> list[str]:
        """The input as a list."""
        return [self.input] if isinstance(self.input, str) else self.input


class ClassificationRow(BaseModel):
    """The answer for one text; either `probs` or `logits` is there."""

    index: Annotated[int, Field(description="Place of the text in the input.")]
    label: Annotated[
        str | None, Field(description="The most probable of `labels`; null if no label reaches its threshold.")
    ]
    labels: Annotated[
        list[str], Field(description="Labels that reach their threshold; of a multiclass model the most probable one.")
    ]
    probs: Annotated[dict[str, float] | None, Field(description="Probability by label.")] = None
    logits: Annotated[dict[str, float] | None, Field(description="Output of the model's head by label.")] = None


class Usage(BaseModel):
    """What the request cost."""

    prompt_tokens: int
    total_tokens: int
    truncated: Annotated[int, Field(description="Texts that were cut to the model's maximum length.")]


class ClassificationResponse(BaseModel):
    """Answer to a ClassificationRequest."""

    id: Annotated[str, Field(description="The request's X-Request-ID.")]
    model: str
    data: list[ClassificationRow]
    usage: Usage


class ErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: Literal["invalid_request_error", "authentication_error", "rate_limit_error", "server_error"]
    param: Annotated[str | None, Field(description="Field of the request that is wrong.")] = None
    code: Annotated[int, Field(description="The HTTP status.")]


class ErrorResponse(BaseModel):
    """Body of every answer that is not 200."""

    error: ErrorDetail


_REQUEST = TypeAdapter(ClassificationRequest)
_ERROR_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


def parse(body: bytes) -> ClassificationRequest:
    """The request, checked for its form. Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
    try:
        request = _REQUEST.validate_json(body)
    except ValidationError as error:
        raise _refusal(error) from None
    if not request.texts:
        raise RequestError(422, "input is empty: write at least one text.", field="input")
    return request


def render(request: ClassificationRequest, answer: Classified, *, request_id: str, model: str) -> bytes:
    """The answer as JSON, by the shape of ClassificationResponse."""
    labels = answer.labels
    as_logits = request.data_format == "logits"
    names = labels.logit_names if as_logits else labels.names
    values = answer.logits.astype(np.float64) if as_logits else answer.probs
    rows = [
        {
            "index": index,
            "label": max(predicted, key=dict(zip(labels.names, probs, strict=True)).__getitem__, default=None),
            "labels": predicted,
            request.data_format: _by_name(names, row, request.top_k),
        }
        for index, (predicted, probs, row) in enumerate(zip(answer.predicted, answer.probs, values, strict=True))
    ]
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens, "truncated": answer.truncated}
    body = {"id": request_id, "model": model, "data": rows, "usage": usage}
    return json.dumps(body, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def render_error(error: RequestError) -> bytes:
    """An error as JSON, by the shape of ErrorResponse."""
    kind = "server_error" if error.status >= 500 else _ERROR_TYPES.get(error.status, "invalid_request_error")
    detail: dict[str, Any] = {"message": error.message, "type": kind, "code": error.status}
    if error.field is not None:
        detail["param"] = error.field
    return json.dumps({"error": detail}, ensure_ascii=False).encode()


def _by_name(names: tuple[str, ...], row: npt.NDArray[np.float64], top_k: int | None) -> dict[str, float]:
    order: Any = range(len(names)) if top_k is None else np.argsort(-row, kind="stable")[:top_k]
    # Six significant digits are more than the model's arithmetic carries.
    return {names[column]: float(f"{row[column]:.6g}") for column in order}


def _refusal(error: ValidationError) -> RequestError:
    """One sentence about the first mistake, made of our own words and the field's name, never of the input."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    kind, path = first["type"], first["loc"]
    if kind == "json_invalid":
        return RequestError(400, "The body is not valid JSON in UTF-8.")
    if not path:
        return RequestError(422, "The body must be a JSON object with the field input.")
    field = str(path[0])
    if kind == "extra_forbidden":
        known = ", ".join(ClassificationRequest.model_fields)
        return RequestError(422, f"A field of the request is not known; known are {known}.", field=field[:64])
    if field == "input":
        if kind == "missing":
            return RequestError(422, "input is missing: write a text or a list of texts.", field=field)
        rows = [part for entry in error.errors() for part in entry["loc"] if isinstance(part, int)]
        if rows:
            return RequestError(422, f"input[{rows[0]}] must be a string.", field=f"input[{rows[0]}]")
        return RequestError(422, "input must be a string or a list of strings.", field=field)
    wanted = {
        "model": "a string",
        "data_format": "probs or logits",
        "top_k": "a whole number from 1 on",
        "truncate": "Right, Left or Error",
    }[field]
    return RequestError(422, f"{field} must be {wanted}.", field=field)
