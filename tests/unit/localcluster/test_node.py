"""The bare node for real: up, down, cut off, and another clone's.

Destroys the running cluster, so it must be asked for:

CLASSIFIER_TEST_DOWN=1 pytest tests/unit/localcluster -m e2e
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import localcluster
from localcluster.bare.layout import HOST
from localcluster.bare.machine import marked_processes, mounts_under, pod_processes, wait_gone
from localcluster.bare.probes import dns_answers
from unit.localcluster.machine_picture import picture

TOOL = Path(localcluster.__file__).parent
IMAGE = "python:3.11-slim-bookworm"

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(os.geteuid() != 0, reason="a bare node needs root"),
    pytest.mark.skipif(
        not os.environ.get("CLASSIFIER_TEST_DOWN"), reason="CLASSIFIER_TEST_DOWN=1: takes the cluster down"
    ),
]


def tool(*arguments: str, tree: Path = TOOL, cache: Path | None = None) -> str:
    """Run the command as a user does; its output."""
    environment = {**os.environ, **({"CLASSIFIER_CACHE": str(cache)} if cache else {})}
    done = subprocess.run(
        [sys.executable, str(tree), *arguments], env=environment, capture_output=True, text=True, timeout=900
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def kubectl(*arguments: str, stdin: str | None = None) -> str:
    command = [str(localcluster.kubectl_path()), f"--kubeconfig={localcluster.kubeconfig_path()}", *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def pod(name: str, script: str) -> str:
    """A pod under the restricted Pod Security standard, with a claim at /data, that runs a Python script."""
    item = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name}},
        "spec": {
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 1,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": 65532,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "command": ["python3", "-u", "-c", script],
                    "resources": {"limits": {"nvidia.com/gpu": 1}},
                    "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                }
            ],
            "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
        },
    }
    return json.dumps(item)


CLAIM = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
)
SERVE = """
import http.server
open('/data/mark', 'a').write('x')
print('serving')
http.server.test(http.server.SimpleHTTPRequestHandler, port=8080)
"""


def start_pod() -> None:
    """A namespace under the restricted standard with a server pod, its claim and its Service."""
    tool("load", IMAGE)
    kubectl("create", "namespace", "probe")
    kubectl("label", "namespace", "probe", "pod-security.kubernetes.io/enforce=restricted")
    kubectl("-n", "probe", "apply", "-f", "-", stdin=CLAIM)
    kubectl("-n", "probe", "apply", "-f", "-", stdin=pod("server", SERVE))
    kubectl("-n", "probe", "expose", "pod", "server", "--name=web", "--port=80", "--target-port=8080")
    kubectl("-n", "probe", "wait", "--for=condition=Ready", "pod/server", "--timeout=60s")


def fetch_in_pod(url: str) -> str:
    """The status of a GET from inside the pod; kube-proxy may be a moment behind the pod's readiness."""
    script = f"""
import time, urllib.request
for attempt in range(20):
    try:
        print(urllib.request.urlopen({url!r}, timeout=5).status)
        break
    except urllib.error.URLError as error:
        if attempt == 19 or not isinstance(error.reason, ConnectionRefusedError):
            raise
        time.sleep(0.2)
"""
    return kubectl("-n", "probe", "exec", "server", "--", "python3", "-c", script).strip()


def cut_off() -> None:
    """What a power cut does to processes: all are gone at once, and nothing is cleaned up."""
    victims = [process.pid for process in marked_processes()] + pod_processes()
    for victim in victims:
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
    assert wait_gone(victims, 20)


@pytest.fixture(scope="module", autouse=True)
def _cluster_again() -> Iterator[None]:
    """Whoever tests next finds a cluster, though a fresh one."""
    yield
    tool("up")


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """pytest's own folders are too long for sockets under them."""
    with tempfile.TemporaryDirectory(prefix="lc-") as folder:
        yield Path(folder)


