"""From a body's bytes to a dialect's model of a request. What is refused is said in our own words, by the names of the
fields: the input is never echoed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from classifier_server.errors import RequestError

ModelT = TypeVar("ModelT", bound=BaseModel)

_NAME_LENGTH = 64


@dataclass(frozen=True)
class Body(Generic[ModelT]):
    """How a body is read."""

    model: type[ModelT]
    wanted: Mapping[str, str]
    """What a field must be, by its path: {`top_k`: `a whole number from 1 on`, `inputs[].shape`: …}."""
    _adapter: TypeAdapter[ModelT] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_adapter", TypeAdapter(self.model))

    def read(self, body: bytes) -> ModelT:
        """Raises RequestError 400 (no JSON) or 422 (a field is wrong)."""
        try:
            return self._adapter.validate_json(body)
        except ValidationError as error:
            raise self._refusal(error) from None

    def _refusal(self, error: ValidationError) -> RequestError:
        """One sentence about the first mistake."""
        mistakes = error.errors(include_url=False, include_input=False, include_context=False)
        first = mistakes[0]
        if first["type"] == "json_invalid":
            return RequestError(400, "The body is not valid JSON in UTF-8.")
        if not first["loc"]:
            needed = next(name for name, info in self.model.model_fields.items() if info.is_required())
            return RequestError(422, f"The body must be a JSON object with the field {needed}.")
        if first["type"] == "extra_forbidden":
            known = ", ".join(self.model.model_fields)
            name = str(first["loc"][0])[:_NAME_LENGTH]
            return RequestError(422, f"A field of the request is not known; known are {known}.", field=name)
        # A union tells mistakes for each of its branches; the one that read farthest is what the caller meant.
        branches: dict[tuple[str, ...], tuple[_Place, str]] = {}
        for mistake in mistakes:
            if mistake["loc"][0] == first["loc"][0]:
                place = self._place(mistake["loc"])
                branches.setdefault(place.branch, (place, mistake["type"]))
        place, kind = max(branches.values(), key=lambda found: (len(found[0].path), found[0].rows))
        verb = "is missing: write" if kind == "missing" else "must be"
        return RequestError(422, f"{place.shown} {verb} {self.wanted[place.path]}.", field=place.shown)

    def _place(self, location: tuple[int | str, ...]) -> _Place:
        path = shown = ""
        rows: list[int] = []
        branch: list[str] = []
        for part in location:
            step, plain = (f"[{part}]", "[]") if isinstance(part, int) else (f".{part}" if path else part,) * 2
            if any(f"{known}.".startswith((f"{path}{plain}.", f"{path}{plain}[")) for known in self.wanted):
                path, shown = path + plain, shown + step
                rows += [part] if isinstance(part, int) else []
            elif isinstance(part, str):
                branch.append(part)
        return _Place(path, shown, tuple(rows), tuple(branch))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a mistake is."""

    path: str
    """`inputs[].shape`"""
    shown: str
    """`inputs[0].shape`, without what the caller wrote."""
    rows: tuple[int, ...]
    branch: tuple[str, ...]
    """What pydantic adds of its own, the branches of unions, and keys of the caller's."""
