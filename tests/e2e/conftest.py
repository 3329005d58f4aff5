"""The installed operator on the whole node; `make e2e` installs it first."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from localcluster import providers
from localcluster.providers import Provider
from support import fast_server, install, kube
from support.claim import fill_claim, folder_files
from support.server_models import llama_folder


@pytest.fixture(scope="session")
def references() -> dict[str, str]:
    """Image references of the installed operator; the tests make no sense against another tree's."""
    wanted = install.image_references()
    try:
        deployment = kube.get("deployment", "classifier-operator", install.NAMESPACE)
    except kube.CommandError as error:
        pytest.fail(f"the operator is not installed (run make install): {error}")
    running = deployment["spec"]["template"]["spec"]["containers"][0]["image"]
    assert running == wanted["operator"], f"the cluster runs {running}; run make install"
    return wanted


@pytest.fixture(scope="session")
def fast_image(references: dict[str, str]) -> str:
    """The server with a made-up model, on the server's image of this tree."""
    if providers.current() is Provider.TOLD:
        pytest.skip("the image of a made-up model is not taken into a cluster of your own")
    return fast_server.ensure_image()


@pytest.fixture(scope="module")
def namespace() -> Iterator[str]:
    """A namespace of its own that enforces the restricted Pod Security Standard."""
    name = f"e2e-{uuid.uuid4().hex[:8]}"
    kube.ensure_namespace(name)
    yield name
    kube.kubectl("delete", "namespace", name, "--wait=false")


@pytest.fixture(scope="module")
def models(namespace: str, references: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A claim called `models` with random tiny Llamas: `tiny` is whole, `mute` has no tokenizer."""
    folder: Path = tmp_path_factory.mktemp("models")
    for name in ("tiny", "mute"):
        llama_folder(folder / name, suffix=None)
    for path in (folder / "mute").glob("*token*"):
        path.unlink()
    fill_claim("models", folder_files(folder, "."), image=references["trainer"], namespace=namespace, size="1Gi")
    return "models"
