"""The playground as a person uses it, for tests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from support.browser import Browser
from support.server_process import ServerProcess

ServerFactory = Callable[..., ServerProcess]

_SECONDS = 60.0
_LOADS = 20
# Chromium breaks all connections off when an interface comes or goes, as those of pods beside it do.
_NETWORK_CHANGED = "ERR_NETWORK_CHANGED"


class Page:
    """One page that is open in the browser."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser = browser
        self.address = address

    def open(
        self, *, scheme: Literal["light", "dark"] = "light", width: int = 1280, until: str = "Ready", path: str = "/"
    ) -> Page:
        """Loads it with an empty session, and waits for the words at its head."""
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
        self.browser.call("Emulation.setDeviceMetricsOverride", **size)
        self.browser.media(scheme=scheme)
        self.load(path)
        if self.browser.value("sessionStorage.length"):
            self.browser.value("sessionStorage.clear()")
            self.load(path)
        self.wait(f"{self.text('state-text')}.startsWith({json.dumps(until)})")
        return self

    def load(self, path: str = "/") -> None:
        """Loads it with all its files."""
        for _ in range(_LOADS):
            self.browser.go("about:blank")
            self.browser.go(self.address + path)
            if not any(_NETWORK_CHANGED in complaint for complaint in self.browser.complaints()):
                return
        raise AssertionError(f"the network of this machine changed {_LOADS} times while {path} was loaded")

    @staticmethod
    def text(element: str) -> str:
        """The expression of an element's text."""
        return f"document.getElementById('{element}').textContent"

    def read(self, element: str) -> str:
        """What an element says."""
        return str(self.value(self.text(element)))

    def value(self, expression: str) -> Any:
        """As Browser.value."""
        return self.browser.value(expression)

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true."""
        deadline = time.monotonic() + _SECONDS
        while not self.value(f"Boolean({condition})"):
            assert time.monotonic() < deadline, self._missed(condition)
            time.sleep(0.05)

    def _missed(self, condition: str) -> str:
        return "\n".join(
            [f"never true: {condition}", *self.browser.complaints(), self.value("document.body.innerText")]
        )

    def seen(self, element: str) -> bool:
        """Whether an element has a place on the page."""
        return bool(self.value(f"document.getElementById('{element}').getClientRects().length"))

    def click(self, element: str) -> None:
        """With the mouse, as far as the page can tell."""
        self.value(f"document.getElementById('{element}').click()")

    def key(self, key: str, *, code: str | None = None, modifiers: int = 0, text: str | None = None) -> None:
        """Presses a key; modifiers: 2 is Ctrl, 8 is Shift."""
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text is not None and kind == "keyDown" else {}
            self.browser.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=code or key, modifiers=modifiers,
                windowsVirtualKeyCode={"Enter": 13, "Tab": 9, "Escape": 27}.get(key, 0), **more,
            )  # fmt: skip

    def write(self, text: str) -> None:
        """Types a text into the field of the first tab."""
        self.value("document.getElementById('text-input').focus(); document.getElementById('text-input').select()")
        self.browser.call("Input.insertText", text=text)

    def classify(self, text: str) -> str:
        """Types a text, asks, and returns what the page says of it."""
        self.write(text)
        self.click("text-button")
        self.wait(f"{self.text('text-button')} === 'Classify' && {self.text('answer-said')}")
        return self.read("answer-said")

    def bars(self) -> list[list[Any]]:
        """[label, share, whether it counts, threshold in percent or None] of each bar."""
        found: list[list[Any]] = self.value(
            "[...document.querySelectorAll('#answer .bar')].map(bar => [bar.querySelector('.name').textContent,"
            " bar.querySelector('.share').textContent, bar.classList.contains('counts'),"
            " bar.querySelector('.mark')?.getAttribute('x1') ?? null])"
        )
        return found

    def drop(self, name: str, content: str) -> None:
        """Drops a file on the page."""
        self.value(
            "(() => { const data = new DataTransfer();"
            f" data.items.add(new File([{json.dumps(content)}], {json.dumps(name)}));"
            " for (const type of ['dragenter', 'dragover', 'drop'])"
            " document.body.dispatchEvent(new DragEvent(type, {dataTransfer: data, bubbles: true, cancelable: true}));"
            " })()"
        )
        self.wait("document.getElementById('drop').hidden || !document.getElementById('file-error').hidden")

    def run_file(self, name: str, content: str) -> None:
        """Drops a file, classifies it and waits for its end."""
        self.drop(name, content)
        self.click("file-start")
        self.wait("document.getElementById('file-cancel').hidden")

    def tiles(self) -> dict[str, str]:
        """The figures of a file's results."""
        found: dict[str, str] = self.value(
            "Object.fromEntries([...document.querySelectorAll('#file-results .tiles dl > div')].map(tile =>"
            " [tile.querySelector('dt').textContent, tile.querySelector('dd').textContent]))"
        )
        return found

    def rows(self) -> list[list[str]]:
        """The cells of the rows that are shown."""
        found: list[list[str]] = self.value(
            "[...document.querySelectorAll('table.rows tbody tr')]"
            ".map(row => [...row.cells].map(cell => cell.innerText.trim()))"
        )
        return found

    def download(self, kind: str, folder: Path) -> bytes:
        """The file that a button hands out."""
        self.value(
            "[...document.querySelectorAll('#file-results button')]"
            f".find(button => button.textContent === 'Download {kind}').click()"
        )
        return self.file(folder, f"*.classified.{kind.lower()}")

    @staticmethod
    def file(folder: Path, pattern: str) -> bytes:
        """The content of a file that the browser is putting into a folder."""
        deadline = time.monotonic() + _SECONDS
        while not (found := list(folder.glob(pattern))):
            assert time.monotonic() < deadline, list(folder.iterdir())
            time.sleep(0.05)
        return found[0].read_bytes()

    def assert_quiet(self) -> None:
        """Nothing broke a rule of the policy or went elsewhere, and nothing of a text or a name was run."""
        assert [said for said in self.browser.complaints() if _NETWORK_CHANGED not in said] == []
        assert [url for url in self.browser.requests() if not url.startswith((self.address, "blob:"))] == []
        assert self.value("window.evil") is None
