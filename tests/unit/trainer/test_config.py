"""The run configuration: defaults, digest, and one sentence for each mistake."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_trainer.config import parse
from classifier_trainer.errors import UserError


def content(**changes: Any) -> dict[str, Any]:
    return {
        "version": "v1alpha1",
        "baseModel": {"uri": "pvc://m/model"},
        "trainDataset": {"uri": "pvc://d/train.jsonl"},
        "output": {"uri": "pvc://out"},
        **changes,
    }


def test_defaults_are_those_of_the_documentation() -> None:
    found = parse(content()).hyperparameters
    assert found.model_dump() == {
        "method": "LoRA",
        "epochs": None,
        "learning_rate": None,
        "head_learning_rate": None,
        "batch_size": 16,
        "max_length": None,
        "truncation_side": "Right",
        "template": "Auto",
        "scheduler": "Linear",
        "warmup_ratio": 0.03,
        "weight_decay": 0,
        "max_grad_norm": 1.0,
        "lora": {"rank": 16, "alpha": 32, "dropout": 0, "target_modules": "AllLinear"},
        "precision": "Auto",
        "seed": 42,
        "early_stopping": None,
        "class_weights": "None",
        "target_prior": None,
        "select_by": "Auto",
        "calibrate": True,
        "state_every": "10m",
        "negative_label": None,
    }
    assert parse(content()).output.if_exists == "Reuse"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"baseModell": {}}, "baseModell is not a field: did you mean baseModel?."),
        ({"hyperparameters": {"epoch": 1}}, "hyperparameters.epoch is not a field: did you mean epochs?."),
        ({"hyperparameters": {"lora": {"r": 8}}}, "hyperparameters.lora.r is not a field: known are rank, alpha"),
        ({"hyperparameters": {"Epochs": 3}}, "did you mean epochs?"),
        ({"hyperparameters": {"epochs": 0}}, "hyperparameters.epochs is 0: it should be greater than or equal to 1."),
        ({"hyperparameters": {"epochs": "3"}}, "hyperparameters.epochs is '3': it should be a valid integer."),
        ({"hyperparameters": {"epochs": True}}, "hyperparameters.epochs is True"),
        (
            {"hyperparameters": {"method": "QLoRA"}},
            "hyperparameters.method is 'QLoRA': write 'LoRA', 'Full' or 'HeadOnly'.",
        ),
        ({"hyperparameters": {"stateEvery": "10 minutes"}}, "hyperparameters.stateEvery is '10 minutes'"),
        ({"rebalance": {"shares": {"a": 0.5}}}, "rebalance: the shares add up to 0.5: they must add up to 1."),
        (
            {"rebalance": {"counts": {"a": 5}}, "taskType": "Multilabel"},
            "rebalance does not work with taskType Multilabel",
        ),
        ({"testFunctions": [{"name": "cost"}]}, "write exactly one of builtin, configMap and uri."),
        ({"testFunctions": [{"builtin": "LabelMatch"}] * 2}, "testFunctions has LabelMatch twice"),
        ({"hyperparameters": {"method": "HeadOnly", "epochs": 2}}, "leave epochs out, or write method: LoRA."),
        ({"hyperparameters": {"template": "no place"}}, "holds {prompt} exactly once."),
        ({"hyperparameters": {"template": "{prompt}{prompt}"}}, "holds {prompt} exactly once."),
        ({"hyperparameters": {"learningRate": 0}}, "hyperparameters.learningRate is 0"),
        ({"hyperparameters": {"lora": {"targetModules": []}}}, "hyperparameters.lora.targetModules"),
        ({"trainDataset": {}}, "trainDataset: write exactly one of uri and configMap."),
        (
            {"testDataset": {"split": 0.2, "uri": "pvc://a/b"}},
            "testDataset: write exactly one of split, uri and configMap.",
        ),
        ({"testDataset": {"split": 1}}, "testDataset.split is 1"),
        ({"output": {"uri": "x", "ifExists": "Overwrite"}}, "output.ifExists is 'Overwrite': write 'Reuse' or 'Fail'."),
        ({"version": "v2"}, "version is 'v2': write 'v1alpha1'."),
        ({"hyperparameters": {"learningRate": float("nan")}}, "JSON does not have"),
    ],
)
def test_mistakes(changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(content(**changes))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_fields_are_named_together() -> None:
    with pytest.raises(UserError) as caught:
        parse({"version": "v1alpha1"})
    assert str(caught.value) == "baseModel is missing; trainDataset is missing; output is missing."


@pytest.mark.parametrize("value", [None, [], "text"])
def test_no_mapping(value: object) -> None:
    with pytest.raises(UserError, match="must be a mapping"):
        parse(value)


def test_digest_is_of_what_the_user_set() -> None:
    plain = parse(content())
    elsewhere = parse(content(output={"uri": "file:///x", "ifExists": "Fail"}, mounts={"pvc://m/model": "/a"}))
    assert plain.digest() == elsewhere.digest()
    assert plain.digest().startswith("v1:")
    assert len(plain.digest()) == 3 + 64
    without_version = content()
    del without_version["version"]
    assert parse(without_version).digest() == plain.digest()
    assert parse(content(hyperparameters={"epochs": 3})).digest() != plain.digest()


def test_digest_does_not_depend_on_order_and_does_not_change() -> None:
    first = content(hyperparameters={"epochs": 1, "seed": 3})
    second = dict(reversed(content(hyperparameters={"seed": 3, "epochs": 1}).items()))
    assert parse(first).digest() == parse(second).digest()
    # A finished run must be known again by every later version.
    assert parse(content()).digest() == "v1:e6e0283a5813caa52ab15a87e366ed2fbb66a16f1ca8964db22b497458b6ef10"


def test_config_map_is_resolved_by_its_uri() -> None:
    found = parse(content(trainDataset={"configMap": {"name": "r8", "key": "train.jsonl"}}))
    assert found.train_dataset.address == "configmap://r8/train.jsonl"


def test_fields_without_effect() -> None:
    found = parse(content(hyperparameters={"method": "HeadOnly", "learningRate": 0.1, "seed": 1, "batchSize": 4}))
    assert found.hyperparameters.without_effect() == ["learningRate", "batchSize"]
    assert parse(content(hyperparameters={"learningRate": 0.1})).hyperparameters.without_effect() == []
