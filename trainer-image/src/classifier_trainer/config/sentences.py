"""Turns pydantic's errors into one sentence that names the field and says what to write."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Sequence

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

_SHOWN = 5


def sentence(error: ValidationError, root: type[BaseModel]) -> str:
    """One sentence for all faults (the first five)."""
    parts: list[str] = []
    for detail in error.errors(include_url=False):
        part = _part(detail, root)
        if part not in parts:
            parts.append(part)
    more = f"; and {len(parts) - _SHOWN} more" if len(parts) > _SHOWN else ""
    return "; ".join(parts[:_SHOWN]) + more + "."


def _part(detail: ErrorDetails, root: type[BaseModel]) -> str:
    path = [str(step) for step in detail["loc"] if not _is_branch(step)]
    field = ".".join(path) or "the run configuration"
    context = detail.get("ctx") or {}
    match detail["type"]:
        case "extra_forbidden":
            return f"{field} is not a field{_nearest(path, root)}"
        case "missing":
            return f"{field} is missing"
        case "literal_error":
            return f"{field} is {detail['input']!r}: write {context.get('expected')}"
        case "value_error":
            return f"{field}: {context.get('error')}"
        case _:
            message = detail["msg"].removeprefix("Input should be ")
            return f"{field} is {_shown(detail['input'])}: it should be {message}"


def _is_branch(step: int | str) -> bool:
    """Pydantic adds the branch of a union to the place; no field of ours is named so."""
    return isinstance(step, str) and ("[" in step or step in ("str", "constrained-str"))


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(path: Sequence[str], root: type[BaseModel]) -> str:
    names = _field_names(path[:-1], root)
    close = difflib.get_close_matches(path[-1], names, n=1, cutoff=0.5)
    if not close:
        close = [name for name in names if name.lower() == path[-1].lower()]
    if close:
        return f": did you mean {close[0]}?"
    return f": known are {', '.join(names)}" if names else ""


def _field_names(path: Sequence[str], root: type[BaseModel]) -> list[str]:
    model: type[BaseModel] | None = root
    for step in path:
        model = _model_of(model, step) if model else None
    if model is None:
        return []
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(model: type[BaseModel], alias: str) -> type[BaseModel] | None:
    for name, field in model.model_fields.items():
        if (field.alias or name) == alias:
            return _find_model(field.annotation)
    return None


def _find_model(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        for argument in typing.get_args(annotation):
            if found := _find_model(argument):
                return found
    return None
