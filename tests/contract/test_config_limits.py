"""What the API lets in, the trainer takes: names, limits and documented defaults of every part of the configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from classifier_operator.api import datasets, hyperparameters, output, references, training
from classifier_operator.api.structural import structural_schema
from classifier_operator.wire.run_config import RunConfig
from classifier_trainer import config as trainer
from classifier_trainer.evaluate import scores, user_functions

Schema = dict[str, Any]

PARTS: dict[str, tuple[type[BaseModel], type[BaseModel]]] = {
    "hyperparameters": (hyperparameters.Hyperparameters, trainer.Hyperparameters),
    "lora": (hyperparameters.Lora, trainer.Lora),
    "earlyStopping": (hyperparameters.EarlyStopping, trainer.EarlyStopping),
    "baseModel": (training.BaseModelSource, trainer.BaseModelSource),
    "trainDataset": (datasets.TrainDataset, trainer.TrainDataset),
    "testDataset": (datasets.TestDataset, trainer.TestDataset),
    "configMap": (references.ConfigMapKey, trainer.ConfigMapKey),
    "columns": (datasets.Columns, trainer.Columns),
    "hub": (datasets.Hub, trainer.Hub),
    "validation": (datasets.Validation, trainer.Validation),
    "rebalance": (datasets.Rebalance, trainer.Rebalance),
    "testFunctions": (training.TestFunction, trainer.TestFunction),
    "checkpoints": (output.Checkpoints, trainer.Checkpoints),
    "report": (output.Report, trainer.Report),
    "output": (output.Output, trainer.Output),
    "spec": (training.TrainingJobSpec, trainer.RunConfig),
}
# What the operator keeps to itself, and what it writes.
OURS_ALONE = {
    "baseModel": {"checkpoint"},
    "output": {"claim", "secretName"},
    "spec": {
        *("nodes", "resources", "suspend", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"),
        *("image", "podTemplate"),
    },
}
THEIRS_ALONE = {"baseModel": {"adapterBase"}, "spec": {"version", "mounts"}}
# In the API a list of names only, of which the trainer's other choice is the default.
DIFFERENT = {"targetModules"}

EQUAL = ("type", "enum", "minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "minItems", "minProperties")
AT_MOST = ("maxLength", "maxItems", "maxProperties")


def schema_of(model: type[BaseModel]) -> Schema:
    return model.model_json_schema(by_alias=True)


def plain(schema: Schema, root: Schema) -> Schema:
    """The schema of one value: references followed, `or null` left out."""
    if "$ref" in schema:
        target: Schema = root["$defs"][schema["$ref"].rpartition("/")[2]]
        return plain({**target, **{key: value for key, value in schema.items() if key != "$ref"}}, root)
    choices = [choice for choice in schema.get("anyOf", []) if choice.get("type") != "null"]
    if len(choices) == 1:
        rest = {key: value for key, value in schema.items() if key != "anyOf"}
        return plain({**rest, **choices[0]}, root)
    if "const" in schema:
        return {**schema, "enum": [schema["const"]]}
    return schema


def compare(path: str, own: Schema, other: Schema, own_root: Schema, other_root: Schema) -> None:
    own, other = plain(own, own_root), plain(other, other_root)
    for limit in EQUAL:
        assert own.get(limit) == other.get(limit), (path, limit)
    for limit in AT_MOST:
        # A structural schema needs a maximum where the trainer may have none.
        assert own.get(limit, 0) <= other.get(limit, float("inf")), (path, limit)
    if "pattern" in other:
        assert own.get("pattern") == other["pattern"], path
    if other.get("minLength"):
        # A rule in CEL demands more than one character of an address.
        assert own.get("minLength") == other["minLength"] or own.get("x-kubernetes-validations"), path
    for inner in ("items", "additionalProperties"):
        assert isinstance(own.get(inner), dict) == isinstance(other.get(inner), dict), (path, inner)
        if isinstance(own.get(inner), dict):
            compare(f"{path}[]", own[inner], other[inner], own_root, other_root)


@pytest.mark.parametrize("part", PARTS)
def test_names_and_limits(part: str) -> None:
    own_root, other_root = (schema_of(model) for model in PARTS[part])
    own, other = own_root["properties"], other_root["properties"]
    assert own.keys() - other.keys() == OURS_ALONE.get(part, set())
    assert other.keys() - own.keys() == THEIRS_ALONE.get(part, set())
    for name in (own.keys() & other.keys()) - DIFFERENT:
        compare(f"{part}.{name}", own[name], other[name], own_root, other_root)


def test_every_part_of_the_trainers_configuration_is_compared() -> None:
    definitions = schema_of(trainer.RunConfig)["$defs"].keys()
    assert definitions == {theirs.__name__ for _, theirs in PARTS.values()} - {"RunConfig"}
    assert {field.alias for field in RunConfig.model_fields.values()} == {
        field.alias for field in trainer.RunConfig.model_fields.values()
    }


# Defaults that depend on the base model, the data or another field: words that both descriptions must hold.
DEPENDENT_DEFAULTS = {
    "hyperparameters.epochs": ["3"],
    "hyperparameters.learningRate": ["5e-4 at 576", "2e-4 at 2560", "a tenth with Full"],
    "hyperparameters.headLearningRate": ["twice the learning"],
    "hyperparameters.maxLength": ["1024", "bears"],
    "hyperparameters.targetPrior": ["AsTrained", "Natural with classWeights"],
    "hyperparameters.negativeLabel": ["not <label>"],
    "columns.prompt": ["prompt, else input or text"],
    "columns.completion": ["completion, else expected_output or label"],
    "hub.config": ["its first"],
    "hub.split": ["train, or test for the testDataset"],
    "validation.split": ["10 %, at least 100 and at most 5000 rows", "none below 500 rows"],
}
# Left out: nothing is done.
NOTHING = {
    *("hyperparameters.earlyStopping", "trainDataset.limit", "baseModel.secretName", "columns.labels"),
    *("trainDataset.secretName", "testDataset.secretName", "trainDataset.columns", "testDataset.columns"),
    *("trainDataset.hub", "testDataset.hub", "spec.testDataset", "spec.rebalance"),
}
# One of them must be there, which a rule says.
CHOICES = {
    *("trainDataset.uri", "trainDataset.configMap", "testDataset.uri", "testDataset.configMap", "testDataset.split"),
    *("rebalance.shares", "rebalance.counts", "testFunctions.builtin", "testFunctions.name"),
    *("testFunctions.configMap", "testFunctions.uri", "baseModel.uri"),
}


def documented_default(description: str) -> str:
    """What the API says after `Default: `, up to the end of the sentence or the first comma."""
    told = description.split("Default: ", 1)[1].removesuffix(".")
    return told.split(",", 1)[0].split(". ", 1)[0]


@pytest.mark.parametrize("part", PARTS)
def test_documented_defaults_are_the_trainers(part: str) -> None:
    ours, theirs = PARTS[part]
    described = structural_schema(ours)["properties"]
    for name, field in theirs.model_fields.items():
        alias = field.alias or name
        path = f"{part}.{alias}"
        if alias in THEIRS_ALONE.get(part, ()) or alias in DIFFERENT or field.is_required() or path in CHOICES:
            continue
        description = described[alias]["description"]
        if isinstance(field.default, BaseModel) or field.default_factory is not None:
            continue  # its own fields say
        if field.default is None:
            for words in DEPENDENT_DEFAULTS.get(path, []):
                assert words in (field.description or ""), path
                assert words in description, path
            assert path in DEPENDENT_DEFAULTS or path in NOTHING, path
            continue
        told = documented_default(description)
        assert (told if isinstance(field.default, str) else json.loads(told)) == field.default, path


def test_targets_of_lora_default_to_all_linear_layers() -> None:
    assert trainer.Lora().target_modules == "AllLinear"
    told = structural_schema(hyperparameters.Lora)["properties"]["targetModules"]["description"]
    assert "Default: every linear layer" in told


def test_no_function_can_be_called_as_a_metric() -> None:
    taken = {*user_functions.BUILTINS.values(), *scores.HEADLINE, *scores.BASELINE_HEADLINE}
    assert set(training.METRICS) == taken
