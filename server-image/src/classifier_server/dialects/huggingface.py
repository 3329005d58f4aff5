"""The Hugging Face inference task `text-classification`: `POST /models/{name}`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import from_json

from classifier_artifacts.probabilities import probabilities
from classifier_server.classifier import Classified
from classifier_server.dialects.dialect import Dialect, Incoming, Query, Rendered, Reply
from classifier_server.dialects.reading import Body
from classifier_server.dialects.tei import Prediction
from classifier_server.dialects.writing import dump, scored
from classifier_server.errors import RequestError
from classifier_server.tokenization import Reading


class TaskParameters(BaseModel):
    """What a caller may choose. Others are ignored."""

    model_config = ConfigDict(strict=True, frozen=True)

    top_k: Annotated[int, Field(ge=1, description="Only this many labels, the most probable first.")] | None = None
    function_to_apply: Annotated[
        Literal["sigmoid", "softmax", "none"] | None,
        Field(description="From the head's outputs to scores; left out: as the model was trained."),
    ] = None
    truncation: Annotated[
        bool | None, Field(description="`false` refuses texts that are too long; left out or `true`, they are cut.")
    ] = None


class TaskRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True,
        frozen=True,
        json_schema_extra={"examples": [{"inputs": "Wheat exports rose.", "parameters": {"top_k": 2}}]},
    )

    inputs: Annotated[str | list[str], Field(description="One text or a list of texts.")]
    parameters: TaskParameters | None = None


class TaskError(BaseModel):
    """Body of every answer that is not 200."""

    error: str
    estimated_time: Annotated[float | None, Field(description="Seconds, while the model is still loading.")] = None


_BODY = Body(
    TaskRequest,
    {
        "inputs": "a string or a list of strings",
        "inputs[]": "a string",
        "parameters": "an object",
        "parameters.top_k": "a whole number from 1 on",
        "parameters.function_to_apply": "sigmoid, softmax or none",
        "parameters.truncation": "true or false",
    },
)


def is_task(body: bytes) -> bool:
    """Whether a body that came to a path without a name is of this dialect: its clients always send `parameters`."""
    if b'"' not in body:
        return False
    try:
        document: Any = from_json(body)
    except ValueError:
        return False
    return isinstance(document, dict) and "parameters" in document


def parse(incoming: Incoming) -> Query[TaskRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
    request = _BODY.read(incoming.body)
    if request.inputs == []:
        raise RequestError(422, "inputs is empty: write at least one text.", field="inputs")
    single = isinstance(request.inputs, str)
    texts = [request.inputs] if isinstance(request.inputs, str) else request.inputs
    truncation = request.parameters.truncation if request.parameters is not None else None
    return Query(
        request,
        texts,
        "inputs",
        single=single,
        model=incoming.path.get("name"),
        reading=Reading("Error" if truncation is False else None),
    )


def render(request: TaskRequest, answer: Classified, _: Reply) -> Rendered:
    """A list of labels with scores for each text, the highest first, also where there is one text."""
    parameters = request.parameters or TaskParameters()
    scores = _scores(answer, parameters.function_to_apply)
    return Rendered(dump([scored(answer.class_names, row, parameters.top_k) for row in scores]))


def _scores(answer: Classified, function: Literal["sigmoid", "softmax", "none"] | None) -> npt.NDArray[np.float64]:
    if function is None:
        return answer.class_probs
    if function == "none":
        return answer.logits.astype(np.float64)
    if function == "sigmoid":
        return probabilities(answer.logits, "Multilabel")
    # of a single output the softmax is 1, whatever it is
    return probabilities(answer.logits, "Multiclass") if answer.logits.shape[1] > 1 else np.ones(answer.logits.shape)


def render_error(error: RequestError) -> bytes:
    """An error by the shape of TaskError."""
    body: dict[str, Any] = {"error": error.message}
    if error.status == 503 and "retry-after" in error.headers:
        body["estimated_time"] = float(error.headers["retry-after"])
    return dump(body)


DIALECT = Dialect(
    "huggingface",
    "Hugging Face text-classification",
    parse,
    render,
    render_error,
    request=TaskRequest,
    response=list[list[Prediction]],
    error=TaskError,
    note="A body without a model in the path is taken for this dialect where it has the field parameters.",
    statuses={422: 400},
)
