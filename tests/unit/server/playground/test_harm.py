"""Names and texts that mean harm, and what the page may do at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.browser import Browser
from support.playground_page import Page, ServerFactory
from support.sample_run import sample_run

pytestmark = pytest.mark.browser

HOSTILE = ["<img/src=x/onerror=window.evil=1>", "</script><script>window.evil=2</script>", "__proto__", "=cmd|'/c'!A1"]


def test_hostile_names_and_texts_are_only_shown(
    browser: Browser, start: ServerFactory, downloads: Path, tmp_path: Path
) -> None:
    folder = sample_run(tmp_path / "run", labels=HOSTILE, rows=60, steps=9) / "checkpoints" / "epoch-3"
    page = Page(browser, start({"labels": HOSTILE, "folder": str(folder)}).api).open()
    for label in HOSTILE:
        assert page.classify(f"{label} <b>bold</b>").startswith(label)
        assert page.bars()[0][0] == label
    page.value("location.hash = '#model'")
    page.wait("document.querySelector('.heat')")
    assert page.value("[...document.querySelectorAll('.figures tbody th')].map(th => th.textContent)") == HOSTILE
    rows = "".join(
        json.dumps({"text": f"{label} <script>window.evil = 3</script>", "label": label}) + "\n" for label in HOSTILE
    )
    page.run_file(f"{HOSTILE[0].replace('/', '')}.jsonl", rows)
    assert page.tiles()["Accuracy"] == "100%"
    assert [row[3] for row in page.rows()] == HOSTILE
    written = page.download("CSV", downloads).decode()
    assert "\n'=cmd" in written.replace("\r", "") or ",'=cmd" in written
    assert ",=cmd" not in written
    assert page.value("document.querySelectorAll('main img, main script').length") == 0
    assert page.value("Object.prototype.label") is None
    page.assert_quiet()


def test_the_policy_forbids_markup_and_scripts(page: Page) -> None:
    page.open()
    assert (
        page.value(
            "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'made'; } catch (e) { return e.name; } })()"
        )
        == "TypeError"
    )
    page.value(
        "(() => { const style = document.createElement('style'); style.textContent = 'body { opacity: 0 }';"
        " document.head.append(style); })()"
    )
    assert page.value("getComputedStyle(document.body).opacity") == "1"
    assert page.value("fetch('http://127.0.0.1:9/').then(() => 'sent', e => e.name)") == "TypeError"
    assert any("Content Security Policy" in complaint for complaint in page.browser.complaints())
