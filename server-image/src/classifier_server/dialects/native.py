"""Our own dialect, `POST /v1/classification`: models of request and answer, and the pure functions between them and
the classifier. The same models make the OpenAPI document."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from classifier_server.classifier import Classified
from classifier_server.dialects.dialect import Dialect, Incoming, Query, Rendered, Reply
from classifier_server.dialects.reading import Body
from classifier_server.dialects.writing import by_name, dump
from classifier_server.errors import RequestError
from classifier_server.tokenization import LongText, Reading, Strategy, Truncation

PATH = "/v1/classification"


class LongTextOptions(BaseModel):
    """How a text that is longer than the model takes is read in windows."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    strategy: Annotated[
        Strategy,
        Field(
            description="`Max` looks for what stands anywhere in the text: the largest value of each label of a "
            "multilabel model, else the window that is most certain. `Mean` is the mean over the windows, by their "
            "tokens."
        ),
    ]
    stride: (
        Annotated[
            int,
            Field(
                ge=0, description="Tokens that a window shares with the one before; left out: a quarter of a window."
            ),
        ]
        | None
    ) = None


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
    thresholds: (
        Annotated[
            dict[str, Annotated[float, Field(ge=0, le=1)]],
            Field(
                description="Probability by label from which it counts as predicted, in place of the checkpoint's. "
                "Of a multiclass model, the most probable label is left out where it does not reach its threshold."
            ),
        ]
        | None
    ) = None
    truncate: (
        Annotated[
            Truncation,
            Field(description="Where a text longer than the model takes is cut; `Error` refuses it instead."),
        ]
        | None
    ) = None
    long_text: Annotated[
        LongTextOptions | None, Field(description="Read long texts whole, in windows, instead of cutting them.")
    ] = None

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
    type: Literal["invalid_request_error", "rate_limit_error", "server_error"]
    param: Annotated[str | None, Field(description="Field of the request that is wrong.")] = None
    code: Annotated[int, Field(description="The HTTP status.")]


class ErrorResponse(BaseModel):
    """Body of every answer that is not 200."""

    error: ErrorDetail


_BODY = Body(
    ClassificationRequest,
    {
        "model": "a string",
        "input": "a string or a list of strings",
        "input[]": "a string",
        "data_format": "probs or logits",
        "top_k": "a whole number from 1 on",
        "thresholds": "an object of numbers from 0 to 1 by label",
        "truncate": "Right, Left or Error",
        "long_text": "an object with strategy (Max or Mean) and, if you like, stride",
        "long_text.strategy": "Max or Mean",
        "long_text.stride": "a whole number from 0 on",
    },
)


def parse(incoming: Incoming) -> Query[ClassificationRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
    request = _BODY.read(incoming.body)
    if not request.texts:
        raise RequestError(422, "input is empty: write at least one text.", field="input")
    long_text = None
    if request.long_text is not None:
        if request.truncate is not None:
            raise RequestError(422, "long_text reads texts whole: leave truncate out.", field="truncate")
        long_text = LongText(request.long_text.strategy, request.long_text.stride)
    return Query(
        request,
        request.texts,
        "input",
        single=isinstance(request.input, str),
        model=request.model,
        reading=Reading(request.truncate, long_text=long_text),
        thresholds=request.thresholds or {},
        names_of_reading={"stride": "long_text.stride"},
    )


def render(request: ClassificationRequest, answer: Classified, reply: Reply) -> Rendered:
    """The answer by the shape of ClassificationResponse."""
    labels = answer.labels
    as_logits = request.data_format == "logits"
    names = labels.logit_names if as_logits else labels.names
    values = answer.logits.astype(np.float64) if as_logits else answer.probs
    rows = [
        {
            "index": index,
            "label": max(predicted, key=dict(zip(labels.names, probs, strict=True)).__getitem__, default=None),
            "labels": predicted,
            request.data_format: by_name(names, row, request.top_k),
        }
        for index, (predicted, probs, row) in enumerate(zip(answer.predicted, answer.probs, values, strict=True))
    ]
    usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens, "truncated": answer.truncated}
    return Rendered(dump({"id": reply.request_id, "model": reply.model, "data": rows, "usage": usage}))


def render_error(error: RequestError) -> bytes:
    """An error by the shape of ErrorResponse."""
    kind = "server_error" if error.status >= 500 else "rate_limit_error" if error.status == 429 else None
    detail: dict[str, Any] = {"message": error.message, "type": kind or "invalid_request_error", "code": error.status}
    if error.field is not None:
        detail["param"] = error.field
    return dump({"error": detail})


DIALECT = Dialect(
    "native",
    "Classify texts",
    parse,
    render,
    render_error,
    request=ClassificationRequest,
    response=ClassificationResponse,
    error=ErrorResponse,
)
