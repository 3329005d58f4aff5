"""The base of every model of the API, and the extensions that the CRD's schema carries beside the types."""

from typing import Any, Final, Self, TypeAlias

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel

SCHEMA_DEFAULT: Final = "x-classifier-schema-default"
"""Marks a field whose default the API server itself must write (the scale subresource cannot work without). Every
other default is applied by the operator or the trainer and only told in the description."""

JsonObject: TypeAlias = dict[str, Any]


class Model(BaseModel):
    """A frozen object with camelCase names in JSON. Unknown fields are ignored: the API server has pruned them."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )

    @classmethod
    def from_json_object(cls, value: JsonObject) -> Self:
        """Reads what the API server returned. Raises pydantic.ValidationError."""
        return cls.model_validate(value)

    def to_json_object(self) -> JsonObject:
        """The object as the API server takes it; absent fields are left out."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)

    def user_set(self) -> JsonObject:
        """Only the fields that were given when this object was read, for passing a specification on verbatim."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True, exclude_unset=True)


def rule(expression: str, message: str) -> dict[str, str]:
    """A CEL rule with the sentence that says what to write instead."""
    return {"rule": expression, "message": message}


def rules(*each: dict[str, str]) -> JsonObject:
    """The schema extension that holds CEL rules, for `json_schema_extra`."""
    return {"x-kubernetes-validations": list(each)}


def list_map(*keys: str) -> JsonObject:
    """The schema extension of a list whose items server-side apply tells apart by `keys`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}
