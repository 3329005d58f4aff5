"""API keys, and the code that the page shows: it is run as it stands there."""

from __future__ import annotations

import ast
import contextlib
import http.server
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.browser import Browser
from support.playground_page import Page, ServerFactory
from support.server_process import ServerProcess

pytestmark = pytest.mark.browser

KEY = "k3y of-ours"
STORED = "Object.values(sessionStorage)"
# What a shell, Python or JavaScript might take for its own.
TEXT = 'crude it\'s "quoted" \\n \\ $HOME `id` ${x} {y} %s é 🙂\n\ttwo\u2028lines\u202e; rm -rf'


@pytest.fixture(scope="module")
def server(start: ServerFactory, tmp_path_factory: pytest.TempPathFactory) -> ServerProcess:
    """One that asks for a key."""
    folder = tmp_path_factory.mktemp("keys")
    (folder / "first").write_text(KEY)
    return start(apiKeysDir=str(folder))


@pytest.fixture
def page(browser: Browser, server: ServerProcess) -> Page:
    return Page(browser, server.api)


def enter(page: Page, key: str | None) -> None:
    """Answers the dialog; None cancels it."""
    page.wait("document.getElementById('key-dialog').open")
    if key is None:
        page.key("Escape")
    else:
        page.browser.call("Input.insertText", text=key)
        page.key("Enter", text="\r")


def test_a_key_is_asked_for_kept_in_the_tab_and_forgotten(page: Page, tmp_path: Path) -> None:
    page.open(until="")
    page.wait("document.getElementById('key-dialog').open")
    assert page.read("key-reason") == "This deployment answers only callers that have an API key."
    assert page.value("document.activeElement.id") == "key-field"
    assert page.value("document.getElementById('key-field').type") == "password"
    enter(page, "another")
    page.wait(f"{page.text('key-reason')} === 'The deployment does not know the key that was used.'")
    enter(page, f" {KEY} ")
    page.wait(f"{page.text('state-text')} === 'Ready'")
    assert page.value(STORED) == [KEY]
    assert page.value("localStorage.length + document.cookie.length") == 0
    assert page.classify("crude") == "crude, 85.0%"
    assert KEY not in page.value("document.documentElement.outerHTML + document.getElementById('key-field').value")
    assert "$API_KEY" in page.read("code-text")
    page.browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    page.click("docs")
    assert json.loads(page.file(tmp_path, "openapi.json"))["openapi"].startswith("3.")
    page.click("key-button")
    page.wait("document.getElementById('key-dialog').open")
    page.click("key-forget")
    page.wait(f"{STORED}.length === 0")
    assert "$API_KEY" in page.read("code-text")  # it is needed still


def test_who_has_no_key_sees_why_nothing_goes(page: Page) -> None:
    page.open(until="")
    enter(page, None)
    page.wait(f"{page.text('state-text')} === 'API key needed'")
    page.write("crude")
    page.click("text-button")
    enter(page, None)
    page.wait("!document.getElementById('answer-error').hidden")
    assert page.read("answer-error").startswith("An API key is needed")
    page.click("key-button")
    enter(page, KEY)
    page.wait(f"{page.text('state-text')} === 'Ready'")
    assert page.classify("crude") == "crude, 85.0%"


def test_a_key_that_is_replaced_is_asked_for_in_the_midst_of_a_file(page: Page) -> None:
    page.open(until="")
    enter(page, KEY)
    page.wait(f"{page.text('state-text')} === 'Ready'")
    page.drop("rows.csv", "text,label\n" + "earn,earn\n" * 100)
    page.value("for (const name of Object.keys(sessionStorage)) sessionStorage[name] = 'of yesterday'")
    page.click("file-start")
    enter(page, KEY)
    page.wait("document.getElementById('file-cancel').hidden")
    assert page.tiles() == {"Accuracy": "100%", "Macro F1": "1.000", "Classified": "100"}
    page.value("for (const name of Object.keys(sessionStorage)) sessionStorage[name] = 'of yesterday'")
    page.click("file-other")
    page.drop("more.csv", "text,label\n" + "earn,earn\n" * 100)
    page.click("file-start")
    enter(page, None)
    page.wait("!document.getElementById('file-stopped').hidden")
    assert page.read("file-stopped").startswith("Stopped: The API key is not known")
    assert page.read("file-start") == "Classify 100 rows"


