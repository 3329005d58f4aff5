"""Where a model may lie, what is told while it is fetched, and weights that are not read."""

from __future__ import annotations

import io
import shutil
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import obstore
import pytest
import torch
from transformers import AutoModelForSequenceClassification

from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch.objects import open_bucket
from classifier_server import model_files
from classifier_server.config import ServeConfig, parse
from classifier_server.loading import load_classifier
from classifier_server.metrics import Metrics
from classifier_server.model_files import ModelFiles, fetch_files, read_ahead
from classifier_server.state import ServerState
from support import hub_server, s3_server
from support.https_server import Answer, certificate, serving
from support.hub_server import Hub, Repository
from support.server_models import bert_folder
from support.server_process import running


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bert_folder(tmp_path_factory.mktemp("bert"))


@pytest.fixture
def pickled(bert: Path, tmp_path: Path) -> Path:
    """The same model, its weights as torch pickles them."""
    folder = tmp_path / "pickled"
    shutil.copytree(bert, folder)
    (folder / "model.safetensors").unlink()
    model: Any = AutoModelForSequenceClassification.from_pretrained(bert)
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    return folder


@pytest.fixture(autouse=True)
def _own_downloads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)


def config_of(uri: str, **server: Any) -> ServeConfig:
    return parse({"version": "v1alpha1", "name": "m", "model": {"uri": uri}, "server": server}, "test")


