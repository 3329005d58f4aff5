"""Every field of the run configuration as text, for --help. Light."""

from __future__ import annotations

import json
import textwrap
import types
import typing
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from classifier_trainer.config import RunConfig

_WIDTH = 112


@dataclass(frozen=True)
class Field:
    """One that holds a value, no further fields."""

    path: str
    """`hyperparameters.lora.rank`; a list of parts has `[]` behind its name."""
    default: str
    choices: str
    description: str


def describe() -> str:
    """A paragraph a field."""
    lines = ["fields of the configuration, as in spec of a ClassifierTrainingJob [default]:"]
    for field in all_fields(RunConfig):
        default = f" [{field.default}]" if field.default else ""
        choices = f"{field.choices}: " if field.choices else ""
        text = textwrap.wrap(choices + field.description, _WIDTH - 6)
        lines += [f"  {field.path}{default}", *(f"      {line}" for line in text)]
    return "\n".join(lines)


def all_fields(model: type[BaseModel], prefix: str = "") -> Iterator[Field]:
    """The fields of a part and of the parts in it, in their order."""
    for name, info in model.model_fields.items():
        path = f"{prefix}{info.alias or name}"
        inner, several = _part(info.annotation)
        if inner is not None:
            yield from all_fields(inner, f"{path}[]." if several else f"{path}.")
            continue
        yield Field(path, _default(info), " | ".join(_choices(info.annotation)), info.description or "")


def _part(annotation: object) -> tuple[type[BaseModel] | None, bool]:
    """The part that a field holds, and whether it holds a list of them."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation, False
    several = typing.get_origin(annotation) is list
    for argument in typing.get_args(annotation) if several or _is_union(annotation) else ():
        found, inside = _part(argument)
        if found is not None:
            return found, several or inside
    return None, False


def _choices(annotation: object) -> list[str]:
    if typing.get_origin(annotation) is typing.Literal:
        return [str(value) for value in typing.get_args(annotation)]
    if _is_union(annotation):
        return [choice for argument in typing.get_args(annotation) for choice in _choices(argument)]
    return []


def _is_union(annotation: object) -> bool:
    return isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union


def _default(info: FieldInfo) -> str:
    if info.is_required():
        return "required"
    value = info.get_default(call_default_factory=True) if info.default_factory is None else None
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
