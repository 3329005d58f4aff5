"""The gateway as a process of its own, to be stopped as a kubelet stops it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class GatewayProcess:
    """`python -m classifier_operator.gateway` from this tree, against one kubeconfig.

    Args:
        log: file that its output is appended to.
        pod_ip: the address that it takes for its own.
        settings: its other settings by name, e.g. linger_seconds=1.
    """

    def __init__(self, kubeconfig: Path, log: Path, *, pod_ip: str = "", **settings: object) -> None:
        self._log = log
        clean = {name: text for name, text in os.environ.items() if not name.startswith(("CLASSIFIER_", "KUBERNETES_"))}
        environment = {
            **clean,
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT / "operator" / "src"),
            "POD_IP": pod_ip,
            **{f"CLASSIFIER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "classifier_operator.gateway"], env=environment, cwd=log.parent, stderr=output
            )

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def wait(self, seconds: float = 30) -> int:
        """Its exit code."""
        return self.process.wait(seconds)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def log(self) -> str:
        return self._log.read_text(errors="replace")


@contextmanager
def gateway_process(kubeconfig: Path, log: Path, *, pod_ip: str = "", **settings: object) -> Iterator[GatewayProcess]:
    """Started; killed at the end if it still runs."""
    made = GatewayProcess(kubeconfig, log, pod_ip=pod_ip, **settings)
    try:
        yield made
    finally:
        made.process.kill()
        made.process.wait()
