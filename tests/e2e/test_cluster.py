"""The local cluster itself: what every other end-to-end test takes for granted."""

from __future__ import annotations

import pytest

from support import kube
from support.pod import idle_pod

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def pod(namespace: str, references: dict[str, str]) -> str:
    kube.apply(idle_pod("inside", references["operator"]), namespace=namespace)
    kube.kubectl("wait", "--for=condition=Ready", "pod/inside", "-n", namespace, "--timeout=60s")
    return namespace


def python_inside(namespace: str, code: str) -> str:
    return kube.kubectl("exec", "inside", "-n", namespace, "--", "python3", "-c", code).strip()


def test_nodes_are_ready() -> None:
    nodes = kube.items("nodes", "default")
    assert nodes
    assert {c["status"] for n in nodes for c in n["status"]["conditions"] if c["type"] == "Ready"} == {"True"}


def test_name_and_cluster_ip_of_a_service_from_a_pod(pod: str) -> None:
    address = kube.kubectl("get", "service", "kubernetes", "-n", "default", "-o", "jsonpath={.spec.clusterIP}")
    look_up = "import socket; print(socket.gethostbyname('kubernetes.default.svc.cluster.local'))"
    assert python_inside(pod, look_up) == address
    connect = f"import socket; socket.create_connection(('{address}', 443), 10); print('connected')"
    assert python_inside(pod, connect) == "connected"


def test_pods_have_no_token(pod: str) -> None:
    look = "import os; print(os.path.exists('/var/run/secrets/kubernetes.io/serviceaccount/token'))"
    assert python_inside(pod, look) == "False"