def contents(folder: Path) -> Mapping[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def served(config: ServeConfig) -> tuple[ServerState, list[str]]:
    """The state of a process that has loaded the model, and what it said on the way."""
    said: list[str] = []
    classifier = load_classifier(config, Metrics(), report=said.append, on_broken=lambda _: None)
    classifier.engine.close()
    state = ServerState(config)
    state.loaded(classifier)
    return state, said


def test_hub_without_a_revision_is_one_commit(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = contents(bert)
    with hub_server.running(Hub({"models/org/model": Repository({"main": files})})) as (address, seen):
        monkeypatch.setenv("HF_ENDPOINT", address)
        state, said = served(config_of("hf://org/model"))
    commit = hub_server.commit("main", files)
    assert said[1] == f"fetched hf://org/model at {commit}"
    code, body = state.readiness()
    assert (code, body["version"]) == (200, commit)
    # Nothing but the first question is about a name that may move.
    assert [request for request in seen if "/main" in request] in ([], seen[:1])
    assert any(f"/resolve/{commit}/" in request for request in seen)


def test_s3(bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server.running(tmp_path) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.bucket("data")
        for name, content in contents(bert).items():
            obstore.put(open_bucket("data"), f"models/one/{name}", content)
        state, _ = served(config_of("s3://data/models/one"))
    assert state.readiness()[1]["version"].startswith("etags-sha256:")


def test_https_archive_and_no_word_of_its_signature(
    bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
        packed.add(bert, "model")
    tls = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    with serving(lambda _: Answer(buffer.getvalue()), tls) as (address, _):
        config = config_of(f"{address}/model.tar.gz?signature=secret")
        state, said = served(config)
    version = state.readiness()[1]["version"]
    assert version.startswith("sha256:")
    assert said[:2] == [f"fetching {address}/model.tar.gz?…", f"fetched {address}/model.tar.gz?… at {version}"]
    assert "secret" not in " ".join([*said, *config.accepted_names, state.facts().uri])


def test_a_folder_has_no_version(bert: Path) -> None:
    assert "version" not in served(config_of(f"file://{bert}"))[0].readiness()[1]


def test_pickled_weights_are_read_only_where_that_is_said(pickled: Path) -> None:
    with pytest.raises(UserError) as refused:
        fetch_files(config_of(f"file://{pickled}"), lambda _: None)
    assert str(refused.value) == (
        f"model.uri: 'file://{pickled}' holds its weights in pickled files alone, which can run code when they are "
        "read: save it with safetensors or, if you trust it, set server.allowPickle: true."
    )
    state, _ = served(config_of(f"file://{pickled}", allowPickle=True))
    assert state.readiness()[0] == 200


def test_of_both_forms_safetensors_are_read(bert: Path, tmp_path: Path) -> None:
    both = tmp_path / "both"
    shutil.copytree(bert, both)
    (both / "pytorch_model.bin").write_bytes(b"no weights at all")
    assert served(config_of(f"file://{both}"))[0].readiness()[0] == 200
    assert served(config_of(f"file://{both}", allowPickle=True))[0].readiness()[0] == 200


def test_pickled_weights_are_not_read_beside_other_safetensors(pickled: Path, bert: Path) -> None:
    shutil.copy(bert / "model.safetensors", pickled / "other.safetensors")
    with pytest.raises(UserError, match=r"cannot be loaded as a classifier: .*safetensors"):
        served(config_of(f"file://{pickled}"))


def test_pickled_weights_of_the_hub(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = Repository({"main": {**contents(pickled), "training_args.bin": b"x"}})
    with hub_server.running(Hub({"models/org/old": repository})) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with pytest.raises(UserError, match=r"'hf://org/old' holds no \*\.safetensors, .* server\.allowPickle: true"):
            fetch_files(config_of("hf://org/old"), lambda _: None)
        found = fetch_files(config_of("hf://org/old", allowPickle=True), lambda _: None)
    assert (found.path / "pytorch_model.bin").read_bytes() == (pickled / "pytorch_model.bin").read_bytes()
    assert not (found.path / "training_args.bin").exists()


def test_pickled_weights_of_s3(pickled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server.running(tmp_path) as server:
        for name, value in server.environment().items():
            monkeypatch.setenv(name, value)
        server.bucket("data")
        for name, content in contents(pickled).items():
            obstore.put(open_bucket("data"), f"old/{name}", content)
        with pytest.raises(UserError, match=r"'s3://data/old' holds no \*\.safetensors"):
            fetch_files(config_of("s3://data/old"), lambda _: None)
        found = fetch_files(config_of("s3://data/old", allowPickle=True), lambda _: None)
        assert (found.path / "pytorch_model.bin").is_file()
        obstore.put(open_bucket("data"), "old/model.safetensors", b"s")
        found = fetch_files(config_of("s3://data/old", allowPickle=True), lambda _: None)
    assert (found.path / "model.safetensors").is_file()
    assert not (found.path / "pytorch_model.bin").exists()


def test_the_download_is_told_every_two_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(model_files.time, "monotonic", lambda: now)  # type: ignore[attr-defined]
    said: list[str] = []
    told = model_files._progress("https://host/m.tar?x=1", said.append)
    for seconds, done, total in [(1, 10, 4000), (2.5, 1024, 4096), (3, 2000, 4096), (5, 3 * 2**30, None), (9, 5, None)]:
        now = 100 + seconds
        told(done, total)
    assert said == [
        "downloading https://host/m.tar?…: 1.0 KiB of 4.0 KiB (25 %)",
        "downloading https://host/m.tar?…: 3.0 GiB",
        "downloading https://host/m.tar?…: 5 bytes",
    ]


def test_progress_of_the_hub_reaches_its_end(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_files, "_TELL_SECONDS", 0.0)
    files = contents(bert)
    with hub_server.running(Hub({"models/org/model": Repository({"main": files})})) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        said: list[str] = []
        fetch_files(config_of("hf://org/model"), said.append)
    steps = [line for line in said if line.startswith("downloading")]
    assert steps
    assert steps[-1].endswith("(100 %)")


def test_ready_tells_of_the_download(bert: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = contents(bert)
    with hub_server.running(Hub({"models/org/model": Repository({"main": files})})) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        with running(["--model", "hf://org/model", "--drain-seconds", "0"]) as server:
            server.wait_until_ready()
            assert httpx.get(f"{server.internal}/ready").json() == {
                "status": "Ready", "model": "model", "version": hub_server.commit("main", files),
            }  # fmt: skip
            assert f"fetched hf://org/model at {hub_server.commit('main', files)}" in server.output()


def test_read_ahead_needs_no_file(tmp_path: Path, bert: Path) -> None:
    read_ahead(ModelFiles(tmp_path / "nowhere"))
    read_ahead(ModelFiles(bert, tmp_path))


def test_code_in_a_model_folder_is_not_run(bert: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "evil"
    shutil.copytree(bert, folder)
    config = (folder / "config.json").read_text().replace('"model_type": "bert"', '"model_type": "evil"')
    (folder / "config.json").write_text(config.replace("{", '{"auto_map": {"AutoConfig": "evil.Config"},', 1))
    (folder / "evil.py").write_text("print('it runs')\nclass Config: pass\n")
    with pytest.raises(UserError, match="contains custom code"):
        served(config_of(f"file://{folder}"))
    assert "it runs" not in capfd.readouterr().out
