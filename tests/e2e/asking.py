"""How the tests of sleep ask a deployment through its Service, and what they look at meanwhile.

The ClusterIP is asked from this machine: a port-forward would go to a pod, and so never to the gateway.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from e2e.objects import Manifest, condition, status, wait_for_phase
from support import install, kube

SECONDS = 240.0
"""Longest wait for anything."""
PATH = "/v1/classification"


def address(name: str, namespace: str) -> str:
    """Base URL of a Service on this machine; skips the test where Services are not reached from it."""
    kube.wait_for(f"a Service {name}", lambda: name in _services(namespace), timeout=60)
    spec = kube.get("service", name, namespace)["spec"]
    api = kube.get("service", "kubernetes", "default")["spec"]
    try:
        with socket.create_connection((api["clusterIP"], api["ports"][0]["port"]), timeout=5):
            pass
    except OSError:
        pytest.skip("Services are not reached from this machine: kind keeps them to its own network")
    return f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}"


def _services(namespace: str) -> set[str]:
    return {each["metadata"]["name"] for each in kube.items("services", namespace)}


def ask(url: str, text: str = "word", **headers: str) -> httpx.Response:
    """POSTs a text to be classified, on a connection of its own."""
    return httpx.post(f"{url}{PATH}", json={"input": text}, headers=headers, timeout=SECONDS, trust_env=False)


def get(url: str, path: str) -> httpx.Response:
    return httpx.get(f"{url}{path}", timeout=30, trust_env=False)


def held_ms(response: httpx.Response) -> int | None:
    """How long the gateway held the request; None: it did not go through it."""
    text = response.headers.get("x-classifier-held-ms")
    return None if text is None else int(text)


def patch(name: str, namespace: str, **spec: Any) -> None:
    """Changes fields of a deployment's spec."""
    body = json.dumps({"spec": spec})
    kube.kubectl("patch", "cdep", name, "-n", namespace, "--type=merge", "-p", body)


def pods(name: str, namespace: str) -> list[Manifest]:
    return kube.items("pods", namespace, f"classifiers.dev/deployment={name}")


def leads_to(name: str, namespace: str) -> dict[str, set[str]]:
    """The addresses that each EndpointSlice of a Service holds and that are not said to be unready."""
    found = kube.items("endpointslices", namespace, f"kubernetes.io/service-name={name}")
    return {
        each["metadata"]["name"]: {
            ip
            for endpoint in each.get("endpoints") or ()
            if endpoint["conditions"].get("ready") is not False
            for ip in endpoint["addresses"]
        }
        for each in found
    }


def gateway_ips() -> set[str]:
    found = kube.items("pods", install.NAMESPACE, "app.kubernetes.io/component=gateway")
    return {pod["status"]["podIP"] for pod in found if pod["status"].get("podIP")}


def wait_until_asleep(name: str, namespace: str) -> Manifest:
    """Waits until it sleeps and its pods are gone; returns its status."""
    wait_for_phase("cdep", name, namespace, "Sleeping", timeout=SECONDS)
    kube.wait_for(f"{name} has no pods", lambda: not pods(name, namespace), timeout=120)
    kube.wait_for(
        f"the status of {name} says so",
        lambda: condition(status("cdep", name, namespace), "Ready") == "True/Asleep",
        timeout=60,
        show=lambda: status("cdep", name, namespace),
    )
    return status("cdep", name, namespace)


def stays_asleep(name: str, namespace: str, seconds: float = 4) -> None:
    """Looks for a while whether pods come."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        assert not pods(name, namespace)
        assert status("cdep", name, namespace)["phase"] == "Sleeping"
        time.sleep(0.5)


@contextmanager
def health_checks(url: str, *paths: str) -> Iterator[list[tuple[str, int]]]:
    """Asks these paths every half a second for as long as the block lasts; path and code of each answer."""
    seen: list[tuple[str, int]] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.5):
            seen.extend((path, get(url, path).status_code) for path in paths)

    thread = threading.Thread(target=work, name="health checks", daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        stop.set()
        thread.join(60)
