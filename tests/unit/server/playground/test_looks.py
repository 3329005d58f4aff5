"""Whether the page can be read and used: sizes, colours, keyboard, names for screen readers."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest

from support.browser import Browser
from support.playground_page import Page, ServerFactory
from support.sample_run import R8, sample_run

pytestmark = pytest.mark.browser

NAMED = {
    "button", "textbox", "combobox", "radio", "tab", "link", "table", "image", "progressbar", "dialog", "tabpanel",
}  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 360])
def test_every_part_fits(
    browser: Browser, start: ServerFactory, run: Path, width: int, scheme: Literal["light", "dark"], tmp_path: Path
) -> None:
    long = [f"a label with a name of some length and {'x' * 60}{place}" for place in range(30)]
    folder = sample_run(tmp_path / "run", labels=long, rows=90, steps=9) / "checkpoints" / "epoch-3"
    small = start({"labels": R8, "folder": str(run / "checkpoints" / "epoch-3")}, checkpoint="epoch-3")
    large = start({"labels": long, "folder": str(folder)}, name="n" * 60)
    for server in (small, large):
        page = Page(browser, server.api).open(scheme=scheme, width=width)
        page.classify(f"crude {'x' * 300} trade")
        page.run_file("file.csv", f"text,label\n{'x' * 900},{long[0]}\ncrude,crude\n,earn\n")
        for part in ("text", "file", "model"):
            page.value(f"location.hash = '#{part}'")
            page.wait(f"document.getElementById('panel-{part}').getClientRects().length")
            assert page.value("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0, part
        page.assert_quiet()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_can_be_read(page: Page, scheme: Literal["light", "dark"]) -> None:
    page.open(scheme=scheme)
    colours = page.value(
        "(s => Object.fromEntries([...document.styleSheets[0].cssRules[0].style].filter(n => n.startsWith('--'))"
        ".map(n => [n.slice(2), s.getPropertyValue(n).trim()])))(getComputedStyle(document.documentElement))"
    )

    def light(name: str) -> float:
        parts = [int(colours[name][at : at + 2], 16) / 255 for at in (1, 3, 5)]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    for front, back, least in [
        ("text", "page", 7), ("text", "card", 7), ("text", "note-back", 7), ("muted", "page", 4.5),
        ("muted", "card", 4.5),
        ("accent", "card", 4.5), ("accent", "soft", 4.5), ("on-accent", "accent", 4.5), ("bad", "bad-back", 4.5),
        ("warn", "warn-back", 4.5), ("accent", "warn-back", 4.5), ("bad", "page", 4.5), ("on-deep", "right", 4.5),
        ("on-deep", "wrong", 3), ("good", "page", 3), ("busy", "page", 3), ("edge", "card", 1.5),
        ("faint", "track", 1.5), ("accent", "track", 3),
    ]:  # fmt: skip
        high, low = sorted((light(front), light(back)), reverse=True)
        assert (high + 0.05) / (low + 0.05) >= least, f"{front} on {back}"


def test_the_keyboard_is_enough(page: Page) -> None:
    page.open()
    page.value("document.getElementById('tab-text').focus()")
    for key, tab in (("ArrowRight", "file"), ("ArrowRight", "model"), ("ArrowRight", "text"), ("ArrowLeft", "model"),
                     ("Home", "text"), ("End", "model"), ("Home", "text")):  # fmt: skip
        page.key(key)
        page.wait("document.activeElement.getAttribute('aria-selected') === 'true'")
        assert page.value("[document.activeElement.id, location.hash]") == [f"tab-{tab}", f"#{tab}"]
        assert page.seen(f"panel-{tab}")
    page.key("Tab")
    assert page.value("document.activeElement.id") == "text-input"
    page.browser.call("Input.insertText", text="earn")
    page.key("Enter", modifiers=2)
    page.wait(f"{page.text('answer-said')}.startsWith('earn')")
    reached: list[Any] = []
    for _ in range(5):
        page.key("Tab")
        reached.append(page.value("document.activeElement.id || document.activeElement.name"))
    assert reached == ["text-button", "code-dialect", "language", "code-text", "code-copy"]


def test_everything_that_can_be_used_has_a_name(browser: Browser, start: ServerFactory, run: Path) -> None:
    folder = run / "checkpoints" / "epoch-3"
    page = Page(browser, start({"labels": R8, "folder": str(folder)}, checkpoint="epoch-3").api).open()
    page.classify("crude")
    seen = set()
    for part in ("text", "file", "model"):
        if part == "file":
            page.run_file("file.csv", "text,label\ncrude,crude\n,earn\n")
        page.value(f"location.hash = '#{part}'")
        page.wait(f"document.getElementById('panel-{part}').getClientRects().length")
        for node in browser.call("Accessibility.getFullAXTree")["nodes"]:
            role = node.get("role", {}).get("value")
            if role in NAMED:
                seen.add(role)
                assert node["name"]["value"].strip(), node
    assert seen >= {"button", "textbox", "combobox", "radio", "tab", "table", "image", "progressbar", "tabpanel"}
    assert page.value("document.documentElement.lang") == "en"
    assert page.value("document.querySelectorAll('h1').length") == 1
