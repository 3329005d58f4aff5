"""Configuration files and command lines, word for word. With WRITE_GOLDEN=1 they are written anew: look at the diff."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from localcluster.bare import config, flags
from localcluster.bare.layout import Layout

GOLDEN = Path(__file__).resolve().parents[2] / "data" / "golden" / "localcluster"
NODE = Layout(Path("/cache/cluster"), Path("/cache/bin"))
CONTROL_PLANE = Layout(Path("/cache/control-plane"), Path("/cache/bin"), node=False)
CREDENTIALS = {"ca": b"authority", "certificate": b"certificate", "key": b"key"}

TEXTS = {
    "kubelet.json": config.kubelet_config(NODE),
    "kube-proxy.json": config.kube_proxy_config(NODE),
    "containerd.toml": config.containerd_config(NODE),
    "pods.conflist": config.cni_conflist(NODE),
    "Corefile": config.corefile(NODE, ("192.0.2.53", "192.0.2.54")),
    "Corefile-alone": config.corefile(NODE, ()),
    "kubelet.kubeconfig": config.kubeconfig(NODE, "kubelet"),
    "control-plane.kubeconfig": config.kubeconfig(CONTROL_PLANE, "admin", CREDENTIALS),
    "node.flags": "\n\n".join(
        "\n".join(words)
        for words in (
            flags.etcd(NODE),
            flags.kube_apiserver(NODE),
            flags.kube_controller_manager(NODE),
            flags.kube_scheduler(NODE),
            flags.containerd(NODE),
            flags.kubelet(NODE),
            flags.kube_proxy(NODE),
            flags.coredns(NODE),
            flags.storage_provisioner(NODE),
        )
    )
    + "\n",
    "control-plane.flags": "\n".join([*flags.etcd(CONTROL_PLANE), "", *flags.kube_apiserver(CONTROL_PLANE)]) + "\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_golden(name: str) -> None:
    path = GOLDEN / name
    if os.environ.get("WRITE_GOLDEN"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(TEXTS[name])
    assert path.read_text() == TEXTS[name]


def test_no_golden_file_is_left_over() -> None:
    assert {path.name for path in GOLDEN.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("layout", [NODE, CONTROL_PLANE], ids=["node", "control plane"])
def test_nothing_listens_to_the_outside(layout: Layout) -> None:
    """Every address that a component binds is on loopback or in the benchmark range."""
    words = [*flags.etcd(layout), *flags.kube_apiserver(layout)]
    for word in words:
        if "listen" in word or word.startswith("--bind-address"):
            assert "//127.0.0.1" in word or word.endswith(("=127.0.0.1", "=198.18.0.1")), word
    proxy, kubelet = json.loads(config.kube_proxy_config(layout)), json.loads(config.kubelet_config(layout))
    assert kubelet["address"] == proxy["bindAddress"] == "198.18.0.1"
    assert proxy["nodePortAddresses"] == ["198.18.0.0/16"]
    assert kubelet.get("readOnlyPort", 0) == 0


def test_the_two_kinds_share_no_port() -> None:
    ports = [(layout.api_port, layout.etcd_port, layout.etcd_port + 1) for layout in (NODE, CONTROL_PLANE)]
    assert not set(ports[0]) & set(ports[1])
