"""The generated CRDs: no drift, nothing without a description or a maximum, no construct that is lost silently."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
import yaml
from pydantic import BaseModel, Field

from classifier_operator.api import crdgen, names
from classifier_operator.api.structural import SchemaError, structural_schema
from classifier_operator.api.training import MUTABLE_FIELDS

ROOT = Path(__file__).resolve().parents[3]
KINDS = pytest.mark.parametrize("kind", crdgen.KINDS, ids=lambda kind: kind.kind)


def schema_of(kind: crdgen.Kind) -> dict[str, Any]:
    version = crdgen.custom_resource_definition(kind)["spec"]["versions"][0]
    schema: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return schema


def properties(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, each in schema.get("properties", {}).items():
        yield f"{path}.{name}", each
        yield from properties(each, f"{path}.{name}")
        yield from properties(each.get("items", {}), f"{path}.{name}[]")


def test_nothing_has_drifted() -> None:
    assert crdgen.stale_files(ROOT) == []


def test_check_sees_every_kind_of_drift(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crdgen.write_files(tmp_path)
    assert crdgen.main(["--check", "--root", str(tmp_path)]) == 0
    first, second, *_ = sorted(crdgen.generate())
    (tmp_path / first).unlink()
    (tmp_path / second).write_text("edited: by hand\n")
    foreign = crdgen.CRD_FOLDER / "classifiers.dev_olds.yaml"
    (tmp_path / foreign).write_text("{}")
    assert crdgen.stale_files(tmp_path) == sorted([first, second, foreign])
    assert crdgen.main(["--check", "--root", str(tmp_path)]) == 1
    assert str(foreign) in capsys.readouterr().err
    assert crdgen.main(["--root", str(tmp_path)]) == 0
    assert crdgen.stale_files(tmp_path) == []


def test_chart_keeps_the_kinds_on_uninstall() -> None:
    files = crdgen.generate()
    for path in (path for path in files if path.parent == crdgen.CHART_FOLDER):
        chart, plain = yaml.safe_load(files[path]), yaml.safe_load(files[crdgen.CRD_FOLDER / path.name])
        assert chart["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert chart == plain


def test_the_reference_tells_every_field() -> None:
    page = crdgen.generate()[crdgen.REFERENCE]
    for kind in crdgen.KINDS:
        spec = schema_of(kind)["properties"]["spec"]
        for path, _ in properties(spec):
            name = path.removeprefix(".")
            assert f"\n| `{name}` | " in page, name
    assert "| `hyperparameters.batchSize` | integer | 16 | once | Rows in one update. " in page
    assert "| `taskType` | Auto \\| Binary \\| Multiclass \\| Multilabel | Auto | once | What is to be learnt; " in page
    assert "| `suspend` | boolean | false | any time | Whether training is paused: " in page
    assert "| `baseModel` | object |  | required, once | The model that training starts from. |" in page


@KINDS
def test_every_field_says_what_it_is(kind: crdgen.Kind) -> None:
    silent = [path for path, each in properties(schema_of(kind)) if not each.get("description")]
    own = {".metadata"}
    labels = [path for path in silent if path not in own]
    assert labels == []


@KINDS
def test_every_field_of_the_specification_says_whether_it_can_be_changed(kind: crdgen.Kind) -> None:
    for name, each in schema_of(kind)["properties"]["spec"]["properties"].items():
        mutable = kind.kind == names.DEPLOYMENT_KIND or name in MUTABLE_FIELDS
        assert ("Mutable" in each["description"]) == mutable, name
        assert ("Immutable" in each["description"]) != mutable, name


@KINDS
def test_kind_is_found_by_short_name_and_category(kind: crdgen.Kind) -> None:
    spec = crdgen.custom_resource_definition(kind)["spec"]
    assert spec["names"]["shortNames"] == [kind.short]
    assert spec["names"]["categories"] == ["classifiers"]
    assert spec["group"] == "classifiers.dev"
    assert spec["scope"] == "Namespaced"


@KINDS
def test_columns_print_fields_that_exist(kind: crdgen.Kind) -> None:
    known = dict(properties(schema_of(kind)))
    for column in kind.columns:
        if column.path.startswith(".metadata"):
            continue
        assert known[column.path]["type"] == column.type, column.path


def test_only_the_deployment_scales_and_writes_a_default() -> None:
    job, deployment = (schema_of(kind) for kind in crdgen.KINDS)
    assert [path for path, each in properties(job) if "default" in each] == []
    assert [(path, each["default"]) for path, each in properties(deployment) if "default" in each] == [
        (".spec.replicas", 1)
    ]


class Inner(BaseModel):
    """An inner model."""

    number: int | None = Field(default=None, gt=0, le=1)


class Outer(BaseModel):
    inner: Inner = Field(default=Inner(), description="What stands beside\n  the reference wins.")
    choice: Literal["A"] = "A"
    mapping: dict[str, int] = Field(default_factory=dict, max_length=3)


def test_translates_what_a_structural_schema_says_differently() -> None:
    schema = structural_schema(Outer)
    assert schema["properties"] == {
        "inner": {
            "type": "object",
            "description": "What stands beside the reference wins.",
            "properties": {
                "number": {
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                    "exclusiveMinimum": True,
                    "maximum": 1,
                }
            },
        },
        "choice": {"type": "string", "enum": ["A"]},
        "mapping": {
            "type": "object",
            "maxProperties": 3,
            "additionalProperties": {"type": "integer", "format": "int64"},
        },
    }


class NoMaxLength(BaseModel):
    text: str


class NoMaxItems(BaseModel):
    items: list[int]


class NoMaxProperties(BaseModel):
    mapping: dict[str, int]


class Union(BaseModel):
    either: int | Literal["Auto"]


class AnyValue(BaseModel):
    value: Any


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (NoMaxLength, "text: no maxLength"),
        (NoMaxItems, "items: no maxItems"),
        (NoMaxProperties, "mapping: no maxProperties"),
        (Union, "either: a structural schema has no union"),
        (AnyValue, "value: no type"),
    ],
)
def test_refuses_what_would_be_lost(model: type[BaseModel], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        structural_schema(model)
