"""Requests in every dialect with something wrong in them: any form, any place, from a seed."""

from __future__ import annotations

import copy
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

SECRET = "s3cr3t-of-the-caller"
"""Stands in the odd values; no error may repeat it."""

LENGTH = "Inference-Header-Content-Length"

_TENSOR = {"name": "text", "shape": [2], "datatype": "BYTES", "data": ["1 2", "3"]}
_NATIVE = {
    "model": "r8", "input": ["1 2", "3"], "data_format": "probs", "top_k": 2, "thresholds": {"a": 0.5},
    "long_text": {"strategy": "Max", "stride": 1},
}  # fmt: skip
_TEI = {"inputs": [["1 2"], ["3"]], "truncate": True, "truncation_direction": "Left", "raw_scores": False}
_TASK = {"inputs": ["1 2", "3"], "parameters": {"top_k": 1, "function_to_apply": "softmax", "truncation": True}}
_VLLM = {
    "model": "r8", "input": ["1 2", "3"], "use_activation": True, "truncate_prompt_tokens": 4,
    "truncation_side": "left",
}  # fmt: skip
_INFINITY = {"model": "r8", "input": ["1 2", "3"], "raw_scores": False}
_MODERATION = {"model": "omni-moderation-latest", "input": [{"type": "text", "text": "1 2"}]}
_INFER = {
    "id": "one",
    "inputs": [_TENSOR],
    "outputs": [{"name": "label", "parameters": {"binary_data": True}}, {"name": "labels"}],
    "parameters": {"binary_data_output": False},
}

GOOD: list[tuple[str, dict[str, Any]]] = [
    ("/v1/classification", _NATIVE),
    ("/v1/classification", {"input": "1 2", "truncate": "Error", "data_format": "logits"}),
    ("/predict", _TEI),
    ("/tei", {"inputs": "1 2"}),
    ("/", _TEI),
    ("/", _TASK),
    ("/hf", _TASK),
    ("/models/r8", {"inputs": "1 2"}),
    ("/classify", _VLLM),
    ("/vllm/classify", {"input": "1 2"}),
    ("/infinity/classify", _INFINITY),
    ("/v1/moderations", _MODERATION),
    ("/v1/moderations", {"input": ["1 2", "3"]}),
    ("/v1/models/r8:predict", {"instances": ["1 2", "3"]}),
    ("/v2/models/r8/infer", _INFER),
    ("/v2/models/r8/versions/epoch-3/infer", {"inputs": [_TENSOR]}),
]

_ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2.5, 1e308, float("nan"), float("inf"), -(10**30), 10**400, "", " ", SECRET,
    f"{SECRET}\ud800", "\x00", "é🙂\u202e", [], {}, [[]], [[[]]], [{}], {SECRET: SECRET}, [SECRET], [[SECRET]],
    [None], ["1", None, SECRET], ["1"] * 300, [SECRET] * 3, {"a": {SECRET: []}}, [1, [2, {"type": "text"}]],
    {"type": "text", "text": SECRET}, [{"type": "image_url", "image_url": {"url": SECRET}}],
]  # fmt: skip
_BYTES = [
    b"\xff\xfe", b"\xed\xa0\x80", b"\0", b'"', b"{", b"]", b"}", b"[", b",", b":", b"\xef\xbb\xbf", b"\\u", b"\\ud800",
    b"1e999", b"-", b"nul", b"\x1f\x8b", b"/*", b"'",
]  # fmt: skip


@dataclass
class Request:
    """What is sent."""

    path: str
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})


def make_request(seed: int) -> Request:
    """The request of a seed. Nearly all are wrong; some changes happen to leave a good one."""
    draw = random.Random(seed)
    path, document = draw.choice(GOOD)
    change = draw.choice([_odd_values, _odd_values, _odd_fields, _odd_bytes, _odd_whole, _odd_tensor, _odd_headers])
    return change(draw, path, copy.deepcopy(document))


def _odd_values(draw: random.Random, path: str, document: dict[str, Any]) -> Request:
    for _ in range(draw.randint(1, 3)):
        places = _places(document)
        holder, key = draw.choice(places)
        holder[key] = copy.deepcopy(draw.choice(_ODD))
    return Request(path, _written(document))


def _odd_fields(draw: random.Random, path: str, document: dict[str, Any]) -> Request:
    for _ in range(draw.randint(1, 3)):
        objects = [document, *(holder[key] for holder, key in _places(document) if isinstance(holder[key], dict))]
        chosen = draw.choice(objects)
        if chosen and draw.random() < 0.5:
            del chosen[draw.choice(list(chosen))]
        else:
            name = draw.choice([SECRET, "", "parameters", "input", "inputs", "model", "model_config", "__class__"])
            chosen[name] = copy.deepcopy(draw.choice(_ODD))
    return Request(path, _written(document))


