"""KServe V2, the Open Inference Protocol: `POST /v2/models/{name}/infer`, with JSON or binary tensors, and its health
and metadata. Answers carry the labels' names."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from classifier_server.classifier import Classified
from classifier_server.dialects import tensors
from classifier_server.dialects.dialect import Dialect, Facts, Incoming, Query, Rendered, Reply
from classifier_server.dialects.kserve_v2_models import (
    InferRequest,
    InferResponse,
    InputTensor,
    KServeError,
    WantedTensor,
)
from classifier_server.dialects.reading import Body
from classifier_server.dialects.writing import dump, numbers
from classifier_server.errors import RequestError
from classifier_server.limits import require_json, require_plain

_HEADER = "inference-header-content-length"
_OUTPUTS = ("label", "probabilities", "labels")
# What clients write where a model has no versions.
_ANY_VERSION = "1"
_HALF = 0.5
_ONE_TENSOR = "a list with one tensor of texts"
_TEXTS = "a list of strings"
_ITS_OUTPUTS = "label, probabilities or labels"


_BODY = Body(
    InferRequest,
    {
        "id": "a string",
        "inputs": _ONE_TENSOR,
        "inputs[]": "a tensor: name, shape, datatype and data",
        "inputs[].name": "a string",
        "inputs[].shape": "a list of whole numbers from 0 on",
        "inputs[].shape[]": "a whole number from 0 on",
        "inputs[].datatype": "BYTES",
        "inputs[].data": _TEXTS,
        "inputs[].data[]": "a string",
        "inputs[].data[][]": "a string",
        "inputs[].parameters": "an object",
        "inputs[].parameters.binary_data_size": "a whole number from 0 on",
        "inputs[].parameters.binary_data": "true or false",
        "outputs": "a list of tensors",
        "outputs[]": "an object with name",
        "outputs[].name": _ITS_OUTPUTS,
        "outputs[].parameters": "an object",
        "outputs[].parameters.binary_data_size": "a whole number from 0 on",
        "outputs[].parameters.binary_data": "true or false",
        "parameters": "an object",
        "parameters.binary_data_output": "true or false",
    },
)


def check_headers(headers: Mapping[bytes, bytes]) -> None:
    """Triton's clients send no media type. What it is for, that no page of another site makes a browser ask unasked, is
    also sure where the header with the JSON's length is there, or where no browser wrote an Origin.

    Raises RequestError 415.
    """
    by_no_page = _HEADER.encode() in headers or not headers.keys() & {b"content-type", b"origin"}
    (require_plain if by_no_page else require_json)(headers)


def parse(incoming: Incoming) -> Query[InferRequest]:
    """Raises RequestError 400 (no JSON) or 422 (a field is wrong, or a tensor's size)."""
    length = incoming.headers.get(_HEADER.encode())
    if length is None:
        document, binary = incoming.body, b""
    else:
        if not length.isdigit() or len(length) > 9 or int(length) > len(incoming.body):
            message = "Inference-Header-Content-Length must be the length of the JSON before the tensors."
            raise RequestError(422, message, field="Inference-Header-Content-Length")
        document, binary = incoming.body[: int(length)], incoming.body[int(length) :]
    request = _BODY.read(document)
    for index, wanted in enumerate(request.outputs or ()):
        if wanted.name not in _OUTPUTS:
            place = f"outputs[{index}].name"
            raise RequestError(422, f"{place} must be {_ITS_OUTPUTS}.", field=place)
    if len(request.inputs) != 1:
        raise RequestError(422, f"inputs must be {_ONE_TENSOR}.", field="inputs")
    (tensor,) = request.inputs
    if tensor.datatype != "BYTES":
        raise RequestError(422, "inputs[0].datatype must be BYTES.", field="inputs[0].datatype")
    texts = _binary_texts(tensor, binary) if tensor.data is None else _json_texts(tensor.data, binary)
    if math.prod(tensor.shape) != len(texts) or not tensor.shape:
        message = f"inputs[0].shape does not fit the data, which has {len(texts)} texts."
        raise RequestError(422, message, field="inputs[0].shape")
    if not texts:
        raise RequestError(422, "inputs[0].data is empty: write at least one text.", field="inputs[0].data")
    return Query(request, texts, "inputs[0].data", model=_model(incoming.path))


def _json_texts(data: Sequence[str | Sequence[str]], binary: bytes) -> list[str]:
    if binary:
        raise RequestError(422, "After the JSON come bytes that no tensor claims.", field="inputs[0].parameters")
    return [text for row in data for text in ([row] if isinstance(row, str) else row)]


def _binary_texts(tensor: InputTensor, binary: bytes) -> list[str]:
    size = tensor.parameters.binary_data_size if tensor.parameters is not None else None
    if size is None:
        raise RequestError(422, f"inputs[0].data is missing: write {_TEXTS}.", field="inputs[0].data")
    if size != len(binary):
        field = "inputs[0].parameters.binary_data_size"
        message = f"{field} is not the number of bytes after the JSON, which is {len(binary)}."
        raise RequestError(422, message, field=field)
    elements = tensors.read_bytes(binary)
    if elements is None:
        message = "inputs[0] is no tensor of BYTES: each text needs its length in 4 bytes before it."
        raise RequestError(422, message, field="inputs[0]")
    texts = []
    for index, element in enumerate(elements):
        try:
            texts.append(element.decode())
        except UnicodeDecodeError:
            place = f"inputs[0].data[{index}]"
            raise RequestError(422, f"{place} is not UTF-8.", field=place) from None
    return texts


def _model(path: Mapping[str, str]) -> str | None:
    """The model that a path names: `name`, or `name/checkpoint` where it has a version."""
    version = path.get("version", _ANY_VERSION)
    name = path.get("name")
    return name if version == _ANY_VERSION or name is None else f"{name}/{version}"


def render(request: InferRequest, answer: Classified, reply: Reply) -> Rendered:
    """By the shape of InferResponse; with binary tensors, these after the JSON."""
    names = answer.class_names
    probs = answer.class_probs
    texts = {"label": [_label(names, row) for row in probs], "labels": list(names)}
    everything = request.parameters is not None and request.parameters.binary_data_output is True
    wanted = request.outputs or [WantedTensor(name=name) for name in _OUTPUTS]
    outputs: list[dict[str, Any]] = []
    attached: list[bytes] = []
    for each in wanted:
        shape = list(probs.shape) if each.name == "probabilities" else [len(texts[each.name])]
        kind = "FP32" if each.name == "probabilities" else "BYTES"
        output: dict[str, Any] = {"name": each.name, "shape": shape, "datatype": kind}
        own = each.parameters.binary_data if each.parameters is not None else None
        if everything if own is None else own:
            raw = tensors.write_fp32(probs) if kind == "FP32" else tensors.write_bytes(texts[each.name])
            output["parameters"] = {"binary_data_size": len(raw)}
            attached.append(raw)
        else:
            output["data"] = numbers(probs.reshape(-1)) if kind == "FP32" else texts[each.name]
        outputs.append(output)
    body = dump(
        {
            "model_name": reply.model,
            "model_version": reply.checkpoint or _ANY_VERSION,
            "id": reply.request_id if request.id is None else request.id,
            "outputs": outputs,
        }
    )
    if not attached:
        return Rendered(body)
    headers = {_HEADER: str(len(body))}
    return Rendered(b"".join([body, *attached]), media_type="application/octet-stream", headers=headers)


def _label(names: Sequence[str], probs: npt.NDArray[np.float64]) -> str:
    """The most probable class; a single one only if it is more probable than not."""
    best = int(probs.argmax())
    return names[best] if len(names) > 1 or probs[best] >= _HALF else ""


def render_error(error: RequestError) -> bytes:
    """By the shape of KServeError."""
    return dump({"error": error.message})


def live(_: Facts, __: Mapping[str, str]) -> Rendered:
    """`GET /v2/health/live`: whoever answers is."""
    return Rendered(dump({"live": True}))


def ready(facts: Facts, _: Mapping[str, str]) -> Rendered:
    """`GET /v2/health/ready`."""
    return Rendered(dump({"ready": facts.ready}), 200 if facts.ready else 503)


def model_ready(facts: Facts, path: Mapping[str, str]) -> Rendered:
    """`GET /v2/models/{name}/ready`, told without a key and therefore without names. Raises RequestError 404."""
    if _model(path) not in facts.names:
        raise RequestError(404, "This server has no such model.", field="model")
    return Rendered(dump({"name": path["name"], "ready": facts.ready}), 200 if facts.ready else 503)


def server(_: Facts, __: Mapping[str, str]) -> Rendered:
    """`GET /v2`."""
    return Rendered(dump({"name": "classifier-operator", "version": "v1alpha1", "extensions": ["binary_tensor_data"]}))


def metadata(facts: Facts, path: Mapping[str, str]) -> Rendered:
    """`GET /v2/models/{name}`. Raises RequestError 404."""
    name = facts.of(_model(path) or "")
    classes = -1 if facts.labels is None else len(facts.labels.logit_names)
    shapes = {"label": [-1], "probabilities": [-1, classes], "labels": [classes]}
    body = {
        "name": name,
        "versions": [facts.checkpoint or _ANY_VERSION],
        "platform": "transformers",
        "inputs": [{"name": "input-0", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": output, "datatype": "FP32" if output == "probabilities" else "BYTES", "shape": shapes[output]}
            for output in _OUTPUTS
        ],
    }
    return Rendered(dump(body))


DIALECT = Dialect(
    "kserve-v2",
    "KServe V2 (Open Inference Protocol)",
    parse,
    render,
    render_error,
    request=InferRequest,
    response=InferResponse,
    error=KServeError,
    note="Any name is taken for the input. Tensors may be sent and asked for in binary, by Triton's extension.",
    statuses={422: 400},
    check_headers=check_headers,
)
