"""The table of the API port: which path is whose, and which are open to callers without a key."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.routing import compile_path

from classifier_server.config import ServerSettings
from classifier_server.dialects import huggingface, infinity, kserve_v1, kserve_v2, native, openai, tei, vllm
from classifier_server.dialects.dialect import Dialect, Facts, Rendered
from classifier_server.errors import RequestError

Tell = Callable[[Facts, Mapping[str, str]], Rendered]


@dataclass(frozen=True, slots=True)
class Ask:
    """`POST` of texts to be classified."""

    path: str
    dialect: Dialect[Any]
    others: tuple[Dialect[Any], ...] = ()
    """Other dialects of the same path; `choose` tells by the body, and until it is read `dialect` is spoken."""
    choose: Callable[[bytes], Dialect[Any]] | None = None

    method: Literal["POST"] = field(default="POST", init=False)
    open: bool = field(default=False, init=False)

    @property
    def shape(self) -> Dialect[Any]:
        """Whose shape errors have."""
        return self.dialect


@dataclass(frozen=True, slots=True)
class Look:
    """`GET` of what the server tells about itself."""

    path: str
    tell: Tell
    title: str
    shape: Dialect[Any] = native.DIALECT
    open: bool = False
    """Whether it is told without a key."""
    media_type: str = "application/json"
    hidden: bool = False
    """Whether the OpenAPI document leaves it out."""

    method: Literal["GET"] = field(default="GET", init=False)


Row = Ask | Look


def dialect_rows(settings: ServerSettings) -> list[Row]:
    """The dialects' paths; the order decides where two patterns fit one path."""
    return [
        Ask(native.PATH, native.DIALECT),
        # Text Embeddings Inference
        Ask("/predict", tei.DIALECT),
        *(Ask(path, tei.DIALECT) for path in ("/tei", "/tei/", "/tei/predict")),
        *(Look(path, tei.info, "The model, as Text Embeddings Inference tells it") for path in ("/info", "/tei/info")),
        # Hugging Face
        *(Ask(path, huggingface.DIALECT) for path in ("/hf", "/hf/", "/hf/models/{name:path}", "/models/{name:path}")),
        Ask("/", tei.DIALECT, (huggingface.DIALECT,), _of_root),
        # vLLM and Infinity, which have one path
        Ask("/classify", infinity.DIALECT if settings.classify_dialect == "Infinity" else vllm.DIALECT),
        Ask("/vllm/classify", vllm.DIALECT),
        Ask("/infinity/classify", infinity.DIALECT),
        # KServe; V1 tells a model's readiness where OpenAI tells the model
        Ask("/v1/models/{name:path}:predict", kserve_v1.DIALECT),
        *_kserve_v2("/v2/models/{name:path}/versions/{version}"),
        *_kserve_v2("/v2/models/{name:path}"),
        _v2("/v2", kserve_v2.server, "The server, as KServe tells it"),
        _v2("/v2/health/live", kserve_v2.live, "Whether the process is alive", open=True),
        _v2("/v2/health/ready", kserve_v2.ready, "Whether the model is loaded", open=True),
        # OpenAI
        Ask("/v1/moderations", openai.DIALECT),
        *(
            Look(f"{prefix}/v1/models", openai.models, "The model, as OpenAI tells it", openai.DIALECT)
            for prefix in ("", "/vllm")
        ),
        Look("/infinity/models", openai.models, "The model, as Infinity tells it", infinity.DIALECT),
        Look("/v1/models/{name:path}", openai.model, "The model, as OpenAI and KServe V1 tell it", openai.DIALECT),
    ]


def _kserve_v2(model: str) -> list[Row]:
    return [
        Ask(f"{model}/infer", kserve_v2.DIALECT),
        _v2(f"{model}/ready", kserve_v2.model_ready, "Whether the model is loaded", open=True),
        _v2(model, kserve_v2.metadata, "The model, as KServe tells it"),
    ]


def _v2(path: str, tell: Tell, title: str, *, open: bool = False) -> Look:
    return Look(path, tell, title, kserve_v2.DIALECT, open)


def _of_root(body: bytes) -> Dialect[Any]:
    return huggingface.DIALECT if huggingface.is_task(body) else tei.DIALECT


class Table:
    """Finds the row of a request."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        # A name may hold a line break, which `.` would not match.
        self._compiled = [(re.compile(compile_path(row.path)[0].pattern, re.DOTALL), row) for row in rows]

    def fitting(self, path: str) -> list[tuple[Row, dict[str, str]]]:
        """All rows of a path, whatever their method, each with the values of the path's parameters."""
        found = ((pattern.match(path), row) for pattern, row in self._compiled)
        return [(row, match.groupdict()) for match, row in found if match is not None]


def choose(rows: Sequence[tuple[Row, dict[str, str]]], method: str) -> tuple[Row, dict[str, str]]:
    """The row for `method` (HEAD as GET). Raises RequestError 404 (no row at all) or 405."""
    wanted = "GET" if method == "HEAD" else method
    for row, values in rows:
        if row.method == wanted:
            return row, values
    if not rows:
        raise RequestError(404, "There is no such path; /docs lists those there are.")
    allowed = ", ".join(sorted({row.method for row, _ in rows}))
    raise RequestError(
        405, f"{method} is not answered here; the header Allow says what is.", headers={"allow": allowed}
    )
