"""classifier.json, written and read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from classifier_artifacts.classifier_json import (
    BaseModelReference,
    ClassifierJson,
    read_classifier_json,
    write_classifier_json,
)
from classifier_artifacts.errors import UserError

VALUE = ClassifierJson(
    task="Multilabel",
    labels=["a", "b"],
    thresholds={"a": 0.4},
    temperatures={"a": 1.5, "b": 0.9},
    calibrated=True,
    base_model=BaseModelReference(uri="pvc://c/m", digest="sha256:0"),
    max_length=64,
    template="{prompt} =>",
    method="LoRA",
)


def test_reads_what_it_wrote(tmp_path: Path) -> None:
    write_classifier_json(tmp_path, VALUE)
    assert read_classifier_json(tmp_path) == VALUE
    assert [path.name for path in tmp_path.iterdir()] == ["classifier.json"]


def test_names_outside(tmp_path: Path) -> None:
    write_classifier_json(tmp_path, VALUE)
    content = json.loads((tmp_path / "classifier.json").read_text())
    assert content["baseModel"] == {"uri": "pvc://c/m", "digest": "sha256:0"}
    assert content["maxLength"] == 64
    assert content["version"] == "v1alpha1"


def test_multiclass_has_no_thresholds_and_says_that_there_is_no_template(tmp_path: Path) -> None:
    write_classifier_json(tmp_path, ClassifierJson(task="Multiclass", labels=["a", "b"]))
    content = json.loads((tmp_path / "classifier.json").read_text())
    assert "thresholds" not in content
    assert "temperatures" not in content
    assert (content["temperature"], content["calibrated"]) == (1.0, False)
    assert content["template"] is None


def test_absent(tmp_path: Path) -> None:
    assert read_classifier_json(tmp_path) is None


def test_later_fields_are_ignored(tmp_path: Path) -> None:
    write_classifier_json(tmp_path, VALUE)
    path = tmp_path / "classifier.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "later": 1}))
    assert read_classifier_json(tmp_path) == VALUE


@pytest.mark.parametrize(
    ("content", "words"),
    [("{", "not valid"), ('{"task": "Other", "labels": ["a"]}', "task"), ('{"task": "Multiclass"}', "labels")],
)
def test_broken(tmp_path: Path, content: str, words: str) -> None:
    (tmp_path / "classifier.json").write_text(content)
    with pytest.raises(UserError, match=words):
        read_classifier_json(tmp_path)


def test_contradictions_are_refused() -> None:
    with pytest.raises(ValidationError, match="exactly one label"):
        ClassifierJson(task="Binary", labels=["a", "b"])
    with pytest.raises(ValidationError, match="unknown label 'c'"):
        ClassifierJson(task="Multilabel", labels=["a"], thresholds={"c": 0.1})
    with pytest.raises(ValidationError, match="temperatures name the unknown label 'c'"):
        ClassifierJson(task="Multilabel", labels=["a"], temperatures={"c": 0.1})
    with pytest.raises(ValidationError, match="temperature"):
        ClassifierJson(task="Multiclass", labels=["a", "b"], temperature=0)
