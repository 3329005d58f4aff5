"""From a folder to a classifier that answers, and every folder that does not make one."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from classifier_artifacts.errors import UserError
from classifier_server.classifier import Classifier
from classifier_server.config import ServeConfig, parse
from classifier_server.loading import load_classifier
from classifier_server.metrics import Metrics
from support.server_models import MAX_LENGTH, bert_folder, llama_folder, write_classifier_json
from support.server_process import running


def config_for(folder: Path, **server: Any) -> ServeConfig:
    document = {"version": "v1alpha1", "name": "m", "model": {"uri": f"file://{folder}"}, "server": server}
    return parse(document, "test")


def load(config: ServeConfig) -> Classifier:
    classifier = load_classifier(config, Metrics(), report=lambda _: None, on_broken=lambda _: None)
    classifier.engine.close()
    return classifier


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("bert"))


def test_foreign_folders(bert: Path, tmp_path: Path) -> None:
    labels = load(config_for(bert)).labels
    assert (labels.task, labels.names) == ("Multiclass", ("label-0", "label-1", "label-2", "label-3"))
    one = load(config_for(bert_folder(tmp_path / "one", labels=1))).labels
    assert (one.task, one.names, one.logit_names) == ("Binary", ("label-0",), ("label-0",))
    many = load(config_for(bert_folder(tmp_path / "many", problem_type="multi_label_classification"))).labels
    assert many.task == "Multilabel"


def test_checkpoint_of_ours(tmp_path: Path) -> None:
    folder = llama_folder(tmp_path, labels=2, id2label={0: "not spam", 1: "spam"}, label2id={"not spam": 0, "spam": 1})
    write_classifier_json(folder, task="Binary", labels=["spam"], thresholds={"spam": 0.3}, maxLength=40)
    classifier = load(config_for(folder))
    assert classifier.labels.names == ("spam",)
    assert classifier.labels.logit_names == ("not spam", "spam")
    assert classifier.labels.thresholds == {"spam": 0.3}
    assert classifier.encoder.max_length == 40


@pytest.mark.parametrize(
    ("wanted", "expected"), [(None, MAX_LENGTH), (16, 16), (10_000, MAX_LENGTH)], ids=["default", "shorter", "too long"]
)
def test_length_is_bounded_by_the_model(bert: Path, wanted: int | None, expected: int) -> None:
    server = {} if wanted is None else {"maxLength": wanted}
    assert load(config_for(bert, **server)).encoder.max_length == expected


def test_settings_reach_the_engine(bert: Path) -> None:
    assert load(config_for(bert, maxQueue=7)).engine.max_queue == 7


def test_folders_that_are_no_classifier(tmp_path: Path, bert: Path) -> None:
    headless = tmp_path / "headless"
    headless.mkdir()
    for file in bert.iterdir():
        (headless / file.name).write_bytes(file.read_bytes())
    (headless / "tokenizer.json").unlink()
    with pytest.raises(UserError, match="has no tokenizer"):
        load(config_for(headless))
    with pytest.raises(UserError, match=r"model\.uri: 'file:///nowhere' does not exist"):
        load(config_for(Path("/nowhere")))
    with pytest.raises(UserError, match=r"config\.json"):
        load(config_for(tmp_path))


def test_failure_ends_the_process_with_42_and_one_sentence(tmp_path: Path) -> None:
    config = {
        "version": "v1alpha1",
        "name": "r8",
        "model": {"uri": "pvc://out/model"},
        "mounts": {"pvc://out/model": str(tmp_path / "model")},
    }
    (tmp_path / "model").mkdir()
    (tmp_path / "serve.json").write_text(json.dumps(config))
    with running(["--config", str(tmp_path / "serve.json")]) as server:
        assert server.wait(60) == 42
        sentence = server.termination_log.read_text()
        assert sentence == "'pvc://out/model' holds no config.json: name a Hugging Face model folder."
        assert server.output().strip().endswith(sentence)
        assert "Traceback" not in server.output()


def test_wrong_configuration_ends_the_process_with_42() -> None:
    with running(["--config", "/nowhere.json"]) as server:
        assert server.wait() == 42
        assert server.output() == "--config /nowhere.json cannot be read: No such file or directory.\n"
        assert server.termination_log.read_text() == server.output().strip()


def test_help_is_light() -> None:
    script = (
        "import sys\nfrom classifier_server.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'torch', 'transformers', 'numpy', 'uvicorn', 'starlette', 'yaml'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--drain-seconds" in done.stdout


def test_ports_are_open_before_torch_is_imported() -> None:
    script = "import sys, classifier_server.server\nassert not {'torch', 'transformers'} & set(sys.modules)\n"
    done = subprocess.run(
        [sys.executable, "-c", script], env=_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_is_served_without_peft_and_accelerate(bert: Path) -> None:
    script = """
import os, sys
from importlib.machinery import PathFinder
class Hiding(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        return None if name in ("peft", "accelerate") else super().find_spec(name, path, target)
sys.meta_path[:] = [Hiding if finder is PathFinder else finder for finder in sys.meta_path]
from classifier_server.__main__ import main
code = main()
assert not {"peft", "accelerate"} & set(sys.modules)
os._exit(code)
"""
    with running(["--model", str(bert), "--drain-seconds", "0"], python=("-c", script)) as server:
        server.wait_until_ready()
        body = httpx.post(f"{server.api}/v1/classification", json={"input": ["oil", "grain"]}).json()
        assert [sum(row["probs"].values()) for row in body["data"]] == pytest.approx([1, 1], abs=1e-4)
        server.terminate()
        assert server.wait() == 0
        assert "Traceback" not in server.output()


def _environment() -> dict[str, str]:
    return {"PYTHONPATH": ":".join(entry for entry in sys.path if entry), "PATH": "/usr/bin:/bin"}
