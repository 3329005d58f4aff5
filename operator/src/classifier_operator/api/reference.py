"""The reference of the two kinds as a page of Markdown, from the same schemas as the CRDs."""

import re
from collections.abc import Iterator, Mapping
from typing import Final

from classifier_operator.api.base import JsonObject

SHARED: Final = ("resources", "podTemplate")
"""Fields of both kinds whose parts are told once."""

_HEADER: Final = """\
<!-- Generated from operator/src/classifier_operator/api by `make generate`. Do not edit. -->
# Reference

Every field of the two kinds. `[]` stands for the items of a list, `{}` for the values of a map. *Set* says whether a
field can be changed after the object was created. `kubectl explain ctj.spec` and `kubectl explain cdep.spec` say the
same.
"""
_COLUMNS: Final = "| Field | Type | Default | Set | What it is |\n|---|---|---|---|---|\n"
_STATUS_COLUMNS: Final = "| Field | Type | What it is |\n|---|---|---|\n"
_SENTENCES: Final = re.compile(r"(?<=[.])\s+(?=[A-Z])")


def reference(schemas: Mapping[str, JsonObject]) -> str:
    """The page.

    Args:
        schemas: the root schema of each kind, by its name.
    """
    parts = [_HEADER]
    for kind, schema in schemas.items():
        properties = schema["properties"]
        parts.append(f"## {kind}\n\n{schema['description']}\n\n### spec\n\n{_COLUMNS}{_rows(properties['spec'])}")
        parts.append(f"### status\n\n{properties['status']['description']}\n\n{_STATUS_COLUMNS}")
        parts[-1] += "".join(
            f"| `{path}` | {_type(each)} | {_escaped(each['description'])} |\n"
            for path, each in _fields(properties["status"], "")
        )
    for name in SHARED:
        shared = next(iter(schemas.values()))["properties"]["spec"]["properties"][name]
        parts.append(f"## {name}\n\nThe same for both kinds.\n\n{_COLUMNS}{_rows(shared, f'{name}.')}")
    return "\n".join(parts)


def _rows(schema: JsonObject, prefix: str = "") -> str:
    rows, changes = [], ""
    for path, each in _fields(schema, prefix):
        default, own, text = _told(each["description"])
        if not prefix and path in schema["properties"]:
            changes = own.removeprefix("required, ")  # what is in a field changes as it does
        if path in SHARED:
            text = f"{text} Its fields are [below](#{path.lower()})."
        cells = (f"`{path}`", _type(each), _escaped(default), own or changes, _escaped(text))
        rows.append(f"| {' | '.join(cells)} |\n")
    return "".join(rows)


def _fields(schema: JsonObject, prefix: str) -> Iterator[tuple[str, JsonObject]]:
    """The fields of an object and of what is in them, by their path."""
    for name, each in schema.get("properties", {}).items():
        yield f"{prefix}{name}", each
        if prefix or name not in SHARED:
            yield from _inner(f"{prefix}{name}", each)


def _inner(path: str, schema: JsonObject) -> Iterator[tuple[str, JsonObject]]:
    yield from _fields(schema, f"{path}.")
    for keyword, brackets in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(keyword), dict):
            yield from _inner(f"{path}{brackets}", schema[keyword])


def _told(description: str) -> tuple[str, str, str]:
    """The default, when a field can be set, and the rest of what a description says."""
    default, changes, rest = "", [], []
    for sentence in _SENTENCES.split(description):
        if sentence.startswith("Default: "):
            default = sentence.removeprefix("Default: ").removesuffix(".")
        elif sentence.startswith(("Immutable", "Required", "Mutable")):
            text = sentence.removesuffix(".")
            for word, meaning in (("Immutable", "once"), ("Required", "required"), ("Mutable", "any time")):
                text = text.replace(word, meaning, 1)
            changes.append(text)
        else:
            rest.append(sentence)
    return default, ", ".join(changes), " ".join(rest)


def _type(schema: JsonObject) -> str:
    if "enum" in schema:
        return " \\| ".join(str(value) for value in schema["enum"])
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    match schema.get("type"):
        case "array":
            return f"list of {_type(schema['items'])}"
        case "object" if isinstance(schema.get("additionalProperties"), dict):
            return f"map of {_type(schema['additionalProperties'])}"
        case kind:
            return str(schema.get("format") if schema.get("format") == "date-time" else kind)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")
