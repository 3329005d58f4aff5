"""kubectl and helm against the local cluster, for the demo, the end-to-end tests and the benchmarks."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import localcluster


class CommandError(Exception):
    """A command failed; the text is the command and what it printed."""


def run(command: list[str], *, stdin: str | bytes | None = None, timeout: float = 300) -> str:
    """Run `command` with the local cluster's kubeconfig and return its standard output.

    Raises:
        CommandError: the command ended with another code than 0.
    """
    data = stdin.encode() if isinstance(stdin, str) else stdin
    environment = {**os.environ, "KUBECONFIG": str(localcluster.kubeconfig_path())}
    done = subprocess.run(command, input=data, capture_output=True, timeout=timeout, env=environment, check=False)
    if done.returncode:
        raise CommandError(f"{' '.join(command)}\n{done.stdout.decode()}{done.stderr.decode()}".strip())
    return done.stdout.decode()


def kubectl(*arguments: str, stdin: str | bytes | None = None, timeout: float = 300) -> str:
    return run([str(localcluster.kubectl_path()), *arguments], stdin=stdin, timeout=timeout)


def helm(*arguments: str, timeout: float = 600) -> str:
    return run([str(localcluster.helm_path()), *arguments], timeout=timeout)


def get(kind: str, name: str, namespace: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(kubectl("get", kind, name, "-n", namespace, "-o", "json"))
    return value


def items(kind: str, namespace: str, selector: str = "") -> list[dict[str, Any]]:
    listed: list[dict[str, Any]] = json.loads(kubectl("get", kind, "-n", namespace, "-l", selector, "-o", "json"))[
        "items"
    ]
    return listed


def apply(*manifests: dict[str, Any], namespace: str) -> None:
    """Apply `manifests` by server-side apply, as a user would."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": list(manifests)})
    kubectl("apply", "--server-side", "-n", namespace, "-f", "-", stdin=text)


def ensure_namespace(name: str) -> None:
    """Make a namespace that enforces the restricted Pod Security Standard: ours must run there."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}, namespace=name)


def wait_for(
    what: str, check: Callable[[], bool], *, timeout: float, every: float = 0.5, show: Callable[[], object] = lambda: ""
) -> None:
    """Call `check` until it is true.

    Raises:
        TimeoutError: it is still false after `timeout` seconds; the message ends with what `show` returns.
    """
    deadline = time.monotonic() + timeout
    while not check():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: still not so after {timeout:.0f} s; {show()}")
        time.sleep(every)


@contextmanager
def port_forward(target: str, port: int, namespace: str) -> Iterator[str]:
    """Yield a base URL on loopback that reaches `port` of `target` (such as `service/r8`)."""
    environment = {**os.environ, "KUBECONFIG": str(localcluster.kubeconfig_path())}
    command = [str(localcluster.kubectl_path()), "port-forward", "-n", namespace, target, f":{port}"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            found = re.search(r"127\.0\.0\.1:(\d+)", line)
            if not found:
                raise CommandError(f"{' '.join(command)}\n{line}{process.stdout.read()}")
            local = int(found[1])
            with socket.create_connection(("127.0.0.1", local), timeout=5):
                pass
            yield f"http://127.0.0.1:{local}"
        finally:
            process.terminate()
            process.wait(10)
