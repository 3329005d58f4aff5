"""The operator as a process of its own, to be stopped, frozen and killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


class OperatorProcess:
    """`kopf run` of the operator from this tree, against one kubeconfig.

    Args:
        log: file that its output is appended to.
        liveness_port: port of /healthz on loopback; None: not served.
        settings: the operator's settings by name, e.g. lease_seconds=3.
    """

    def __init__(self, kubeconfig: Path, log: Path, *, liveness_port: int | None = None, **settings: object) -> None:
        self._log = log
        self._options = [f"--liveness=http://127.0.0.1:{liveness_port}/healthz"] if liveness_port else []
        self._environment = {
            **{name: text for name, text in os.environ.items() if not name.startswith(("CLASSIFIER_", "KUBERNETES_"))},
            "KUBECONFIG": str(kubeconfig),
            "PYTHONPATH": str(ROOT / "operator" / "src"),
            "CLASSIFIER_METRICS_PORT": "0",
            **{f"CLASSIFIER_{name.upper()}": str(value) for name, value in settings.items()},
        }
        self.process = self._start()

    def _start(self) -> subprocess.Popen[bytes]:
        command = [
            *(sys.executable, "-m", "kopf", "run", "--standalone", "--all-namespaces"),
            *(*self._options, "-m", "classifier_operator.main"),
        ]
        with self._log.open("ab") as output:
            return subprocess.Popen(
                command, env=self._environment, cwd=self._log.parent, stdout=output, stderr=subprocess.STDOUT
            )

    def restart(self) -> None:
        """A new process in place of one that has ended."""
        assert not self.alive
        self.process = self._start()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a node does that loses power: nothing is cleaned up."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(timeout=10)

    def stop(self) -> int:
        """As a kubelet does; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
        try:
            return self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    def wait(self, seconds: float) -> int:
        """Waits until it ends by itself."""
        return self.process.wait(timeout=seconds)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def rss_mib(self) -> float:
        """Resident memory, in MiB."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""
