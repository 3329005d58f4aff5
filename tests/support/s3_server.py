"""A real S3 server on this machine: versitygw over a folder, built once from the Go module proxy into the cache."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localcluster.bare.binaries import Program, ensure

VERSITYGW = Program("versitygw", install="github.com/versity/versitygw/cmd/versitygw@v1.8.0")
_START_SECONDS = 30


@dataclass(frozen=True)
class S3Server:
    """Where it is, and the keys that may do everything."""

    endpoint: str
    folder: Path
    """Each folder in it is a bucket."""
    access: str = "tests"
    secret: str = "tests-secret"

    def environment(self) -> Mapping[str, str]:
        """What a client needs."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": self.access,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_REGION": "us-east-1",
        }

    def bucket(self, name: str) -> Path:
        """A new bucket."""
        made = self.folder / name
        made.mkdir()
        return made


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Serves `folder` until the end of the block."""
    program = ensure((VERSITYGW,)) / "versitygw"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    data = folder / "buckets"
    data.mkdir()
    server = S3Server(f"http://127.0.0.1:{port}", data)
    command = [str(program), "--port", f"127.0.0.1:{port}", "--access", server.access, "--secret", server.secret]
    command += ["--region", "us-east-1", "posix", "--sidecar", str(_made(folder / "metadata")), str(data)]
    environment = {"PATH": os.environ.get("PATH", ""), "HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        try:
            _wait(process, port, folder / "log")
            yield server
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + _START_SECONDS
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.05)
    raise RuntimeError(f"the S3 server did not start: {log.read_text(errors='replace')[-2000:]}")
