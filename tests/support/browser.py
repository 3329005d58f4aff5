"""A real browser for tests: Debian's Chromium without a window, driven by its DevTools protocol over a pipe.

`python -m support.browser --install` (with `tests` on the path) installs it where it is missing.
"""

from __future__ import annotations

import argparse
import base64
import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

PACKAGE = "chromium"
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-proxy-server",
    # Whatever a page might ask for outside this machine finds nothing.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-pipe",
)
_SECONDS = 60.0


class BrowserError(Exception):
    """There is no browser, or it does not do what it is told."""


def find() -> str:
    """The program of an installed browser.

    Raises:
        BrowserError: there is none.
    """
    for name in _NAMES:
        if found := shutil.which(name):
            return found
    raise BrowserError("no Chromium on this machine: run `make browser`, or install Debian's package chromium.")


class Browser:
    """A browser with one page, while the block runs."""

    def __init__(self) -> None:
        self._home = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
        # Chromium reads commands from descriptor 3 and answers on 4; ours lie above, so that none is in the way.
        ours = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 10) for pair in (os.pipe(), os.pipe()) for end in pair]
        theirs_in, self._out, self._in, theirs_out = ours
        self._pid = os.posix_spawn(
            find(),
            ["chromium", *_FLAGS, f"--user-data-dir={self._home.name}", "about:blank"],
            {**os.environ, "HOME": self._home.name},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_DUP2, theirs_in, 3),
                (os.POSIX_SPAWN_DUP2, theirs_out, 4),
            ],
            setpgroup=0,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        self._buffer = b""
        self._count = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        """What the page told of itself, the oldest first."""

    def __enter__(self) -> Self:
        target = next(item for item in self.call("Target.getTargets")["targetInfos"] if item["type"] == "page")
        self._session = self.call("Target.attachToTarget", targetId=target["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        os.close(self._out)
        os.close(self._in)
        # Its processes are a group of their own.
        for sent in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._pid, sent)
            except ProcessLookupError:
                break
            if self._ended(5.0):
                break
        self._home.cleanup()

    def open(
        self, path: Path, *, scheme: Literal["light", "dark"] = "light", width: int = 1280, phone: bool = False
    ) -> None:
        """Loads a file of this machine."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": phone}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.media(scheme=scheme)
        self.go(path.resolve().as_uri())

    def go(self, address: str) -> None:
        """Loads an address and forgets the events of earlier ones."""
        self.events.clear()
        self.call("Page.navigate", url=address)
        self._until("Page.loadEventFired")

    def media(self, *, scheme: str = "light", kind: str = "") -> None:
        """Pretends a colour scheme, and `kind` print to be printed on paper."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=kind, features=features)

    def scripts(self, allowed: bool) -> None:
        """Whether pages opened from now on may run scripts."""
        self.call("Emulation.setScriptExecutionDisabled", value=not allowed)

    def value(self, expression: str) -> Any:
        """What a JavaScript expression evaluates to in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            raise BrowserError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = True) -> None:
        """A PNG of the page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def pdf(self) -> bytes:
        """The page as it would be printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def complaints(self) -> list[str]:
        """Errors and warnings of the console, and exceptions, since the page was opened."""
        self.value("0")  # whatever was on its way has arrived then
        found = []
        for event in self.events:
            said = event["params"]
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(said["exceptionDetails"]))
            elif event["method"] == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(said["args"]))
            elif event["method"] == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
                found.append(said["entry"]["text"])
        return found

    def requests(self) -> list[str]:
        """Every address that the page asked for, its own included."""
        self.value("0")
        return [
            event["params"]["request"]["url"] for event in self.events if event["method"] == "Network.requestWillBeSent"
        ]

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """A command of the protocol, and its answer.

        Raises:
            BrowserError: the browser refuses it, or is gone.
        """
        self._count += 1
        message: dict[str, Any] = {"id": self._count, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        self._send(json.dumps(message).encode() + b"\0")
        while True:
            found = self._receive()
            if found.get("id") == self._count:
                if "error" in found:
                    raise BrowserError(f"{method}: {found['error']}")
                result: dict[str, Any] = found["result"]
                return result

    def _until(self, event: str) -> None:
        while not any(item["method"] == event for item in self.events):
            self._receive()

    def _send(self, content: bytes) -> None:
        while content:
            content = content[os.write(self._out, content) :]

    def _receive(self) -> dict[str, Any]:
        """The next message; events are kept as well."""
        until = time.monotonic() + _SECONDS
        while b"\0" not in self._buffer:
            if not select.select([self._in], [], [], max(0.0, until - time.monotonic()))[0]:
                raise BrowserError(f"the browser said nothing for {_SECONDS:.0f} s")
            part = os.read(self._in, 1 << 20)
            if not part:
                raise BrowserError("the browser ended")
            self._buffer += part
        line, _, self._buffer = self._buffer.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        if "id" not in message:
            self.events.append(message)
        return message

    def _ended(self, seconds: float) -> bool:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            try:
                if os.waitpid(self._pid, os.WNOHANG)[0]:
                    return True
            except ChildProcessError:
                return True
            time.sleep(0.02)
        return False


def main() -> int:
    """Says whether there is a browser; with --install there is one afterwards, if apt-get can."""
    parser = argparse.ArgumentParser(prog="python -m support.browser", description=__doc__)
    parser.add_argument("--install", action="store_true", help="install Debian's package chromium if there is none")
    wanted = parser.parse_args()
    try:
        print(find())
        return 0
    except BrowserError as error:
        if not wanted.install or os.geteuid() != 0 or not shutil.which("apt-get"):
            print(error, file=sys.stderr)
            return 1
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for arguments in (["update"], ["install", "--yes", "--no-install-recommends", PACKAGE]):
        command = ["apt-get", "-qq", *arguments]
        if subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=False).returncode:
            print(f"{' '.join(command)} failed: is there a network?", file=sys.stderr)
            return 1
    print(find())
    return 0


if __name__ == "__main__":
    sys.exit(main())
