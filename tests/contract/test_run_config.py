"""What the operator renders is accepted by the trainer's and the server's own models, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from classifier_operator.api import hyperparameters as api
from classifier_operator.api.deployment import ServerSettings
from classifier_operator.api.structural import structural_schema
from classifier_operator.api.training import TrainingJobSpec
from classifier_operator.api.training_status import TrainingPhase
from classifier_operator.wire.progress import ReportPhase
from classifier_operator.wire.run_config import RUN_CONFIG_VARIABLE, RunConfig
from classifier_operator.wire.serve_config import SERVE_CONFIG_VARIABLE, ModelSource, ServeConfig
from classifier_server import config as server
from classifier_trainer import __main__ as trainer_command
from classifier_trainer import config as trainer
from classifier_trainer.errors import UserError

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LEAST: dict[str, Any] = {
    "baseModel": {"uri": "pvc://models/smollm2"},
    "trainDataset": {"uri": "pvc://data/train.jsonl"},
}
ALL_HYPERPARAMETERS: dict[str, Any] = {
    "method": "LoRA",
    "epochs": 3,
    "learningRate": 1e-5,
    "headLearningRate": 2e-4,
    "batchSize": 8,
    "maxLength": 64,
    "template": 'Text: "{prompt}"\nThe topic: 🙂',
    "scheduler": "Cosine",
    "warmupRatio": 0.06,
    "weightDecay": 1,
    "maxGradNorm": 1.0,
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "targetModules": ["q_proj", "v_proj"]},
    "precision": "Float32",
    "seed": 0,
}
SPECS: dict[str, dict[str, Any]] = {
    "the least": LEAST,
    "hub": LEAST | {"baseModel": {"uri": "hf://Qwen/Qwen3-4B-Base@main", "secretName": "hf-token"}},
    "config maps": LEAST
    | {
        "trainDataset": {"configMap": {"name": "data", "key": "train.jsonl"}},
        "testDataset": {"configMap": {"name": "data", "key": "test.jsonl"}},
    },
    "split": LEAST | {"testDataset": {"split": 0.2}, "taskType": "Multilabel"},
    "test claim": LEAST | {"testDataset": {"uri": "pvc://data/test.jsonl"}},
    "every hyperparameter": LEAST | {"hyperparameters": ALL_HYPERPARAMETERS},
    "head only": LEAST | {"hyperparameters": {"method": "HeadOnly"}},
    "fail": LEAST | {"output": {"ifExists": "Fail"}},
}


def rendered(spec: dict[str, Any]) -> str:
    mounts = {"pvc://models/smollm2": "/inputs/base-model/smollm2", "pvc://news-output": "/output"}
    return RunConfig.of(TrainingJobSpec.from_json_object(spec), output_uri="pvc://news-output", mounts=mounts).encode()


def by_the_trainer(text: str, monkeypatch: pytest.MonkeyPatch) -> trainer.RunConfig:
    """The configuration as the trainer's own command reads it from its environment."""
    monkeypatch.setenv(trainer_command.CONFIG_ENVIRONMENT, text)
    return trainer_command.load(None, [])


@pytest.mark.parametrize("name", SPECS)
def test_trainer_reads_what_the_operator_renders(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = rendered(SPECS[name])
    read = by_the_trainer(text, monkeypatch)
    # Nothing is lost and nothing changes its value on the way.
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(text)


def training_examples() -> list[dict[str, Any]]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))]
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    return [document for document in documents if document["kind"] == "ClassifierTrainingJob"]


