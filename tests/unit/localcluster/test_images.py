"""What an image's tag depends on, how references are written, and what an archive leaves out."""

from __future__ import annotations

import hashlib
import io
import json
import re
import tarfile
from pathlib import Path

import pytest

from localcluster.bare.runtime import image_archive
from localcluster.images import contexts
from localcluster.images.archive import pack
from localcluster.images.buildah import pip_configuration
from localcluster.images.contexts import Recipe, content_digest, plan, qualified


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A tree with the four build contexts."""
    for image in contexts.IMAGES.values():
        source = tmp_path / image.folder / "src"
        source.mkdir(parents=True)
        (tmp_path / image.folder / "Dockerfile").write_text("FROM scratch\n")
        (source / "main.py").write_text("print(1)\n")
    return tmp_path


def tags(root: Path, recipe: Recipe | None = None) -> dict[str, str]:
    return {name: planned.reference for name, planned in plan(recipe or Recipe(), root).items()}


def changed(before: dict[str, str], after: dict[str, str]) -> set[str]:
    return {name for name in before if before[name] != after[name]}


def test_references_look_as_kubernetes_writes_them(root: Path) -> None:
    for name, reference in tags(root).items():
        assert re.fullmatch(rf"classifier-operator/{name}:\d+\.\d+\.\d+-[0-9a-f]{{12}}", reference)


@pytest.mark.parametrize(
    ("folder", "rebuilt"),
    [
        ("base-image", {"base", "trainer", "server"}),
        ("operator", {"operator"}),
        ("trainer-image", {"trainer"}),
        ("server-image", {"server"}),
    ],
)
def test_a_change_rebuilds_what_stands_on_it(root: Path, folder: str, rebuilt: set[str]) -> None:
    before = tags(root)
    (root / folder / "src" / "main.py").write_text("print(2)\n")
    assert changed(before, tags(root)) == rebuilt


def test_names_and_executable_bits_count_and_left_overs_do_not(root: Path) -> None:
    folder = root / "operator"
    before = content_digest(folder, {})
    (folder / "src" / "__pycache__").mkdir()
    (folder / "src" / "__pycache__" / "main.cpython-311.pyc").write_bytes(b"x")
    assert content_digest(folder, {}) == before
    (folder / "src" / "main.py").chmod(0o755)
    executable = content_digest(folder, {})
    (folder / "src" / "main.py").rename(folder / "src" / "other.py")
    assert len({before, executable, content_digest(folder, {})}) == 3


def test_cuda_and_a_wheel_of_torch_make_other_images(root: Path) -> None:
    wheels = root / "wheels"
    wheels.mkdir()
    (wheels / "torch-2.13.0+cpu-cp311.whl").touch()
    plain = tags(root)
    assert changed(plain, tags(root, Recipe("cuda"))) == {"base", "trainer", "server"}
    assert changed(plain, tags(root, Recipe("cpu", wheels))) == {"base", "trainer", "server"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.11", "docker.io/library/python:3.11"),
        ("classifier-operator/base:1", "docker.io/classifier-operator/base:1"),
        ("ghcr.io/a/b", "ghcr.io/a/b:latest"),
        ("localhost:5000/a:2", "localhost:5000/a:2"),
        ("localhost/a", "localhost/a:latest"),
        ("docker.io/a/b@sha256:00", "docker.io/a/b@sha256:00"),
    ],
)
def test_qualified(written: str, meant: str) -> None:
    assert qualified(written) == meant


def test_an_archive_leaves_out_what_the_receiver_has(tmp_path: Path) -> None:
    layers = {hashlib.sha256(content).hexdigest(): content for content in (b"base layer", b"code layer")}
    config = b"{}"
    blobs = {hashlib.sha256(config).hexdigest(): config, **layers}
    for name, content in blobs.items():
        (tmp_path / name).write_bytes(content)
    parts = [{"digest": f"sha256:{name}"} for name in blobs]
    media_type = "application/vnd.docker.distribution.manifest.v2+json"
    manifest = json.dumps({"mediaType": media_type, "config": parts[0], "layers": parts[1:]}).encode()
    (tmp_path / "manifest.json").write_bytes(manifest)
    base, code = layers

    output = io.BytesIO()
    pack(tmp_path, "docker.io/a/b:1", {base}, output)

    output.seek(0)
    with tarfile.open(fileobj=output) as archive:
        names = archive.getnames()
        index = json.load(archive.extractfile("index.json") or io.BytesIO())
    assert f"blobs/sha256/{code}" in names
    assert f"blobs/sha256/{base}" not in names
    entry = index["manifests"][0]
    assert entry["digest"] == f"sha256:{hashlib.sha256(manifest).hexdigest()}"
    assert entry["size"] == len(manifest)
    assert entry["annotations"] == {"io.containerd.image.name": "docker.io/a/b:1"}


def test_the_pause_image_is_the_same_each_time() -> None:
    first = image_archive("docker.io/localcluster/pause:1", "/pause", b"program")
    assert first == image_archive("docker.io/localcluster/pause:1", "/pause", b"program")
    with tarfile.open(fileobj=io.BytesIO(first)) as archive:
        manifest = json.load(archive.extractfile("manifest.json") or io.BytesIO())[0]
        config = json.load(archive.extractfile(manifest["Config"]) or io.BytesIO())
        layer = (archive.extractfile("layer.tar") or io.BytesIO()).read()
    assert manifest["RepoTags"] == ["docker.io/localcluster/pause:1"]
    assert config["rootfs"]["diff_ids"] == [f"sha256:{hashlib.sha256(layer).hexdigest()}"]


def test_pip_asks_where_the_host_asks() -> None:
    assert pip_configuration({}, wheels=False) == "[global]\n"
    assert pip_configuration({"PIP_INDEX_URL": "https://index/simple"}, wheels=True) == (
        "[global]\nindex-url = https://index/simple\nfind-links = /wheels\n"
    )
