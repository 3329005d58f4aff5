"""Addresses of models, data and outputs, each with the sentence that says what it may look like."""

from typing import Annotated, Any, Final

from pydantic import Field

from classifier_operator.api.base import rule, rules

_HUB: Final = "hf://[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._/-]+)?"
_HUB_DATA: Final = "hf://datasets/[A-Za-z0-9._-]+/[A-Za-z0-9._-]+(@[A-Za-z0-9._%~-]+)?(/.+)?"
_CLAIM: Final = "pvc://[a-z0-9]([-a-z0-9.]*[a-z0-9])?(/.+)?"
_FILE: Final = "file:///.+"
_OBJECTS: Final = "s3://[a-z0-9][-a-z0-9.]*[a-z0-9]/.+"
_WEB: Final = "https://[^/@?# ]+/.+"
"""Without user and password, which have no place in a specification."""
_NO_PARENT: Final = "!self.contains('/../') && !self.endsWith('/..')"


def _address(field: str, *patterns: str, shapes: str) -> Any:
    return Field(
        max_length=1024,
        json_schema_extra=rules(
            rule(f"self.matches('^({'|'.join(patterns)})$')", f"{field} must be {shapes}"),
            rule(_NO_PARENT, f"{field} must not contain '..': write the whole path"),
        ),
    )


BaseModelAddress = Annotated[
    str,
    _address(
        "baseModel.uri",
        *(_HUB, _CLAIM, _OBJECTS, _WEB, _FILE),
        shapes="hf://org/name[@revision], pvc://claim/path, s3://bucket/prefix, https://host/archive.tar.gz or "
        "file:///path",
    ),
]
DatasetAddress = Annotated[
    str,
    _address(
        "the uri of a dataset",
        *(_CLAIM, _OBJECTS, _HUB_DATA, _WEB, _FILE),
        shapes="pvc://claim/path, s3://bucket/key, hf://datasets/org/name[@revision][/glob], https://host/path or "
        "file:///path",
    ),
]
FunctionAddress = Annotated[
    str, _address("the uri of a test function", _CLAIM, _FILE, shapes="pvc://claim/path or file:///path")
]
OutputAddress = Annotated[
    str,
    _address(
        "output.uri", _OBJECTS, shapes="s3://bucket/prefix; to write to a claim, leave it out or write output.claim"
    ),
]
ModelAddress = Annotated[
    str,
    _address(
        "model.uri",
        *(_HUB, _CLAIM, _OBJECTS, _WEB, _FILE),
        shapes="pvc://claim/path, hf://org/name[@revision], s3://bucket/prefix, https://host/archive.tar.gz or "
        "file:///path",
    ),
]
