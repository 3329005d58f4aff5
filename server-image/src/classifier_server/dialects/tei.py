"""Text Embeddings Inference: `POST /predict`.

Probabilities are this server's: a multilabel model gets the sigmoid of each logit, where Text Embeddings Inference
itself takes the softmax.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from classifier_server.classifier import Classified
from classifier_server.dialects.dialect import Dialect, Facts, Incoming, Query, Rendered, Reply
from classifier_server.dialects.reading import Body
from classifier_server.dialects.writing import dump, scored
from classifier_server.errors import RequestError
from classifier_server.limits import MAX_BATCH_TEXTS
from classifier_server.tokenization import Reading, Truncation


class TeiRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        json_schema_extra={
            "examples": [{"inputs": "Wheat exports rose."}, {"inputs": [["Wheat rose."], ["Oil fell."]]}]
        },
    )

    inputs: Annotated[
        str | list[str] | list[list[str]],
        Field(description='A text, or a batch `[["a"],["b"]]`. `["a","b"]` is a pair, which is not taken.'),
    ]
    truncate: Annotated[
        bool | None, Field(description="`false` refuses texts that are too long; left out or `true`, they are cut.")
    ] = None
    truncation_direction: Annotated[
        Literal["Left", "Right", "left", "right"] | None, Field(description="Where a text is cut.")
    ] = None
    raw_scores: Annotated[bool, Field(description="Scores are the outputs of the model's head.")] = False


class Prediction(BaseModel):
    """One label of a text."""

    label: str
    score: float


class TeiError(BaseModel):
    """Body of every answer that is not 200."""

    error: str
    error_type: Literal["Unhealthy", "Backend", "Overloaded", "Validation", "Empty"]


_BODY = Body(
    TeiRequest,
    {
        "inputs": 'a text, or a batch of texts: [["a"],["b"]]',
        "inputs[]": "a text in a list of its own",
        "inputs[][]": "a string",
        "truncate": "true or false",
        "truncation_direction": "Left or Right",
        "raw_scores": "true or false",
    },
)
_TYPES = {424: "Backend", 429: "Overloaded", 503: "Unhealthy"}


def parse(incoming: Incoming) -> Query[TeiRequest]:
    """Raises RequestError 400 (no JSON, or nothing to classify) or 422 (a field is wrong, or a pair)."""
    request = _BODY.read(incoming.body)
    inputs = request.inputs
    single = isinstance(inputs, str) or not inputs or isinstance(inputs[0], str)
    if isinstance(inputs, str):
        texts = [inputs]
    elif single:
        texts = [_alone([str(text) for text in inputs], "inputs")]
    else:
        texts = [_alone(list(row), f"inputs[{index}]") for index, row in enumerate(inputs)]
    query = Query(request, texts, "inputs", single=single, reading=Reading(_truncation(request)))
    if "" in texts:
        raise _empty(query.place(texts.index("")))
    return query


def _alone(row: list[str], place: str) -> str:
    if len(row) == 1:
        return row[0]
    if not row:
        raise _empty(place)
    what = "is a pair, and the model reads single texts" if len(row) == 2 else "must be one text"
    raise RequestError(422, f'{place} {what}; a batch is [["a"],["b"]].', field=place)


def _empty(place: str) -> RequestError:
    return RequestError(400, f"{place} is empty: write at least one text.", field=place)


def _truncation(request: TeiRequest) -> Truncation | None:
    if request.truncate is False:
        return "Error"
    if request.truncation_direction is None:
        return None
    return "Left" if request.truncation_direction.lower() == "left" else "Right"


def render(request: TeiRequest, answer: Classified, _: Reply) -> Rendered:
    """Labels with scores, the highest first: a list for one text, a list of lists for a batch."""
    values = answer.logits.astype(np.float64) if request.raw_scores else answer.class_probs
    rows = [scored(answer.class_names, row) for row in values]
    single = isinstance(request.inputs, str) or isinstance(request.inputs[0], str)
    times = answer.timings
    headers = {
        "x-compute-time": _milliseconds(times.tokenize + times.infer),
        "x-queue-time": _milliseconds(times.queue),
        "x-tokenization-time": _milliseconds(times.tokenize),
        "x-inference-time": _milliseconds(times.infer - times.queue),
        "x-compute-tokens": str(answer.tokens),
    }
    return Rendered(dump(rows[0] if single else rows), headers=headers)


def _milliseconds(seconds: float) -> str:
    return str(max(round(seconds * 1000), 0))


def render_error(error: RequestError) -> bytes:
    """An error by the shape of TeiError."""
    empty = error.status == 400 and error.field is not None
    kind = "Empty" if empty else _TYPES.get(error.status, "Validation")
    return dump({"error": error.message, "error_type": kind})


def info(facts: Facts, _: Mapping[str, str]) -> Rendered:
    """`GET /info`."""
    body: dict[str, Any] = {
        "model_id": facts.names[0],
        "model_sha": None,
        "max_client_batch_size": min(MAX_BATCH_TEXTS, facts.max_queue),
        "auto_truncate": True,
    }
    if facts.labels is not None:
        names = facts.labels.logit_names
        body["max_input_length"] = facts.max_length
        body["model_type"] = {
            "classifier": {
                "id2label": {str(index): name for index, name in enumerate(names)},
                "label2id": {name: index for index, name in enumerate(names)},
            }
        }
    return Rendered(dump(body))


DIALECT = Dialect(
    "tei",
    "Text Embeddings Inference",
    parse,
    render,
    render_error,
    request=TeiRequest,
    response=list[Prediction] | list[list[Prediction]],
    error=TeiError,
    note="Scores of a multilabel model are the sigmoid of each output, where Text Embeddings Inference itself takes "
    "the softmax. Too long a text is cut unless truncate is false. Pairs are refused.",
    statuses={500: 424},
)
