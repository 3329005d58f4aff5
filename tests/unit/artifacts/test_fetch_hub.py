"""Models and data sets of the hub: its real client, against a server on this machine that speaks the hub's HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch import Fetched, fetch_data, fetch_model
from classifier_artifacts.fetch.hub_data import choose
from support.hub_server import Hub, Repository, commit, running

MODEL = {"config.json": b"{}", "model.safetensors": b"s", "pytorch_model.bin": b"p", "README.md": b"r"}
PARQUET = {
    "default/train/0000.parquet": b"d0",
    "default/train/0001.parquet": b"d1",
    "default/test/0000.parquet": b"dt",
    "other/partial-train/0000.parquet": b"o",
}
FILES = {
    "README.md": b"r",
    "data/train-00000-of-00001.parquet": b"train",
    "data/test-00000-of-00001.parquet": b"test",
    "raw/one.jsonl": b"1",
    "raw/two.jsonl": b"2",
}
NEWER = {**FILES, "data/train-00000-of-00001.parquet": b"newer"}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    found = Hub(
        {
            "models/org/model": Repository({"main": MODEL, "v1": {**MODEL, "config.json": b"[]"}}),
            "models/org/gated": Repository(gated=True),
            "datasets/org/converted": Repository({"main": FILES, "refs/convert/parquet": PARQUET}),
            "datasets/org/plain": Repository({"main": FILES, "v2": NEWER}),
            "datasets/org/gated": Repository(gated=True),
            "datasets/org/none": Repository({"main": {"README.md": b"r"}}),
        }
    )
    with running(found) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield found


def data(uri: str, config: str | None = None, split: str = "train") -> Fetched:
    return fetch_data(uri, {}, what="trainDataset.uri", config=config, split=split)


def contents(found: Fetched) -> list[bytes]:
    return [path.read_bytes() for path in found.paths]


@pytest.mark.parametrize(("revision", "config"), [("", b"{}"), ("@v1", b"[]")])
def test_model(hub: Hub, revision: str, config: bytes) -> None:
    found = fetch_model(f"hf://org/model{revision}", {}, what="baseModel.uri")
    assert sorted(path.name for path in found.path.iterdir()) == ["config.json", "model.safetensors"]
    assert (found.path / "config.json").read_bytes() == config
    key = revision[1:] or "main"
    assert found.version == commit(key, hub.repositories["models/org/model"].revisions[key])


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("hf://org/absent", "does not exist on the hub, or is private: check the name, or give a token in a Secret"),
        ("hf://org/model@v9", "has no revision 'v9': check the name after the '@'"),
        ("hf://org/gated", "is gated: accept its terms"),
        ("hf://datasets/org/absent", "does not exist on the hub, or is private"),
        ("hf://datasets/org/plain@v9", "has no revision 'v9'"),
        ("hf://datasets/org/gated", "is gated: accept its terms"),
        ("hf://datasets/org/none", r"has no file of rows \(.parquet, .*\): it has README.md"),
        ("hf://datasets/org/plain/x/*.csv", r"has no file that matches 'x/\*.csv': it has README.md, data/test"),
    ],
)
def test_what_the_hub_says(hub: Hub, uri: str, words: str) -> None:
    with pytest.raises(UserError, match=words) as caught:
        data(uri) if "datasets" in uri else fetch_model(uri, {}, what="baseModel.uri")
    assert "\n" not in str(caught.value)


def test_hint_with_a_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with pytest.raises(UserError, match="check the name and the token"):
        data("hf://datasets/org/absent")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_hub_that_fails(hub: Hub, status: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    hub.failing = status
    with pytest.raises(TransientError, match="could not be downloaded from the hub"):
        data("hf://datasets/org/plain")
    with pytest.raises(TransientError, match="could not be downloaded from the hub"):
        fetch_model("hf://org/model", {}, what="baseModel.uri")


def test_hub_that_is_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    with running(Hub()) as (address, _):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(TransientError, match="could not be downloaded from the hub"):
        data("hf://datasets/org/plain")


def test_parquet_form_comes_first(hub: Hub) -> None:
    steps: list[tuple[int, int | None]] = []
    found = fetch_data(
        "hf://datasets/org/converted", {}, what="x", progress=lambda done, total: steps.append((done, total))
    )
    assert contents(found) == [b"d0", b"d1"]
    assert found.version == commit("refs/convert/parquet", PARQUET)
    assert steps == [(2, 4), (4, 4)]
    assert contents(data("hf://datasets/org/converted", split="test")) == [b"dt"]
    assert contents(data("hf://datasets/org/converted", config="other")) == [b"o"]


def test_parquet_files_of_the_repository(hub: Hub) -> None:
    found = data("hf://datasets/org/plain")
    assert contents(found) == [b"train"]
    assert found.version == commit("main", FILES)
    assert contents(data("hf://datasets/org/plain", split="test")) == [b"test"]
    found = data("hf://datasets/org/plain@v2")
    assert contents(found) == [b"newer"]
    assert found.version == commit("v2", NEWER)
    # The Parquet form is of the main revision only.
    assert contents(data("hf://datasets/org/converted@main")) == [b"train"]


def test_glob(hub: Hub) -> None:
    assert contents(data("hf://datasets/org/converted/raw/*.jsonl")) == [b"1", b"2"]
    assert contents(data("hf://datasets/org/plain@v2/data/train-*")) == [b"newer"]
    assert contents(data("hf://datasets/org/converted@refs/convert/parquet/other/**")) == [b"o"]
    assert contents(data("hf://datasets/org/plain/raw/one.jsonl")) == [b"1"]


@pytest.mark.parametrize(
    ("names", "config", "split", "expected"),
    [
        (["train.csv", "test.csv"], None, "train", ["train.csv"]),
        (["all.jsonl.gz", "README.md"], None, "train", ["all.jsonl.gz"]),
        (["en/train.jsonl", "de/train.jsonl"], "de", "train", ["de/train.jsonl"]),
        (["en/train.jsonl", "de/train.jsonl"], None, "train", ["de/train.jsonl"]),
        (["train/a.parquet", "test/b.parquet"], None, "test", ["test/b.parquet"]),
        (["train.jsonl", "x/train-0.parquet"], None, "train", ["x/train-0.parquet"]),
        (["train-00000.parquet", "train_extra-0.parquet"], None, "train", ["train-00000.parquet"]),
        (["train.jsonl", "dataset_infos.json"], None, "train", ["train.jsonl"]),
    ],
)
def test_files_of_a_split(names: list[str], config: str | None, split: str, expected: list[str]) -> None:
    assert choose(names, config, split, "u", "x") == expected


@pytest.mark.parametrize(
    ("names", "config", "split", "words"),
    [
        (["train.csv", "test.csv"], None, "dev", "has no split 'dev': it has test, train; write hub.split, or a glob"),
        (["all.csv"], None, "test", "has no split 'test': it has all"),
        (["en/train.csv", "de/train.csv"], "fr", "train", "has no configuration 'fr': it has de, en"),
        (["train.csv"], "fr", "train", "has no configuration 'fr': it has none"),
    ],
)
def test_no_such_split(names: list[str], config: str | None, split: str, words: str) -> None:
    with pytest.raises(UserError, match=words):
        choose(names, config, split, "u", "x")


def test_link_local_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://169.254.169.254")
    with pytest.raises(UserError, match="HF_ENDPOINT leads to a link-local address"):
        data("hf://datasets/org/plain")
