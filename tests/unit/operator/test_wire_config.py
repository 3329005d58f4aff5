"""The configurations that go to trainer and server: the specification verbatim, stable as text, and bounded."""

import json
from typing import Any

import pytest

from classifier_operator.api.deployment import ServerSettings
from classifier_operator.api.training import TrainingJobSpec
from classifier_operator.wire.errors import WireError
from classifier_operator.wire.model import MAX_BYTES
from classifier_operator.wire.run_config import RunBaseModel, RunConfig
from classifier_operator.wire.serve_config import ModelSource, ServeConfig

SPEC: dict[str, Any] = {
    "baseModel": {"uri": "pvc://smollm2/model", "secretName": "hf-token"},
    "trainDataset": {"configMap": {"name": "r8", "key": "train.jsonl"}, "secretName": "store"},
    "testDataset": {"split": 0.3},
    "rebalance": {"shares": {"earn": 0.25, "acq": 0.75}},
    "testFunctions": [{"builtin": "LabelMatch"}],
    "checkpoints": {"keep": "Last"},
    "report": {"rows": False},
    "hyperparameters": {"epochs": 1, "learningRate": 1e-5, "lora": {"rank": 4}},
    "output": {"uri": "s3://models/r8", "secretName": "store", "ifExists": "Fail"},
    "resources": {"limits": {"cpu": 2}},
    "backoffLimit": 1,
}
MOUNTS = {"pvc://smollm2/model": "/inputs/base-model/model", "pvc://r8-output": "/output"}


def run_config(spec: dict[str, Any]) -> RunConfig:
    read = TrainingJobSpec.from_json_object(spec)
    base = RunBaseModel(uri=read.base_model.uri or "")
    return RunConfig.of(read, base_model=base, output_uri="pvc://r8-output", mounts=MOUNTS)


def test_run_configuration_is_the_training_part_verbatim() -> None:
    assert json.loads(run_config(SPEC).encode()) == {
        "version": "v1alpha1",
        "baseModel": {"uri": "pvc://smollm2/model"},
        "trainDataset": {"configMap": {"name": "r8", "key": "train.jsonl"}},
        "testDataset": SPEC["testDataset"],
        "rebalance": SPEC["rebalance"],
        "testFunctions": SPEC["testFunctions"],
        "checkpoints": SPEC["checkpoints"],
        "report": SPEC["report"],
        "hyperparameters": SPEC["hyperparameters"],
        "output": {"uri": "pvc://r8-output", "ifExists": "Fail"},
        "mounts": MOUNTS,
    }


def test_run_configuration_leaves_out_what_the_user_left_out() -> None:
    least = {key: SPEC[key] for key in ("baseModel", "trainDataset")}
    assert json.loads(run_config(least).encode()).keys() == {
        "version",
        "baseModel",
        "trainDataset",
        "output",
        "mounts",
    }


def test_equal_configurations_are_equal_texts() -> None:
    other_order = dict(reversed(SPEC.items()))
    assert run_config(SPEC).encode() == run_config(other_order).encode()
    assert RunConfig.decode(run_config(SPEC).encode()) == run_config(SPEC)


def test_serve_configuration() -> None:
    config = ServeConfig(
        name="r8",
        checkpoint="epoch-1",
        model=ModelSource(uri="pvc://r8-output/model"),
        server=ServerSettings(max_batch_tokens="Auto"),
        mounts={"pvc://r8-output/model": "/inputs/model/model"},
    )
    assert json.loads(config.encode()) == {
        "version": "v1alpha1",
        "name": "r8",
        "checkpoint": "epoch-1",
        "model": {"uri": "pvc://r8-output/model"},
        "server": {"maxBatchTokens": "Auto"},
        "mounts": {"pvc://r8-output/model": "/inputs/model/model"},
    }
    assert ServeConfig.decode(config.encode()) == config


def test_too_large_a_configuration_is_refused() -> None:
    mounts = {"pvc://claim/path": "ä" * (MAX_BYTES // 2)}
    config = ServeConfig(name="r8", model=ModelSource(uri="pvc://claim/path"), mounts=mounts)
    with pytest.raises(WireError, match="at most 65536"):
        config.encode()
