"""The command as a user meets it: help, one sentence for each mistake, no cluster of the user's taken by itself."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import localcluster
from localcluster import providers, told
from localcluster.bare import binaries, needs
from localcluster.bare.cluster_objects import obstacles
from localcluster.providers import Provider

TOOL = Path(localcluster.__file__).parent
SYSTEM_PYTHON = [sys.executable, "-I", "-S"]
"""Isolated and without site-packages: what a machine has before anything is installed."""


def command(*arguments: str, cache: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SYSTEM_PYTHON, str(TOOL), *arguments],
        env={**os.environ, "CLASSIFIER_CACHE": str(cache), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [["--help"], ["up", "--help"], ["images", "--help"]])
def test_help_needs_nothing_but_python(tmp_path: Path, arguments: list[str]) -> None:
    done = command(*arguments, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "usage: python3 tests/localcluster" in done.stdout


def test_references_are_printed_as_json(tmp_path: Path) -> None:
    done = command("images", "--print", cache=tmp_path)
    assert set(json.loads(done.stdout)) == {"base", "operator", "trainer", "server"}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["up", "--kubeconfig", "/nowhere"], "There is no kubeconfig at /nowhere"),
        (["up", "--use-current"], "set it, or use --kubeconfig FILE"),
        (["images", "tariner"], "There is no image tariner; the images are base, operator, trainer, server"),
        (["images", "--wheels", "/nowhere"], "There is no folder of wheels at /nowhere"),
    ],
)
def test_a_mistake_is_answered_with_one_sentence(tmp_path: Path, arguments: list[str], sentence: str) -> None:
    done = command(*arguments, cache=tmp_path, KUBECONFIG="")
    assert done.returncode == 1
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_everything_that_is_missing_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path))
    monkeypatch.setattr(needs, "CNI_FOLDERS", (tmp_path,))
    monkeypatch.setattr("shutil.which", lambda *_, **__: None)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(localcluster.ClusterError) as raised:
        needs.check_node(install=True)
    message = str(raised.value)
    for word in ("run as root", "containerd", "containernetworking-plugins", "runc", "buildah", "Go 1.25"):
        assert word in message


def test_no_network_is_said_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GOPROXY", "off")
    monkeypatch.setenv("GOMODCACHE", str(tmp_path))
    monkeypatch.setenv("GOFLAGS", "-modcacherw")
    with pytest.raises(localcluster.ClusterError, match="Go module proxy cannot be reached"):
        binaries.check_reach()


def test_kubeconfig_in_the_environment_alone_takes_no_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path))
    monkeypatch.setenv("KUBECONFIG", "/home/me/.kube/config")
    monkeypatch.setattr(providers, "current", lambda: None)
    monkeypatch.setattr(providers, "docker_answers", lambda: False)
    assert providers.choose() is Provider.BARE
    monkeypatch.setattr(providers, "docker_answers", lambda: True)
    assert providers.choose() is Provider.KIND


def test_a_named_cluster_stays_the_one_until_down(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CLASSIFIER_CACHE", str(tmp_path))
    told.kubeconfig().write_text("{}")
    assert providers.current() is Provider.TOLD
    assert localcluster.kubeconfig_path() == told.kubeconfig()
    told.down()
    with pytest.raises(localcluster.ClusterError, match="No local cluster is up"):
        localcluster.kubeconfig_path()


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        (None, "not registered"),
        ({"spec": {}, "status": {}}, "not reported"),
        ({"spec": {}, "status": {"conditions": [{"type": "Ready", "status": "False", "message": "no CNI"}]}}, "no CNI"),
        (
            {
                "spec": {"taints": [{"key": "node.kubernetes.io/not-ready"}]},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {}},
            },
            "tainted node.kubernetes.io/not-ready",
        ),
        (
            {"spec": {}, "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {}}},
            "GPUs",
        ),
        (
            {
                "spec": {},
                "status": {"conditions": [{"type": "Ready", "status": "True"}], "allocatable": {"nvidia.com/gpu": "8"}},
            },
            "",
        ),
    ],
)
def test_what_keeps_pods_from_a_node(node: dict[str, object] | None, reason: str) -> None:
    trouble = obstacles(node)
    assert reason in trouble
    assert bool(trouble) == bool(reason)


def test_with_install_the_missing_packages_come_from_apt(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """apt-get is asked for what is missing and nothing else, and it is looked again whether that helped."""
    log = tmp_path / "apt-calls"
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "apt-get").write_text(f'#!/bin/sh\necho "$*" >> {log}\ntouch {tmp_path}/installed\n')
    (programs / "apt-get").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    missing = lambda: [] if (tmp_path / "installed").exists() else ["mmdebstrap", "runc"]  # noqa: E731
    monkeypatch.setattr(needs, "missing_packages", missing)
    monkeypatch.setattr(needs, "_machine_problems", lambda: [])
    monkeypatch.setattr(needs, "_build_problems", lambda _: [])
    with pytest.raises(localcluster.ClusterError, match="apt-get install --no-install-recommends mmdebstrap runc"):
        needs.check_node(install=False)
    assert not log.exists()
    needs.check_node(install=True)
    assert log.read_text().splitlines() == [
        "update -qq",
        "install -qq --yes --no-install-recommends mmdebstrap runc",
    ]