@contextlib.contextmanager
def behind(prefix: str, server: str) -> Iterator[str]:
    """The address of a proxy that has the server under a path of its own."""

    class Proxy(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if not self.path.startswith(f"{prefix}/"):
                self.send_error(404)
                return
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            answer = httpx.request(
                self.command, server + self.path.removeprefix(prefix), content=body, headers=headers, timeout=30
            )
            self.send_response(answer.status_code)
            for name, value in answer.headers.items():
                if name not in ("transfer-encoding", "connection"):
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

        do_GET = do_POST = answer  # noqa: N815  # the names that the library looks for

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


def test_it_may_stand_behind_a_prefix(browser: Browser, server: ServerProcess) -> None:
    with behind("/team/news", server.api) as address:
        page = Page(browser, address)
        page.open(until="", path="/team/news/")
        enter(page, KEY)
        page.wait(f"{page.text('state-text')} === 'Ready'")
        assert page.classify("crude") == "crude, 85.0%"
        page.run_file("rows.csv", "text,label\nearn,earn\n")
        assert page.tiles()["Accuracy"] == "100%"
        assert f"'{address}/team/news/v1/classification'" in page.read("code-text")
        assert page.value("Object.keys(sessionStorage)") == ["api-key:/team/news/"]
        assert {url.removeprefix(address)[:11] for url in browser.requests() if url.startswith("http")} == {
            "/team/news/"
        }
        browser.go("about:blank")


# -- code -----------------------------------------------------------------------------------------------------------

DIALECTS = ["native", "tei", "huggingface", "vllm", "infinity", "kserve", "openai"]


def code(page: Page, dialect: str, language: str) -> str:
    page.value(
        f"(s => {{ s.value = '{dialect}'; s.dispatchEvent(new Event('change')); }})"
        "(document.getElementById('code-dialect'))"
    )
    page.value(f"document.querySelector('input[value=\"{language}\"]').click()")
    return page.read("code-text")


def best(dialect: str, answer: Any) -> str:
    """The label that a dialect's answer puts first."""
    if dialect == "native":
        return str(answer["data"][0]["label"])
    if dialect == "vllm":
        return str(answer["data"][0]["label"])
    if dialect == "infinity":
        return str(answer["data"][0][0]["label"])
    if dialect == "kserve":
        return str(answer["outputs"][0]["data"][0])
    if dialect == "openai":
        scores = answer["results"][0]["category_scores"]
        return str(max(scores, key=scores.__getitem__))
    return str((answer[0] if dialect == "huggingface" else answer)[0]["label"])


@pytest.fixture(scope="module")
def shown(browser: Browser, server: ServerProcess) -> dict[tuple[str, str], str]:
    """All the code, with a key and a text that is hard to quote."""
    page = Page(browser, server.api)
    page.open(until="")
    enter(page, KEY)
    page.wait(f"{page.text('state-text')} === 'Ready'")
    page.value(
        f"(t => {{ t.value = {json.dumps(TEXT)}; t.dispatchEvent(new Event('input')); }})"
        "(document.getElementById('text-input'))"
    )
    options = page.value("[...document.getElementById('code-dialect').options].map(option => option.value)")
    assert options == DIALECTS
    return {(name, lang): code(page, name, lang) for name in DIALECTS for lang in ("curl", "python", "javascript")}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_curl(shown: dict[tuple[str, str], str], dialect: str, tmp_path: Path) -> None:
    script = shown[dialect, "curl"]
    assert "\u202e" not in script
    found = subprocess.run(
        ["bash", "-euc", script], env={"PATH": os.environ["PATH"], "API_KEY": KEY, "HOME": str(tmp_path)},
        capture_output=True, timeout=60, check=True,
    )  # fmt: skip
    assert best(dialect, json.loads(found.stdout)) == "crude"


@pytest.mark.parametrize("dialect", DIALECTS)
def test_python(shown: dict[tuple[str, str], str], dialect: str) -> None:
    script = shown[dialect, "python"]
    assert "\u202e" not in script
    found = subprocess.run(
        [sys.executable, "-c", script], env={**os.environ, "API_KEY": KEY}, capture_output=True, text=True, timeout=60,
        check=True,
    )  # fmt: skip
    if dialect == "huggingface":
        assert found.stdout.splitlines()[0].startswith("crude 0.8")
        assert len(found.stdout.splitlines()) == 3
    elif dialect == "openai":
        assert "crude=True" in found.stdout or "'crude': True" in found.stdout
    else:
        assert best(dialect, ast.literal_eval(found.stdout)) == "crude"


@pytest.mark.parametrize("dialect", [name for name in DIALECTS if name != "openai"])
def test_javascript(browser: Browser, shown: dict[tuple[str, str], str], dialect: str) -> None:
    """By the browser, which stands in for Node."""
    script = shown[dialect, "javascript"]
    assert "\u202e" not in script
    told = browser.value(
        f"(async () => {{ const process = {{env: {{API_KEY: {json.dumps(KEY)}}}}}; const told = [];"
        f" const console = {{log: value => told.push(value)}}; {script}\n return told; }})()"
    )
    assert best(dialect, told[0]) == "crude"


def test_the_clients_own_javascript(shown: dict[tuple[str, str], str], server: ServerProcess) -> None:
    script = shown["openai", "javascript"]
    assert script.startswith('import OpenAI from "openai";')
    assert f'baseURL: "{server.api}/v1"' in script
    assert "apiKey: process.env.API_KEY" in script


def test_code_can_be_copied(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start().api)
    browser.call("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"])
    page.open()
    page.value("document.getElementById('code-copy').focus()")
    page.click("code-copy")
    page.wait(f"{page.text('code-copy')} !== 'Copy'")
    assert page.read("code-copy") in ("Copied", "Press Ctrl C")
    page.wait(f"{page.text('code-copy')} === 'Copy'")
    assert "API_KEY" not in page.read("code-text")
