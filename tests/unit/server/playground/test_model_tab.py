"""The model card."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.browser import Browser
from support.playground_page import Page, ServerFactory
from support.sample_run import R8

pytestmark = pytest.mark.browser


def test_the_card_shows_the_test(browser: Browser, start: ServerFactory, run: Path) -> None:
    folder = run / "checkpoints" / "epoch-3"
    metrics = json.loads((folder / "test" / "metrics.json").read_text())
    page = Page(browser, start({"labels": R8, "folder": str(folder)}, checkpoint="epoch-3").api).open()
    assert page.read("checkpoint") == "epoch-3"
    page.value("location.hash = '#model'")
    page.wait("document.querySelector('#model-body .tiles')")
    shown = page.value("document.getElementById('model-body').innerText")
    numbers = (f"{100 * metrics['accuracy']:.1f}%", f"{metrics['macroF1']:.3f}")
    for text in (*numbers, "pvc://out/model", "2 CPUs", "float32", "hf://org/tiny at 0123abc"):
        assert text in shown
    table = page.value(
        "[...document.querySelectorAll('.figures tbody tr')].map(r => [...r.cells].map(c => c.textContent))"
    )
    assert table == [
        [label, *(f"{metrics['labels'][label][name]:.3f}" for name in ("precision", "recall", "f1")),
         str(metrics["labels"][label]["support"])]
        for label in R8
    ]  # fmt: skip
    cells = page.value("[...document.querySelectorAll('.heat g text')].map(t => Number(t.textContent))")
    assert cells == [rows for line in metrics["confusion"]["matrix"] for rows in line if rows]
    dots = page.value("document.querySelectorAll('.reliability circle').length")
    assert dots == len(metrics["reliability"]["bins"]) > 2
    page.assert_quiet()


def test_a_card_without_a_test_shows_what_there_is(page: Page) -> None:
    page.open()
    page.value("location.hash = '#model'")
    page.wait("document.querySelector('#model-body h2')")
    assert page.value("[...document.querySelectorAll('#model-body h2')].map(h => h.textContent)") == ["About", "Labels"]
    assert page.value("[...document.querySelectorAll('#model-body .tag')].map(h => h.textContent)") == [
        "earn",
        "acq",
        "crude",
        "trade",
    ]
