"""What the operator renders is accepted by the trainer's and the server's own models, field by field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import BaseModel

from classifier_operator.api.deployment import ServerSettings
from classifier_operator.api.structural import structural_schema
from classifier_operator.api.training import TrainingJobSpec
from classifier_operator.api.training_status import TrainingPhase
from classifier_operator.manifests.rendezvous import rendezvous_environment
from classifier_operator.wire.progress import ReportPhase
from classifier_operator.wire.run_config import RUN_CONFIG_VARIABLE, RunBaseModel, RunConfig
from classifier_operator.wire.serve_config import SERVE_CONFIG_VARIABLE, ModelSource, ServeConfig
from classifier_server import config as server
from classifier_trainer import __main__ as trainer_command
from classifier_trainer import config as trainer
from classifier_trainer import launch
from classifier_trainer.commands.parser import CONFIG_ENVIRONMENT
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
    "truncationSide": "Left",
    "template": 'Text: "{prompt}"\nThe topic: 🙂',
    "scheduler": "Cosine",
    "warmupRatio": 0.06,
    "weightDecay": 1,
    "maxGradNorm": 1.0,
    "lora": {"rank": 4, "alpha": 8, "dropout": 0.1, "targetModules": ["q_proj", "v_proj"]},
    "precision": "Float32",
    "seed": 0,
    "earlyStopping": {"patience": 2},
    "classWeights": "Balanced",
    "targetPrior": "Natural",
    "selectBy": "LogLoss",
    "calibrate": False,
    "stateEvery": "1h30m",
    "negativeLabel": "no spam",
}
SPECS: dict[str, dict[str, Any]] = {
    "the least": LEAST,
    "hub": LEAST | {"baseModel": {"uri": "hf://Qwen/Qwen3-4B-Base@main", "secretName": "hf-token"}},
    "web": LEAST | {"baseModel": {"uri": "https://host/model.tar.gz"}, "trainDataset": {"uri": "https://host/a.csv"}},
    "object store": LEAST
    | {
        "baseModel": {"uri": "s3://models/qwen", "secretName": "store"},
        "trainDataset": {"uri": "s3://data/train.parquet", "secretName": "store", "format": "Parquet", "limit": 100},
        "output": {"uri": "s3://models/news", "secretName": "store", "ifExists": "Fail"},
    },
    "config maps": LEAST
    | {
        "trainDataset": {"configMap": {"name": "data", "key": "train.jsonl"}},
        "testDataset": {"configMap": {"name": "data", "key": "test.jsonl"}},
    },
    "columns": LEAST
    | {
        "trainDataset": {"uri": "pvc://data/train.csv", "columns": {"prompt": "text", "completion": "topic"}},
        "testDataset": {"uri": "pvc://data/test.csv", "columns": {"prompt": "text", "labels": ["spam", "ham"]}},
    },
    "hub data": LEAST
    | {
        "trainDataset": {"uri": "hf://datasets/org/name@main", "hub": {"config": "en", "split": "train"}},
        "testDataset": {"uri": "hf://datasets/org/name/test/*.parquet", "hub": {}, "secretName": "hf-token"},
    },
    "split": LEAST | {"testDataset": {"split": 0.2}, "validation": {"split": 0}, "taskType": "Multilabel"},
    "test claim": LEAST | {"testDataset": {"uri": "pvc://data/test.jsonl"}},
    "shares": LEAST | {"rebalance": {"shares": {"positive": 0.3, "negative": 0.7}}},
    "counts": LEAST | {"rebalance": {"counts": {"earn": 200, "acq": 0}}},
    "every hyperparameter": LEAST | {"hyperparameters": ALL_HYPERPARAMETERS},
    "head only": LEAST | {"hyperparameters": {"method": "HeadOnly"}},
    "full": LEAST | {"hyperparameters": {"method": "Full"}},
    "test functions": LEAST
    | {
        "testFunctions": [
            {"builtin": "SampleMatchCombined"},
            {"builtin": "LabelMatch"},
            {"name": "cost", "configMap": {"name": "functions", "key": "cost.py"}},
            {"name": "gain_2", "uri": "pvc://functions/gain.py"},
        ]
    },
    "checkpoints": LEAST | {"checkpoints": {"keep": "Best", "format": "Adapter"}, "report": {"rows": False}},
    "fail": LEAST | {"output": {"ifExists": "Fail"}},
}


def rendered(spec: dict[str, Any]) -> str:
    read = TrainingJobSpec.from_json_object(spec)
    base = RunBaseModel(uri=read.base_model.uri or "pvc://old/checkpoints/epoch-1", adapter_base="hf://a/b")
    if read.base_model.checkpoint is None:
        base = RunBaseModel(uri=read.base_model.uri or "")
    mounts = {"pvc://models/smollm2": "/inputs/base-model/smollm2", "pvc://news-output": "/output"}
    output = (read.output and read.output.uri) or "pvc://news-output"
    return RunConfig.of(read, base_model=base, output_uri=output, mounts=mounts).encode()


def by_the_trainer(text: str, monkeypatch: pytest.MonkeyPatch) -> trainer.RunConfig:
    """The configuration as the trainer's own command reads it from its environment."""
    monkeypatch.setenv(CONFIG_ENVIRONMENT, text)
    return trainer_command.load(None, [])


