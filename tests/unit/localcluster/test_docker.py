"""The ways that need a Docker engine, with programs that only write down how they are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcluster import kind, providers
from localcluster.bare import cluster
from localcluster.errors import ClusterError
from localcluster.images.commands import build, load
from localcluster.images.contexts import Recipe, plan
from localcluster.providers import Provider

FAKE = """\
#!/bin/bash
echo "$(basename "$0") $*" >> "{log}"
cd "{folder}"
case "$(basename "$0") $*" in
  "kind get clusters") cat clusters 2>/dev/null ;;
  "kind create cluster"*) echo classifier-operator > clusters ;;
  "kind delete cluster"*) rm -f clusters ;;
  "kind get kubeconfig"*) echo "apiVersion: v1" ;;
  "kubectl "*"get nodes"*) echo node/classifier-operator-control-plane ;;
  "docker image inspect"*) grep -qxF "${{@: -1}}" built || exit 1; echo sha256:1 ;;
  "docker build"*) while [ "$1" != --tag ]; do shift; done; echo "$2" >> built ;;
  "docker images"*) for tag in 4 3 2 1; do echo "${{@: -1}}:$tag"; done ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file that the fake docker, kind and kubectl write their calls to."""
    folder = tmp_path / "programs"
    folder.mkdir()
    log = tmp_path / "calls"
    log.touch()
    (tmp_path / "built").touch()
    for name in ("docker", "kind", "kubectl"):
        (folder / name).write_text(FAKE.format(log=log, folder=tmp_path))
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(cluster, "exists", lambda _: False)  # this machine may run a node
    return log


def test_up_down_with_kind(calls: Path) -> None:
    assert providers.choose() is Provider.KIND
    providers.up(Provider.KIND, None, install=False)
    assert providers.current() is Provider.KIND
    assert providers.kubeconfig_path() == kind.kubeconfig()
    providers.up(providers.choose(), None, install=False)
    kind.down()
    assert providers.current() is None
    with pytest.raises(ClusterError, match="No local cluster is up"):
        providers.kubeconfig_path()
    text = calls.read_text()
    assert text.count("kind create cluster") == 1, "the second `up` found it"
    assert text.count("patch node/classifier-operator-control-plane --subresource=status --type=merge") == 2
    assert '"nvidia.com/gpu": "8"' in text


def test_without_kind_it_says_what_to_install(calls: Path) -> None:
    (calls.parent / "programs" / "kind").unlink()
    with pytest.raises(ClusterError, match=r"kind is not installed.*--provider bare"):
        providers.up(Provider.KIND, None, install=False)


def test_images_are_built_in_order_loaded_and_old_ones_removed(calls: Path) -> None:
    providers.up(Provider.KIND, None, install=False)
    references = build(["server"], Recipe())
    assert references == [plan(Recipe())["server"].reference]
    assert build(["server"], Recipe()) == references
    load(["server"], Recipe())
    lines = calls.read_text().splitlines()
    builds = [line for line in lines if line.startswith("docker build")]
    assert ["/base:" in builds[0], "/server:" in builds[1], len(builds)] == [True, True, 2]
    assert "--build-arg TORCH=cpu" in builds[0]
    assert "--build-arg BASE_IMAGE=docker.io/classifier-operator/base:" in builds[1]
    removed = [line for line in lines if line.startswith("docker image rm")]
    assert removed[0].split()[3:] == ["docker.io/classifier-operator/base:2", "docker.io/classifier-operator/base:1"]
    assert f"kind load docker-image --name classifier-operator docker.io/{references[0]}" in lines


def test_an_image_that_is_not_built_is_not_loaded(calls: Path) -> None:
    assert calls.exists()
    providers.up(Provider.KIND, None, install=False)
    with pytest.raises(ClusterError, match="There is no image operator: build it first"):
        load(["operator"], Recipe())


def test_a_named_cluster_is_used_again_without_a_flag(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = calls.parent / "mine.yaml"
    mine.write_text("apiVersion: v1")
    providers.up(Provider.TOLD, mine, install=False)
    assert providers.choose() is Provider.TOLD
    monkeypatch.delenv("KUBECONFIG", raising=False)
    with pytest.raises(ClusterError, match="KUBECONFIG"):
        providers.up(Provider.TOLD, None, install=False)
    (calls.parent / "built").write_text("docker.io/a/b:1\n")
    with pytest.raises(ClusterError, match="push them to a registry"):
        load(["a/b:1"], Recipe())
    providers.up(Provider.KIND, None, install=False)
    assert providers.current() is Provider.KIND, "asked for, so the named one is forgotten"
    assert mine.exists()
