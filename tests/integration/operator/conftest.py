"""A namespace of a real API server, with an operator that works in it."""

from __future__ import annotations

import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import yaml

from classifier_operator.kube.client import Json, KubeClient
from support.control_plane import Cluster, ensure_kinds, own_namespace
from support.cut_proxy import CutProxy
from support.fake_kubelet import FakeKubelet, running
from support.fake_trainer_pod import fake_trainer_pod
from support.operator_process import OperatorProcess
from support.scene import Scene


@pytest.fixture
async def cluster(kubeconfig: Path) -> AsyncIterator[Cluster]:
    """A new namespace with the two kinds."""
    client = await KubeClient.connect(connections=40, kubeconfig=str(kubeconfig))
    await ensure_kinds(client)
    async with own_namespace(client, "operator") as made:
        yield made
    await client.close()


@pytest.fixture
async def scene(cluster: Cluster, kubeconfig: Path, tmp_path: Path) -> AsyncIterator[Scene]:
    with fake_trainer_pod() as pod, running(FakeKubelet(cluster, address=pod.address)) as kubelet:
        pod.body = b"{}"
        operator = OperatorProcess(
            kubeconfig,
            tmp_path / "operator.log",
            namespace=cluster.namespace,
            lease_seconds=15,
            poll_seconds=0.1,
            progress_seconds=0.3,
            service_probe_url=f"http://{pod.address}:{pod.port}/ready",
        )
        try:
            yield Scene(cluster, operator, kubelet, pod)
            assert operator.process.poll() in (None, -signal.SIGKILL), operator.log()
            assert "Traceback" not in operator.log(), operator.log()
        finally:
            assert operator.stop() in (0, -signal.SIGKILL)


@pytest.fixture
async def proxy(kubeconfig: Path) -> AsyncIterator[CutProxy]:
    async with CutProxy(_read(kubeconfig)["clusters"][0]["cluster"]["server"]) as made:
        yield made


@pytest.fixture
async def shaky(kubeconfig: Path, proxy: CutProxy, tmp_path: Path) -> AsyncIterator[KubeClient]:
    """A client behind the proxy."""
    config = _read(kubeconfig)
    config["clusters"][0]["cluster"]["server"] = f"https://127.0.0.1:{proxy.port}"
    path = tmp_path / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    client = await KubeClient.connect(connections=10, kubeconfig=str(path))
    yield client
    await client.close()


def _read(kubeconfig: Path) -> Json:
    config: Json = yaml.safe_load(kubeconfig.read_text())
    return config