@pytest.mark.parametrize("name", SPECS)
def test_trainer_reads_what_the_operator_renders(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = rendered(SPECS[name])
    read = by_the_trainer(text, monkeypatch)
    # Nothing is lost and nothing changes its value on the way.
    assert json.loads(read.model_dump_json(by_alias=True, exclude_unset=True)) == json.loads(text)


@pytest.mark.parametrize("name", SPECS)
def test_the_configuration_is_the_specification(name: str) -> None:
    """Word for word, but for addresses that are resolved and Secrets, which travel as environment."""
    config, spec = json.loads(rendered(SPECS[name])), json.loads(json.dumps(SPECS[name]))
    for part in (spec["baseModel"], spec["trainDataset"], spec.get("testDataset", {}), spec.get("output", {})):
        part.pop("secretName", None)
    spec["output"] = {"uri": "pvc://news-output"} | spec.get("output", {})
    assert {key: value for key, value in config.items() if key not in ("version", "mounts")} == spec


def test_trainer_reads_a_checkpoint_of_another_job(monkeypatch: pytest.MonkeyPatch) -> None:
    text = rendered(LEAST | {"baseModel": {"checkpoint": {"trainingJobName": "old", "name": "epoch-1"}}})
    read = by_the_trainer(text, monkeypatch)
    assert (read.base_model.uri, read.base_model.adapter_base) == ("pvc://old/checkpoints/epoch-1", "hf://a/b")


def training_examples() -> list[dict[str, Any]]:
    texts = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*.yaml"))]
    documents = [document for text in texts for document in yaml.safe_load_all(text)]
    return [document for document in documents if document["kind"] == "ClassifierTrainingJob"]


@pytest.mark.parametrize("manifest", training_examples(), ids=lambda manifest: str(manifest["metadata"]["name"]))
def test_trainer_reads_the_examples(manifest: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    # As the API server hands it on: YAML's 2e-4 is a number there.
    spec = json.loads(json.dumps(manifest["spec"]).replace('"2e-4"', "2e-4"))
    read = by_the_trainer(rendered(spec), monkeypatch)
    assert spec["baseModel"].get("uri") in (read.base_model.uri, None)


def test_trainer_refuses_what_it_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    newer = json.dumps(json.loads(rendered(LEAST)) | {"technique": "SFT"})
    with pytest.raises(UserError, match="technique is not a field"):
        by_the_trainer(newer, monkeypatch)


def test_variables_have_one_name_on_both_sides() -> None:
    assert RUN_CONFIG_VARIABLE == CONFIG_ENVIRONMENT
    assert SERVE_CONFIG_VARIABLE == server.ENVIRONMENT_VARIABLE


SETTINGS: dict[str, ServerSettings | None] = {
    "none": None,
    "auto": ServerSettings(max_batch_tokens="Auto", precision="Auto"),
    "all": ServerSettings(
        max_length=64,
        max_batch_tokens=4096,
        max_queue=1,
        precision="Float32",
        classify_dialect="Infinity",
        unflagged_labels=["ok"],
    ),
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
        api_keys_dir="/var/run/classifier-keys" if checkpoint else None,
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


def documented_default(description: str) -> str:
    """What the API says after `Default: `, up to the end of the sentence or the first comma."""
    told = description.split("Default: ", 1)[1].removesuffix(".")
    return told.split(",", 1)[0].split(". ", 1)[0]


def test_the_server_takes_every_setting_that_the_schema_allows() -> None:
    own, other = structural_schema(ServerSettings)["properties"], plain_schema(server.ServerSettings)
    assert own.keys() == other.keys()
    for name in ("maxLength", "maxQueue"):
        assert other[name]["minimum"] <= own[name]["minimum"], name
        assert own[name]["maximum"] <= other[name]["maximum"], name
    for name in ("precision", "classifyDialect"):
        assert own[name]["enum"] == other[name]["enum"], name
    for limit in ("type", "maxItems"):
        assert own["unflaggedLabels"][limit] == other["unflaggedLabels"][limit]
    assert own["unflaggedLabels"]["items"] == other["unflaggedLabels"]["items"]
    assert documented_default(own["classifyDialect"]["description"]) == server.ServerSettings().classify_dialect
    assert documented_default(own["maxQueue"]["description"]) == str(server.ServerSettings().max_queue)
    tokens = {key: own["maxBatchTokens"][key] for key in ("minimum", "maximum")}
    assert tokens.items() <= other["maxBatchTokens"]["anyOf"][0].items()
    assert documented_default(own["maxBatchTokens"]["description"]) == server.ServerSettings().max_batch_tokens


def test_phases_that_are_reported_are_phases_of_the_status() -> None:
    assert set(get_args(ReportPhase)) <= set(get_args(TrainingPhase))


@pytest.mark.parametrize(("nodes", "gpus", "world"), [(1, 1, 1), (2, 1, 2), (1, 4, 4), (2, 4, 8)])
def test_processes_find_each_other_by_what_the_operator_says(nodes: int, gpus: int, world: int) -> None:
    ranks = set()
    for node in range(nodes):
        told = rendezvous_environment("news-1a2b3c4d", "default", nodes=nodes, gpus=gpus)
        # The kubelet puts in what the annotation of the pod says.
        environment = {each["name"]: each.get("value", str(node)) for each in told}
        count = launch.processes_here(environment)
        assert count == gpus
        for each in launch.environments(count, environment) if count > 1 else [environment]:
            assert each.get("WORLD_SIZE", "1") == str(world)
            first = "127.0.0.1" if nodes == 1 else "news-1a2b3c4d-0.news-1a2b3c4d.default.svc"
            assert world == 1 or (each["MASTER_ADDR"], each["MASTER_PORT"]) == (first, "29500")
            ranks.add(int(each.get("RANK", "0")))
    assert ranks == set(range(world))
