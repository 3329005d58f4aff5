"""report.html in a real browser: what it loads, complains of, shows, and does when it is clicked."""

from __future__ import annotations

import http.server
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import pytest

from classifier_trainer.output.report import write_report
from support.browser import Browser
from support.sample_run import sample_run

pytestmark = pytest.mark.browser

PANELS = ["overview", "training", "quality", "calibration", "data", "rows", "configuration"]
HOSTILE = [
    "</script><script>window.evil = 1</script>",
    "<img src=x onerror='window.evil = 2'>",
    "שלום עולם",
    "x" * 100_000,
]
_PNG = b"\x89PNG"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with Browser() as started:
        yield started


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    return write_report(sample_run(folder, texts=HOSTILE, functions={"f": {"error": HOSTILE[0]}}))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    labels = [f"a label with a name of some length, number {place}" for place in range(300)]
    return write_report(sample_run(tmp_path_factory.mktemp("large"), labels=labels, rows=300, steps=2000, epochs=12))


def visible(browser: Browser) -> list[str]:
    return list(browser.value("[...document.querySelectorAll('.panel')].filter(p => p.offsetHeight).map(p => p.id)"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
@pytest.mark.parametrize("which", ["report", "large"])
def test_every_part_fits_and_nothing_is_asked_for(
    browser: Browser,
    request: pytest.FixtureRequest,
    which: str,
    width: int,
    scheme: Literal["light", "dark"],
) -> None:
    path: Path = request.getfixturevalue(which)
    browser.open(path, scheme=scheme, width=width, phone=width < 600)
    for panel in PANELS:
        browser.value(f"document.getElementById('tab-{panel}').click()")
        assert visible(browser) == [panel]
        assert browser.value("document.documentElement.scrollWidth - innerWidth") <= 0, panel
    assert browser.complaints() == []
    assert browser.requests() == [path.as_uri()]
    assert browser.value("window.evil") is None


def test_schemes_look_different(browser: Browser, report: Path, tmp_path: Path) -> None:
    backs = {}
    schemes: tuple[Literal["light", "dark"], ...] = ("light", "dark")
    for scheme in schemes:
        browser.open(report, scheme=scheme)
        backs[scheme] = browser.value("getComputedStyle(document.body).backgroundColor")
        browser.screenshot(tmp_path / f"{scheme}.png", whole=False)
    assert (tmp_path / "light.png").read_bytes()[:4] == _PNG
    assert (tmp_path / "light.png").read_bytes() != (tmp_path / "dark.png").read_bytes()
    light, dark = (sum(map(int, re.findall(r"\d+", backs[scheme])[:3])) for scheme in schemes)
    assert light > 3 * 200
    assert dark < 3 * 50


def test_texts_are_shown_as_they_are(browser: Browser, report: Path) -> None:
    browser.open(report)
    shown = browser.value("[...document.querySelectorAll('.rows .text')].map(text => text.textContent)")
    assert shown[:3] == HOSTILE[:3]
    assert browser.value("document.images.length") == 0
    assert browser.value("document.scripts.length") == 1
    assert browser.value("getComputedStyle(document.querySelectorAll('.rows .text')[2]).direction") == "rtl"


def test_tabs_by_address_and_by_keys(browser: Browser, report: Path) -> None:
    browser.open(report)
    assert visible(browser) == ["overview"]
    browser.value("location.hash = '#quality'")
    browser.value("new Promise(done => setTimeout(done, 50))")
    assert visible(browser) == ["quality"]
    browser.value("document.getElementById('tab-quality').focus()")
    for kind in ("keyDown", "keyUp"):
        browser.call("Input.dispatchKeyEvent", type=kind, key="ArrowRight", code="ArrowRight")
    assert visible(browser) == ["calibration"]
    assert browser.value("document.activeElement.id") == "tab-calibration"
    assert browser.value("document.activeElement.getAttribute('aria-selected')") == "true"


def test_tables_are_sorted_and_searched(browser: Browser, large: Path) -> None:
    browser.open(large)
    browser.value("document.getElementById('tab-quality').click()")
    table = "[...document.querySelectorAll('table')].find(t => t.caption.textContent.startsWith('Labels'))"
    column = f"[...{table}.tHead.rows[0].cells].findIndex(c => c.textContent.startsWith('F1'))"
    values = f"[...{table}.tBodies[0].rows].map(r => r.cells[{column}].textContent.trim())"
    for way in ("descending", "ascending"):
        browser.value(f"{table}.tHead.rows[0].cells[{column}].querySelector('button').click()")
        assert browser.value(f"{table}.tHead.rows[0].cells[{column}].ariaSort") == way
        found = [-1.0 if value == "–" else float(value) for value in browser.value(values)]
        assert found == sorted(found, reverse=way == "descending")
        assert len(set(found)) > 2
    browser.value(
        f"const f = {table}.querySelector('input'); f.value = 'number 29'; f.dispatchEvent(new Event('input'))"
    )
    assert browser.value(f"[...{table}.tBodies[0].rows].filter(r => r.offsetHeight).length") == 11  # 29, 290 to 299


def test_charts_say_what_is_under_the_pointer(browser: Browser, report: Path) -> None:
    browser.open(report)
    browser.value("document.getElementById('tab-training').click()")
    place = browser.value(
        "(() => { const svg = document.querySelector('#training .broad svg'); svg.scrollIntoView();"
        " const [x, y] = JSON.parse(svg.dataset.hover)[60];"
        " const p = new DOMPoint(x, y).matrixTransform(svg.getScreenCTM()); return [p.x, p.y]; })()"
    )
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=place[0], y=place[1])
    assert re.fullmatch(r"loss: \d\.\d+ at update \d+", browser.value("document.getElementById('tip').textContent"))
    assert browser.value("document.getElementById('tip').hidden") is False
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=2, y=2)
    assert browser.value("document.getElementById('tip').hidden") is True


def test_without_scripts_everything_is_there(browser: Browser, report: Path) -> None:
    browser.scripts(False)
    try:
        browser.open(report)
        assert visible(browser) == PANELS
        assert browser.value("document.querySelectorAll('th button, input').length") == 0
    finally:
        browser.scripts(True)


def test_paper_has_all_parts(browser: Browser, report: Path) -> None:
    browser.open(report, scheme="dark")
    browser.media(scheme="dark", kind="print")
    assert visible(browser) == PANELS
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.value("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    printed = browser.pdf()
    assert printed[:5] == b"%PDF-"
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 5


def test_a_web_server_may_show_it(browser: Browser, report: Path) -> None:
    """Over http, where a page could ask its own server for more: it asks for nothing."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_request(self, *_: object) -> None:
            asked.append(self.path)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(report.parent))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            browser.go(f"http://127.0.0.1:{server.server_port}/report.html")
            browser.value("document.getElementById('tab-quality').click()")
            assert browser.complaints() == []
        finally:
            server.shutdown()
            thread.join()
    assert asked == ["/report.html"]
