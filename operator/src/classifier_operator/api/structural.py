"""From the JSON schema of pydantic to the structural OpenAPI v3 schema that a CRD needs."""

from typing import Any, Final

from pydantic import BaseModel

from classifier_operator.api.base import SCHEMA_DEFAULT, JsonObject

_KEPT: Final = frozenset(
    {
        "type",
        "format",
        "description",
        "enum",
        "pattern",
        "required",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "minProperties",
        "maxProperties",
        "x-kubernetes-int-or-string",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    }
)
_DROPPED: Final = frozenset({"title", "default", "propertyNames", SCHEMA_DEFAULT})


class SchemaError(Exception):
    """A model uses something that a structural schema cannot say, or leaves something unbounded."""


def structural_schema(model: type[BaseModel]) -> JsonObject:
    """The structural schema of a model.

    Raises:
        SchemaError: a construct cannot be translated, or a string, list or map has no maximum (the API server could
            not bound the cost of CEL rules then).
    """
    schema = model.model_json_schema(by_alias=True)
    return _convert(schema, schema.get("$defs", {}), model.__name__)


def _convert(schema: JsonObject, definitions: JsonObject, path: str) -> JsonObject:
    schema = _flatten(schema, definitions, path)
    result: JsonObject = {}
    for key, value in schema.items():
        if key in _KEPT:
            result[key] = value
        elif key == "properties":
            result[key] = {name: _convert(each, definitions, f"{path}.{name}") for name, each in value.items()}
        elif key in {"items", "additionalProperties"}:
            result[key] = _convert(value, definitions, f"{path}[]")
        elif key in {"exclusiveMinimum", "exclusiveMaximum"}:
            result["minimum" if key == "exclusiveMinimum" else "maximum"] = value
            result[key] = True
        elif key == "anyOf":
            result[key] = value
        elif key not in _DROPPED:
            raise SchemaError(f"{path}: a structural schema has no {key!r}")
    if schema.get(SCHEMA_DEFAULT):
        result["default"] = schema["default"]
    if "description" in result:
        result["description"] = " ".join(result["description"].split())
    _complete(result, path)
    return result


def _flatten(schema: JsonObject, definitions: JsonObject, path: str) -> JsonObject:
    """Replaces `$ref` and `X | None` by what they mean; what stands beside them wins."""
    schema = {key: value for key, value in schema.items() if key != "$defs"}
    if "$ref" in schema:
        target = definitions[schema.pop("$ref").rpartition("/")[2]]
        return _merge(_flatten(target, definitions, path), schema)
    choices = schema.get("anyOf")
    if choices and not schema.get("x-kubernetes-int-or-string"):
        given = [choice for choice in choices if choice.get("type") != "null"]
        if len(given) != 1:
            raise SchemaError(f"{path}: a structural schema has no union of types")
        del schema["anyOf"]
        return _merge(_flatten(given[0], definitions, path), schema)
    if "const" in schema:
        schema["enum"] = [schema.pop("const")]
    return schema


def _merge(inner: JsonObject, outer: JsonObject) -> JsonObject:
    validations: list[Any] = [
        *inner.get("x-kubernetes-validations", []),
        *outer.get("x-kubernetes-validations", []),
    ]
    merged = {**inner, **outer}
    if validations:
        merged["x-kubernetes-validations"] = validations
    return merged


def _complete(schema: JsonObject, path: str) -> None:
    kind = schema.get("type")
    if kind == "integer":
        schema.setdefault("format", "int64")
    elif kind == "array":
        schema.setdefault("x-kubernetes-list-type", "atomic")
        _bounded(schema, "maxItems", path)
    elif kind == "object" and "additionalProperties" in schema:
        _bounded(schema, "maxProperties", path)
    elif kind == "string" and "enum" not in schema:
        _bounded(schema, "maxLength", path)
    elif kind is None and not schema.get("x-kubernetes-int-or-string"):
        raise SchemaError(f"{path}: no type")


def _bounded(schema: JsonObject, keyword: str, path: str) -> None:
    if keyword not in schema:
        raise SchemaError(f"{path}: no {keyword}")
