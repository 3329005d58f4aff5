from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from classifier_artifacts.errors import UserError
from classifier_server.config import for_model, load, parse

WHOLE: dict[str, Any] = {
    "version": "v1alpha1",
    "name": "r8",
    "checkpoint": "epoch-3",
    "model": {"uri": "pvc://r8-output/model"},
    "baseModel": {"uri": "pvc://smollm2/model"},
    "server": {"maxLength": 1024, "maxBatchTokens": "Auto", "maxQueue": 512, "precision": "Auto"},
    "mounts": {"pvc://r8-output/model": "/inputs/model/model", "pvc://smollm2/model": "/inputs/base-model/model"},
}


def test_whole_configuration() -> None:
    config = parse(WHOLE, "test")
    assert config.model_id == "r8/epoch-3"
    assert config.accepted_names == ("r8", "epoch-3", "r8/epoch-3", "pvc://r8-output/model")
    assert config.server.max_length == 1024
    assert config.server.max_batch_tokens == "Auto"


def test_only_what_is_needed() -> None:
    config = parse({"version": "v1alpha1", "name": "r8", "model": {"uri": "hf://org/model"}}, "test")
    assert config.model_id == "r8"
    assert config.accepted_names == ("r8", "hf://org/model")
    assert (config.server.max_length, config.server.max_queue) == (None, 512)
    assert (config.server.classify_dialect, config.server.unflagged_labels) == ("VLLM", [])
    assert config.api_keys_dir is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"version": "v2"}, "test: version: input should be 'v1alpha1'."),
        ({"extra": 1}, "test: extra is no field of the serve configuration v1alpha1; remove it."),
        (
            {"server": {"maxQueu": 1}},
            "test: server.maxQueu is no field of the serve configuration v1alpha1; remove it.",
        ),
        ({"server": {"maxQueue": 0}}, "test: server.maxQueue: input should be greater than or equal to 1."),
        ({"server": {"maxBatchTokens": "Many"}}, "test: server.maxBatchTokens: write a positive whole number or Auto."),
        ({"server": {"maxBatchTokens": 0}}, "test: server.maxBatchTokens: write a positive whole number or Auto."),
        ({"server": {"maxLength": "many"}}, "test: server.maxLength: input should be a valid integer."),
        ({"server": {"classifyDialect": "TEI"}}, "test: server.classifyDialect: input should be 'VLLM' or 'Infinity'."),
        (
            {"server": {"unflaggedLabels": [""]}},
            "test: server.unflaggedLabels.0: string should have at least 1 character.",
        ),
        ({"apiKeysDir": ""}, "test: apiKeysDir: string should have at least 1 character."),
        ({"model": {}}, "test: model.uri is missing."),
    ],
)
def test_mistakes_are_one_sentence(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError) as refused:
        parse(WHOLE | change, "test")
    assert str(refused.value) == sentence


def test_name_fits_a_header() -> None:
    for name in ("", "a b", "ä", "a\r\nb", "-a", "a" * 254):
        with pytest.raises(UserError, match="name"):
            parse(WHOLE | {"name": name}, "test")


def test_file_before_environment(tmp_path: Path) -> None:
    file = tmp_path / "serve.yaml"
    file.write_text("version: v1alpha1\nname: from-file\nmodel: {uri: 'file:///m'}\n")
    environment = {"CLASSIFIER_SERVE_CONFIG": json.dumps(WHOLE)}
    assert load(str(file), environment).name == "from-file"
    assert load(None, environment).name == "r8"


def test_unreadable_configurations(tmp_path: Path) -> None:
    broken = tmp_path / "serve.yaml"
    broken.write_text("a: 1\nb: [\n")
    with pytest.raises(UserError, match=r"serve\.yaml is neither JSON nor YAML in line \d"):
        load(str(broken), {})
    with pytest.raises(UserError, match="cannot be read: No such file or directory"):
        load(str(tmp_path / "none.yaml"), {})
    with pytest.raises(UserError, match="must be a mapping"):
        load(None, {"CLASSIFIER_SERVE_CONFIG": "[]"})
    with pytest.raises(UserError, match="Nothing to serve"):
        load(None, {})


def test_model_flag(tmp_path: Path) -> None:
    folder = tmp_path / "my model (1)"
    config = for_model(str(folder), str(tmp_path / "base"))
    assert config.name == "my-model-1"
    assert config.model.uri == f"file://{folder}"
    assert config.base_model is not None
    assert for_model("hf://org/some-model@main").name == "some-model"
