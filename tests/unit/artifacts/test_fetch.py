"""From URIs to paths, and sentences for those that lead nowhere."""

from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import huggingface_hub
import pytest
from huggingface_hub.errors import (
    GatedRepoError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from classifier_artifacts.errors import TransientError, UserError
from classifier_artifacts.fetch import resolve


def test_file(tmp_path: Path) -> None:
    (tmp_path / "a b").mkdir()
    assert resolve(f"file://{tmp_path}/a%20b", {}, what="baseModel.uri") == tmp_path / "a b"


@pytest.mark.parametrize("scheme", ["pvc", "configmap"])
def test_mounted(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "train.jsonl").write_text("x")
    uri = f"{scheme}://r8/train.jsonl"
    assert resolve(uri, {uri: str(tmp_path / "train.jsonl")}, what="x") == tmp_path / "train.jsonl"


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
        ("/plain/path", {}, ["not a URI", "file:///path"]),
        ("s3://bucket/key", {}, ["not a URI", "pvc://claim/path"]),
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


def test_link_out_of_the_claim_is_refused(tmp_path: Path) -> None:
    claim = tmp_path / "claim"
    claim.mkdir()
    (tmp_path / "secret").write_text("x")
    (claim / "model").symlink_to(tmp_path / "secret")
    with pytest.raises(UserError, match="leads out of its claim"):
        resolve("pvc://c/model", {"pvc://c/model": str(claim / "model")}, what="x")


def test_hub_asks_for_the_revision(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: dict[str, object] = {}

    def download(repo: str, **options: object) -> str:
        asked.update(options, repo=repo)
        return str(tmp_path)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    monkeypatch.setenv("HF_TOKEN", "secret")
    assert resolve("hf://Qwen/Qwen3-4B-Base@refs/pr/1", {}, what="x") == tmp_path
    assert (asked["repo"], asked["revision"], asked["token"]) == ("Qwen/Qwen3-4B-Base", "refs/pr/1", "secret")


@pytest.mark.parametrize(
    ("error", "raised", "words"),
    [
        (RepositoryNotFoundError, UserError, "does not exist on the hub"),
        (RevisionNotFoundError, UserError, "no revision 'main2'"),
        (GatedRepoError, UserError, "gated"),
        (LocalEntryNotFoundError, TransientError, "could not be downloaded"),
        (OSError, TransientError, "could not be downloaded"),
    ],
)
def test_hub_faults(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception], raised: type[Exception], words: str
) -> None:
    def download(*_: object, **__: object) -> NoReturn:
        fault = error.__new__(error)
        fault.args = ("first line\nsecond",)
        raise fault

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    with pytest.raises(raised, match=words) as caught:
        resolve("hf://org/name@main2", {}, what="baseModel.uri")
    assert "hf://org/name@main2" in str(caught.value)
    assert "\n" not in str(caught.value)
