"""A browser, and servers of models that count words."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browser import Browser
from support.keyword_server import ENVIRONMENT_VARIABLE
from support.playground_page import Page, ServerFactory
from support.sample_run import sample_run
from support.server_process import ServerProcess, running

LABELS = ["earn", "acq", "crude", "trade"]


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="session")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerFactory]:
    """`start(model, **configuration)`: a server of keyword_server's `model`; one for each pair, however often asked."""
    known: dict[str, ServerProcess] = {}
    with contextlib.ExitStack() as stack:

        def make(model: dict[str, Any] | None = None, *, ready: bool = True, **configuration: Any) -> ServerProcess:
            model = {"task": "Multiclass", "labels": LABELS, **(model or {})}
            document = {"version": "v1alpha1", "name": "news", "model": {"uri": "pvc://out/model"}, **configuration}
            name = json.dumps([model, document])
            if name not in known:
                path = tmp_path_factory.mktemp("server") / "config.json"
                path.write_text(json.dumps(document))
                with pytest.MonkeyPatch.context() as patch:
                    patch.setenv(ENVIRONMENT_VARIABLE, json.dumps(model))
                    started = running(["--config", str(path)], python=("-m", "support.keyword_server"))
                    known[name] = stack.enter_context(started)
                (known[name].wait_until_ready if ready else known[name].wait_until_listening)()
            return known[name]

        yield make


@pytest.fixture
def page(browser: Browser, start: ServerFactory) -> Page:
    """The page of a model of four labels."""
    return Page(browser, start().api)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of a run on R8."""
    return sample_run(tmp_path_factory.mktemp("run"), rows=300, steps=30)


@pytest.fixture
def downloads(browser: Browser, tmp_path: Path) -> Path:
    """The folder that the browser puts files in."""
    browser.call("Page.setDownloadBehavior", behavior="allow", downloadPath=str(tmp_path))
    return tmp_path