def test_a_pod_has_everything_and_down_leaves_nothing() -> None:
    tool("down")
    before = picture()
    tool("up")
    start_pod()
    assert "serving" in kubectl("-n", "probe", "logs", "server")
    assert fetch_in_pod("http://web.probe.svc.cluster.local/") == "200", "DNS and ClusterIP from a pod"
    assert fetch_in_pod("http://web/") == "200", "the short name of a Service"
    address = kubectl("-n", "probe", "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}")
    assert status_of(f"http://{address}/") == "200", "ClusterIP from the host"
    assert dns_answers(HOST, "web.probe.svc.cluster.local"), "the cluster's DNS from the host"
    assert _through_port_forward() == "200"
    assert kubectl("-n", "probe", "get", "pvc", "data", "-o", "jsonpath={.status.phase}") == "Bound"
    assert tool("up").count("runs") >= 9, "a second `up` finds everything running"
    tool("down")
    assert picture() == before
    assert not localcluster.state_dir().exists()


def test_claims_come_and_go() -> None:
    tool("up")
    start_pod()
    for _ in range(3):
        kubectl("-n", "probe", "delete", "pod/server", "pvc/data", "--wait=true")
        kubectl("-n", "probe", "apply", "-f", "-", stdin=CLAIM)
        kubectl("-n", "probe", "apply", "-f", "-", stdin=pod("server", SERVE))
        kubectl("-n", "probe", "wait", "--for=condition=Ready", "pod/server", "--timeout=60s")
        assert kubectl("-n", "probe", "exec", "server", "--", "cat", "/data/mark") == "x", "an empty volume each time"
    kubectl("delete", "namespace", "probe")
    end = time.monotonic() + 20
    while list((localcluster.state_dir() / "volumes").iterdir()) and time.monotonic() < end:
        time.sleep(0.2)
    assert not list((localcluster.state_dir() / "volumes").iterdir())


def test_a_machine_that_was_cut_off_comes_up_with_its_data() -> None:
    tool("up")
    start_pod()
    cut_off()
    assert "afresh" not in tool("up")
    kubectl(
        "-n",
        "probe",
        "wait",
        "--for=jsonpath={.status.containerStatuses[0].restartCount}=1",
        "pod/server",
        "--timeout=90s",
    )
    kubectl("-n", "probe", "wait", "--for=condition=Ready", "pod/server", "--timeout=90s")
    assert kubectl("-n", "probe", "exec", "server", "--", "cat", "/data/mark") == "xx", "the claim outlived the cut"
    assert fetch_in_pod("http://web/") == "200"
    kubectl("delete", "namespace", "probe")


def test_data_that_are_broken_are_given_up_with_a_word() -> None:
    tool("up")
    kubectl("create", "namespace", "lost")
    cut_off()
    for log in (localcluster.state_dir() / "etcd" / "member").rglob("*.wal"):
        log.write_bytes(b"\xff" * 4096)
    assert "afresh" in tool("up")
    assert "lost" not in kubectl("get", "namespaces", "-o", "name")


@pytest.mark.parametrize("alive", [True, False], ids=["running", "cut off"])
def test_the_cluster_of_another_clone_makes_way(short_folder: Path, alive: bool) -> None:
    clone, cache = short_folder / "clone", short_folder / "cache"
    shutil.copytree(TOOL, clone / "tests" / "localcluster")
    shutil.copytree(TOOL.parents[1] / "helm", clone / "helm")
    cache.mkdir()
    (cache / "bin").symlink_to(localcluster.cache_dir() / "bin")
    tool("up", tree=clone / "tests" / "localcluster", cache=cache)
    assert {process.mark.state for process in marked_processes()} == {cache / "cluster"}
    if not alive:
        cut_off()
    tool("up")
    assert {process.mark.state for process in marked_processes()} == {localcluster.state_dir()}
    assert not mounts_under(cache)
    start_pod()
    kubectl("delete", "namespace", "probe")


def _through_port_forward() -> str:
    command = [str(localcluster.kubectl_path()), f"--kubeconfig={localcluster.kubeconfig_path()}"]
    words = [*command, "-n", "probe", "port-forward", "service/web", ":80"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as forward:
        try:
            assert forward.stdout is not None
            port = forward.stdout.readline().split(":")[1].split()[0]
            return status_of(f"http://127.0.0.1:{port}/")
        finally:
            forward.terminate()


def status_of(url: str) -> str:
    """The status of a GET from the host, past any proxy."""
    words = ["curl", "-sS", "--noproxy", "*", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", url]
    return subprocess.check_output(words, text=True)
