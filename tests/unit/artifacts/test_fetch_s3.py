"""Objects and prefixes, against a real S3 server on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch import fetch_data, fetch_model, objects
from classifier_artifacts.fetch.objects import open_bucket
from support import s3_server
from support.s3_server import S3Server

ROWS = b'{"prompt": "a", "completion": "x"}\n' * 1_000_000  # several parts of a download
MODEL = {
    "config.json": b"{}",
    "model.safetensors": b"s",
    "tokenizer.json": b"t",
    "sub/a.txt": b"a",
    "pytorch_model.bin": b"p",
    ".hidden/config.json": b"{}",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    with s3_server.running(tmp_path_factory.mktemp("s3")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment().items():
            patch.setenv(name, value)
        server.bucket("data")
        store = open_bucket("data")
        obstore.put(store, "sets/train.jsonl", ROWS)
        for name, content in MODEL.items():
            obstore.put(store, f"models/one/{name}", content)
        obstore.put(store, "models/one-more/config.json", b"{}")
        yield server


@pytest.fixture
def server(running: S3Server, monkeypatch: pytest.MonkeyPatch) -> S3Server:
    for name, value in running.environment().items():
        monkeypatch.setenv(name, value)
    return running


def test_object(server: S3Server, tmp_path: Path) -> None:
    steps: list[tuple[int, int | None]] = []
    found = fetch_data(
        "s3://data/sets/train.jsonl",
        {},
        what="trainDataset.uri",
        folder=tmp_path,
        progress=lambda done, total: steps.append((done, total)),
    )
    assert found.path.name == "train.jsonl"
    assert found.path.read_bytes() == ROWS
    assert found.version is not None
    assert found.version.startswith("etag:")
    assert steps[-1] == (len(ROWS), len(ROWS))
    assert len(steps) > 2


def test_changed_object_is_another(server: S3Server, tmp_path: Path) -> None:
    store = open_bucket("data")
    found = []
    for content in (b"one", b"one", b"two"):
        obstore.put(store, "changing", content)
        found.append(fetch_data("s3://data/changing", {}, what="x", folder=tmp_path))
    assert [each.path.read_bytes() for each in found][1:] == [b"one", b"two"]
    assert found[1].version != found[2].version


def test_model_is_the_files_under_a_prefix(server: S3Server, tmp_path: Path) -> None:
    first = fetch_model("s3://data/models/one", {}, what="baseModel.uri", folder=tmp_path)
    files = {str(path.relative_to(first.path)): path.read_bytes() for path in first.path.rglob("*") if path.is_file()}
    assert files == {name: MODEL[name] for name in ("config.json", "model.safetensors", "tokenizer.json", "sub/a.txt")}
    again = fetch_model("s3://data/models/one/", {}, what="baseModel.uri", folder=tmp_path)
    assert again.version == first.version
    obstore.put(open_bucket("data"), "models/one/config.json", b"{ }")
    changed = fetch_model("s3://data/models/one", {}, what="baseModel.uri", folder=tmp_path)
    assert changed.version != first.version
    assert (changed.path / "config.json").read_bytes() == b"{ }"
    obstore.put(open_bucket("data"), "models/one/config.json", b"{}")


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://data/sets/absent.jsonl", "'s3://data/sets/absent.jsonl' does not exist: check the bucket and the key"),
        ("s3://no-bucket/sets/train.jsonl", "does not exist"),
        ("s3://data/sets/", "does not exist"),
    ],
)
def test_no_object(server: S3Server, tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        fetch_data(uri, {}, what="trainDataset.uri", folder=tmp_path)


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("s3://data/models/none", "holds no file of a model"),
        ("s3://data/sets", "holds no file of a model"),
        ("s3://no-bucket/models", "does not exist: there is no such bucket"),
    ],
)
def test_no_model(server: S3Server, tmp_path: Path, uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        fetch_model(uri, {}, what="baseModel.uri", folder=tmp_path)


def test_credentials(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(UserError, match="may not be read: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"):
        fetch_data("s3://data/sets/train.jsonl", {}, what="x", folder=tmp_path)
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(UserError, match="may not be read: give a Secret with AWS_ACCESS_KEY_ID"):
        fetch_data("s3://data/sets/train.jsonl", {}, what="x", folder=tmp_path)


def test_link_local_endpoint(server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://169.254.169.254")
    with pytest.raises(UserError, match="AWS_ENDPOINT_URL leads to a link-local address"):
        fetch_data("s3://data/sets/train.jsonl", {}, what="x", folder=tmp_path)


def test_nobody_there(tmp_path: Path, server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setattr(objects, "RETRIES", 1)
    with pytest.raises(TransientError, match="could not be downloaded"):
        fetch_data("s3://data/sets/train.jsonl", {}, what="x", folder=tmp_path)