def _odd_bytes(draw: random.Random, path: str, document: dict[str, Any]) -> Request:
    content = bytearray(_written(document))
    for _ in range(draw.randint(1, 5)):
        at = draw.randint(0, len(content))
        match draw.randint(0, 4):
            case 0:
                content[at:at] = draw.choice(_BYTES)
            case 1:
                del content[at : at + draw.randint(1, 20)]
            case 2:
                content[at : at + 1] = bytes([draw.randint(0, 255)])
            case 3:
                content[at:at] = draw.randbytes(draw.randint(1, 20))
            case 4:
                del content[at:]
    return Request(path, bytes(content))


def _odd_whole(draw: random.Random, path: str, document: dict[str, Any]) -> Request:
    text = _written(document)
    made: list[Callable[[], bytes]] = [
        lambda: b"",
        lambda: draw.choice([b" ", b"null", b"[]", b"{}", b'""', b"0", b"NaN", b"-0", b"true", b"\xef\xbb\xbf{}"]),
        lambda: draw.randbytes(draw.randint(1, 300)),
        lambda: b"[" * draw.choice([10, 1000, 100_000]),
        lambda: b'{"input":' * draw.choice([10, 1000, 20_000]),
        lambda: b"9" * 5000,
        lambda: json.dumps([document]).encode(),
        lambda: json.dumps(text.decode("utf-8", "replace")).encode(),
        lambda: text + text,
        lambda: text[:-1] + b"," + text[1:],
        lambda: text.decode("utf-8", "replace").encode("utf-16"),
        lambda: json.dumps({draw.choice(list(document)): draw.choice(_ODD)}).encode("utf-8", "surrogatepass"),
    ]
    return Request(path, draw.choice(made)())


def _odd_tensor(draw: random.Random, _: str, __: dict[str, Any]) -> Request:
    """A binary tensor of KServe V2."""
    raw = b"".join(struct.pack("<I", len(text)) + text for text in (b"1 2", b"3"))
    made: list[Callable[[], bytes]] = [
        lambda: raw,
        lambda: raw[: draw.randint(0, len(raw))],
        lambda: raw + draw.randbytes(draw.randint(1, 9)),
        lambda: draw.randbytes(draw.randint(0, 40)),
        lambda: struct.pack("<I", draw.choice([0, 1, 2**31, 2**32 - 1])) + SECRET.encode(),
        lambda: struct.pack("<I", 2) + b"\xff\xfe",
    ]
    sent = draw.choice(made)()
    size = draw.choice([len(sent), len(sent), len(sent), 0, len(raw), len(sent) + 1, 2**40])
    tensor: dict[str, Any] = {key: value for key, value in _TENSOR.items() if key != "data" or draw.random() < 0.1}
    tensor |= {"parameters": {"binary_data_size": size}}
    tensor["shape"] = draw.choice([[2], [2], [1], [0], [2, 1], [], [2**40, 2**40], [-2, -1]])
    head = _written({"inputs": [tensor] * draw.choice([1, 1, 1, 2]), "parameters": {"binary_data_output": True}})
    length = draw.choice([str(len(head))] * 4 + [str(len(head) + 1), "0", "", "x", "-1", "9" * 40])
    return Request("/v2/models/r8/infer", head + sent, {LENGTH: length})


def _odd_headers(draw: random.Random, path: str, document: dict[str, Any]) -> Request:
    request = Request(
        draw.choice([path, f"{path.rstrip('/')}/", f"/tei{path}", "/nowhere", "/models/", f"/models/{SECRET}"]), b"{}"
    )
    request.body = _written(document)
    request.headers = draw.choice(
        [
            {}, {"content-type": "text/plain"}, {"content-type": "application/json; charset=utf-16"},
            {"content-type": "application/json", "content-encoding": "gzip"}, {"content-type": ";;;"},
            {"content-type": "application/json", "x-request-id": "\t"}, {"content-type": "application/json"},
            {"content-type": "application/json", "cookie": "c" * 20_000}, {LENGTH: "5"},
        ]
    )  # fmt: skip
    return request


def _places(node: Any) -> list[tuple[Any, Any]]:
    """(holder, key) of every value inside `node`."""
    if isinstance(node, dict):
        keys: list[Any] = list(node)
    elif isinstance(node, list):
        keys = list(range(len(node)))
    else:
        return []
    return [(node, key) for key in keys] + [place for key in keys for place in _places(node[key])]


def _written(document: Any) -> bytes:
    return json.dumps(document, ensure_ascii=False).encode("utf-8", "surrogatepass")
