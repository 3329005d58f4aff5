"""The serve configuration: what the operator (or a person at a prompt) tells the server. Light: no torch, no HTTP."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch import shown

ENVIRONMENT_VARIABLE = "CLASSIFIER_SERVE_CONFIG"
_MODEL_NAME = r"^[A-Za-z0-9]([A-Za-z0-9._-]{0,251}[A-Za-z0-9])?$"


class _Strict(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, alias_generator=to_camel, populate_by_name=False
    )


class ModelSource(_Strict):
    """Where a model folder lies."""

    uri: Annotated[str, Field(min_length=1, max_length=2048)]


class ServerSettings(_Strict):
    """The part of the configuration that comes from `spec.server`."""

    max_length: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Tokens of a text that are read; absent: what the checkpoint was trained with. Never more than the model takes."""

    max_batch_tokens: Annotated[int, Field(ge=1, le=10_000_000)] | Literal["Auto"] = "Auto"
    """Tokens in one forward pass, padding included; Auto: 512 on a CPU, 16,384 on a GPU."""

    max_queue: Annotated[int, Field(ge=1, le=1_000_000)] = 512
    """Texts that may wait; beyond it callers are told 429."""

    precision: Literal["Auto", "BFloat16", "Float32"] = "Auto"
    """Auto: bfloat16 where the device computes it, else float32."""

    allow_pickle: bool = False
    """Whether weights in pickled files (pytorch_model.bin) are read, which can run code of whoever wrote them."""

    classify_dialect: Literal["VLLM", "Infinity"] = "VLLM"
    """Whose requests and answers `POST /classify` speaks; both are under prefixes of their own too."""

    unflagged_labels: Annotated[list[Annotated[str, Field(min_length=1, max_length=256)]], Field(max_length=1000)] = (
        Field(default_factory=list)
    )
    """Labels that do not make `POST /v1/moderations` say `flagged`."""


class ServeConfig(_Strict):
    """Everything that one server process is told."""

    version: Literal["v1alpha1"]
    name: Annotated[str, Field(pattern=_MODEL_NAME)]
    checkpoint: Annotated[str, Field(pattern=_MODEL_NAME)] | None = None
    model: ModelSource
    base_model: ModelSource | None = None
    server: ServerSettings = ServerSettings()
    mounts: dict[str, str] = Field(default_factory=dict)
    api_keys_dir: Annotated[str, Field(min_length=1, max_length=4096)] | None = None
    """Folder whose files are the API keys, as a mounted Secret; absent: everybody may ask."""

    @property
    def model_id(self) -> str:
        """The model as answers and headers name it: `name/epoch-3`, or the name where no checkpoint is named."""
        return f"{self.name}/{self.checkpoint}" if self.checkpoint else self.name

    @property
    def accepted_names(self) -> tuple[str, ...]:
        """What a caller may write as `model`; of the URI what may be shown, for answers name them."""
        names = [self.name]
        if self.checkpoint:
            names += [self.checkpoint, self.model_id]
        return (*names, shown(self.model.uri))


def parse(document: object, source: str) -> ServeConfig:
    """`document` is parsed YAML or JSON; `source` says in messages where it came from. Raises UserError."""
    if not isinstance(document, dict):
        raise UserError(f"{source}: the serve configuration must be a mapping with version, name and model.")
    try:
        return ServeConfig.model_validate(document)
    except ValidationError as error:
        raise UserError(f"{source}: {_sentence(error)}") from None


def load(path: str | None, environment: Mapping[str, str] = os.environ) -> ServeConfig:
    """From the file (YAML or JSON) at `path`, else from CLASSIFIER_SERVE_CONFIG. Raises UserError."""
    if path is not None:
        try:
            return parse(_read_document(Path(path).read_text("utf-8"), path), path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            raise UserError(f"--config {path} cannot be read: {reason}.") from None
    text = environment.get(ENVIRONMENT_VARIABLE)
    if not text:
        raise UserError(f"Nothing to serve: write --config FILE or --model FOLDER, or set {ENVIRONMENT_VARIABLE}.")
    return parse(_read_document(text, ENVIRONMENT_VARIABLE), ENVIRONMENT_VARIABLE)


def for_model(model: str, base_model: str | None = None) -> ServeConfig:
    """The configuration of `--model`: a folder or a URI, everything else at its default. Raises UserError."""
    uri = _as_uri(model)
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", uri.rstrip("/").rsplit("/", 1)[-1].partition("@")[0]).strip("._-")
    document: dict[str, Any] = {"version": "v1alpha1", "name": name[:253] or "model", "model": {"uri": uri}}
    if base_model is not None:
        document["baseModel"] = {"uri": _as_uri(base_model)}
    return parse(document, "--model")


def _as_uri(value: str) -> str:
    return value if "://" in value else f"file://{Path(value).absolute()}"


def _read_document(text: str, source: str) -> object:
    import yaml  # JSON is YAML; imported here because --help needs none of it

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1}" if mark is not None else ""
        raise UserError(f"{source} is neither JSON nor YAML{where}.") from None


def _sentence(error: ValidationError) -> str:
    """The first mistake as one sentence, by the names that the user wrote."""
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"{field[:200]} is no field of the serve configuration v1alpha1; remove it."
    if first["type"] == "missing":
        return f"{field} is missing."
    if field.startswith("server.maxBatchTokens."):  # behind it pydantic names the branches of the union
        return "server.maxBatchTokens: write a positive whole number or Auto."
    return f"{field}: {first['msg'][0].lower()}{first['msg'][1:]}."