@pytest.mark.parametrize("manifest", training_examples(), ids=lambda manifest: str(manifest["metadata"]["name"]))
def test_trainer_reads_the_examples(manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # As the API server hands it on: YAML's 2e-4 is a number there.
    spec = json.loads(json.dumps(manifest["spec"]).replace('"2e-4"', "2e-4"))
    assert by_the_trainer(rendered(spec), monkeypatch).base_model.uri == spec["baseModel"]["uri"]


def test_trainer_refuses_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = json.dumps(json.loads(rendered(LEAST)) | {"technique": "SFT"})
    with pytest.raises(UserError, match="technique is not a field"):
        by_the_trainer(newer, monkeypatch)


def test_variables_have_one_name_on_both_sides() -> None:
    assert RUN_CONFIG_VARIABLE == trainer_command.CONFIG_ENVIRONMENT
    assert SERVE_CONFIG_VARIABLE == server.ENVIRONMENT_VARIABLE


SETTINGS: dict[str, ServerSettings | None] = {
    "none": None,
    "auto": ServerSettings(max_batch_tokens="Auto", precision="Auto"),
    "all": ServerSettings(max_length=64, max_batch_tokens=4096, max_queue=1, precision="Float32"),
}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("checkpoint", [None, "epoch-3"])
def test_server_reads_what_the_operator_renders(name: str, checkpoint: str | None) -> None:
    text = ServeConfig(
        name="news",
        checkpoint=checkpoint,
        model=ModelSource(uri="pvc://news-output/checkpoints/epoch-3"),
        base_model=ModelSource(uri="pvc://models/smollm2") if checkpoint else None,
        server=SETTINGS[name],
        mounts={"pvc://news-output/checkpoints/epoch-3": "/inputs/model/checkpoints/epoch-3"},
    ).encode()
    read = server.load(None, {SERVE_CONFIG_VARIABLE: text})
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(text)


def plain_schema(model: type[BaseModel]) -> dict[str, dict[str, Any]]:
    """{alias: schema without the `or null`} of a model's fields."""
    schema = model.model_json_schema(by_alias=True)
    fields: dict[str, dict[str, Any]] = {}
    for name, each in schema["properties"].items():
        choices = [choice for choice in each.get("anyOf", []) if choice.get("type") != "null"]
        fields[name] = {**each, **(choices[0] if len(choices) == 1 else {})}
    return fields


LIMITS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum", "maxLength", "enum", "type")


@pytest.mark.parametrize(("ours", "theirs"), [(api.Hyperparameters, trainer.Hyperparameters), (api.Lora, trainer.Lora)])
def test_hyperparameters_have_the_same_names_and_limits(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    own, other = plain_schema(ours), plain_schema(theirs)
    assert own.keys() == other.keys()
    for name in own.keys() - {"lora", "targetModules"}:
        assert {limit: own[name].get(limit) for limit in LIMITS} == {
            limit: other[name].get(limit) for limit in LIMITS
        }, name


# Defaults that depend on the base model or the method: words that both descriptions must hold.
DEPENDENT_DEFAULTS = {
    "epochs": ["3"],
    "learningRate": ["5e-4 at 576"],
    "headLearningRate": ["twice the learning"],
    "maxLength": ["1024", "bears"],
}


def documented_default(description: str) -> str:
    """What the API says after `Default: `, up to the end of the sentence or the first comma."""
    told = description.split("Default: ", 1)[1].removesuffix(".")
    return told.split(",", 1)[0].split(". ", 1)[0]


@pytest.mark.parametrize(("ours", "theirs"), [(api.Hyperparameters, trainer.Hyperparameters), (api.Lora, trainer.Lora)])
def test_documented_defaults_are_the_trainers(ours: type[BaseModel], theirs: type[BaseModel]) -> None:
    described = structural_schema(ours)["properties"]
    for name, field in theirs.model_fields.items():
        alias = field.alias or name
        if alias in {"lora", "targetModules"}:
            continue
        description = described[alias]["description"]
        if field.default is None:
            for words in DEPENDENT_DEFAULTS[alias]:
                assert words in (field.description or ""), alias
                assert words in description, alias
            continue
        told = documented_default(description)
        assert (told if isinstance(field.default, str) else float(told)) == field.default, alias


def test_targets_of_lora_default_to_all_linear_layers() -> None:
    assert trainer.Lora().target_modules == "AllLinear"
    assert "Default: every linear layer" in structural_schema(api.Lora)["properties"]["targetModules"]["description"]


def test_the_server_takes_every_setting_that_the_schema_allows() -> None:
    own, other = structural_schema(ServerSettings)["properties"], plain_schema(server.ServerSettings)
    assert own.keys() == other.keys()
    for name in ("maxLength", "maxQueue"):
        assert other[name]["minimum"] <= own[name]["minimum"], name
        assert own[name]["maximum"] <= other[name]["maximum"], name
    assert own["precision"]["enum"] == other["precision"]["enum"]
    assert documented_default(own["maxQueue"]["description"]) == str(server.ServerSettings().max_queue)
    tokens = {key: own["maxBatchTokens"][key] for key in ("minimum", "maximum")}
    assert tokens.items() <= other["maxBatchTokens"]["anyOf"][0].items()
    assert documented_default(own["maxBatchTokens"]["description"]) == server.ServerSettings().max_batch_tokens


def test_phases_that_are_reported_are_phases_of_the_status() -> None:
    assert set(get_args(ReportPhase)) <= set(get_args(TrainingPhase))
