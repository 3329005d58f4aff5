"""From URIs to paths on this machine, and sentences for those that lead nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from classifier_artifacts.errors import UserError
from classifier_artifacts.fetch import fetch_data, resolve, shown


def test_file(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert resolve(f"file://{tmp_path}/a%20b", {}, what="baseModel.uri") == tmp_path / "a b"


@pytest.mark.parametrize("scheme", ["pvc", "configmap"])
def test_mounted(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "train.jsonl").write_text("x")
    uri = f"{scheme}://r8/train.jsonl"
    found = fetch_data(uri, {uri: str(tmp_path / "train.jsonl")}, what="x")
    assert (found.uri, found.path, found.version) == (uri, tmp_path / "train.jsonl", None)


def test_config_map_files_are_links_inside(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "..data" / "k").write_text("x")
    (tmp_path / "k").symlink_to("..data/k")
    assert resolve("configmap://m/k", {"configmap://m/k": str(tmp_path / "k")}, what="x").read_text() == "x"


@pytest.mark.parametrize(
    ("uri", "mounts", "words"),
    [
        ("file:///no/such/file", {}, ["trainDataset.uri", "file:///no/such/file", "does not exist"]),
        ("file://host/path", {}, ["absolute", "three slashes"]),
        ("file://[/path", {}, ["absolute", "three slashes"]),
        ("/plain/path", {}, ["not a URI", "file:///path", "s3://bucket/prefix", "https://host/archive.tar.gz"]),
        ("http://host/file", {}, ["not a URI", "https://host/archive.tar.gz"]),
        ("s3://bucket", {}, ["does not name an object", "s3://bucket/key"]),
        ("s3://bucket/../x", {}, ["does not name an object"]),
        ("https:///x", {}, ["does not name a file", "https://host/path"]),
        ("https://host:port/x", {}, ["does not name a file"]),
        ("https://host/", {}, ["does not end in the name of a file"]),
        ("pvc://claim/a", {}, ["mounted only in a pod"]),
        ("pvc://claim/a", {"pvc://claim/a": "/no/such/mount/a"}, ["pvc://claim/a", "does not exist"]),
        ("pvc://claim/../etc", {"pvc://claim/../etc": "/etc"}, ["'..'"]),
        ("hf://no-slash", {}, ["hf://org/name"]),
        ("hf://../../etc@x y", {}, ["hf://org/name"]),
    ],
)
def test_refused_in_a_sentence(uri: str, mounts: dict[str, str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        resolve(uri, mounts, what="trainDataset.uri")
    for word in words:
        assert word in str(caught.value)
    assert "/no/such/mount" not in str(caught.value)


@pytest.mark.parametrize("uri", ["hf://datasets/squad", "hf://org/name", "hf://datasets/a b/c"])
def test_no_data_set(uri: str) -> None:
    with pytest.raises(UserError, match=r"hf://datasets/org/name\[@revision\]\[/glob\]"):
        fetch_data(uri, {}, what="trainDataset.uri")


def test_link_out_of_the_claim_is_refused(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.mkdir()
    (tmp_path / "secret").write_text("x")
    (claim / "model").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="leads out of its claim"):
        resolve("pvc://c/model", {"pvc://c/model": str(claim / "model")}, what="x")


def test_passwords_and_signatures_are_not_shown() -> None:
    assert shown("https://user:password@host:80/a/b?signature=1") == "https://host:80/a/b?…"
    assert shown("s3://bucket/what?is#this") == "s3://bucket/what?is#this"
