"""KServe V1: `POST /v1/models/{name}:predict`."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from classifier_server.classifier import Classified
from classifier_server.dialects.dialect import Dialect, Incoming, Query, Rendered, Reply
from classifier_server.dialects.kserve_v2 import render_error
from classifier_server.dialects.kserve_v2_models import KServeError
from classifier_server.dialects.reading import Body
from classifier_server.dialects.writing import by_name, dump, ranking
from classifier_server.errors import RequestError


class PredictRequest(BaseModel):
    """Texts to classify. Fields that are not known are ignored."""

    model_config = ConfigDict(
        strict=True, frozen=True, json_schema_extra={"examples": [{"instances": ["Wheat exports rose.", "Oil fell."]}]}
    )

    instances: Annotated[list[str], Field(description="Texts.")]


class PredictedInstance(BaseModel):
    """The answer for one text."""

    label: Annotated[str | None, Field(description="The most probable of `labels`; null if there is none.")]
    labels: Annotated[list[str], Field(description="Labels that reach their threshold.")]
    probabilities: Annotated[dict[str, float], Field(description="Probability by label.")]


class PredictResponse(BaseModel):
    """Answer to a PredictRequest."""

    predictions: list[PredictedInstance]


_BODY = Body(PredictRequest, {"instances": "a list of strings", "instances[]": "a string"})


def parse(incoming: Incoming) -> Query[PredictRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
    request = _BODY.read(incoming.body)
    if not request.instances:
        raise RequestError(422, "instances is empty: write at least one text.", field="instances")
    return Query(request, request.instances, "instances", model=incoming.path.get("name"))


def render(_: PredictRequest, answer: Classified, __: Reply) -> Rendered:
    """By the shape of PredictResponse."""
    names = answer.labels.names
    predictions = [
        {
            "label": next((names[column] for column in ranking(probs) if names[column] in predicted), None),
            "labels": predicted,
            "probabilities": by_name(names, probs),
        }
        for predicted, probs in zip(answer.predicted, answer.probs, strict=True)
    ]
    return Rendered(dump({"predictions": predictions}))


DIALECT = Dialect(
    "kserve-v1",
    "KServe V1",
    parse,
    render,
    render_error,
    request=PredictRequest,
    response=PredictResponse,
    error=KServeError,
    statuses={422: 400},
)
