"""One text, and what the model says of it."""

from __future__ import annotations

import re

import pytest

from support.browser import Browser
from support.playground_page import Page, ServerFactory

pytestmark = pytest.mark.browser


def test_a_text_gets_its_probabilities(page: Page) -> None:
    page.open()
    assert page.read("name") == page.value("document.title") == "news"
    assert page.read("summary") == "Multiclass · 4 labels · up to 64 tokens"
    assert page.classify("crude and trade and crude") == "crude, 95.5%"
    bars = page.bars()
    assert [bar[0] for bar in bars] == ["crude", "trade", "earn", "acq"]
    assert [bar[2] for bar in bars] == [True, False, False, False]
    assert [bar[3] for bar in bars] == [None] * 4
    facts = page.value(
        "Object.fromEntries([...document.querySelectorAll('.facts div')].map(f => f.innerText.split('\\n')))"
    )
    assert facts["Tokens"] == "5"
    assert re.fullmatch(r"[\d.]+ m?s", facts["Server"])
    assert re.fullmatch(r"[\d.]+ m?s", facts["Total"])
    page.assert_quiet()


def test_labels_over_their_thresholds_are_marked(browser: Browser, start: ServerFactory) -> None:
    thresholds = {"earn": 0.9, "acq": 0.3}
    page = Page(browser, start({"task": "Multilabel", "thresholds": thresholds}).api).open()
    assert page.classify("earn acq crude") == "acq, 78.6%; crude, 75.0%"
    assert page.bars() == [
        ["earn", "81.8%", False, "90.00%"],
        ["acq", "78.6%", True, "30.00%"],
        ["crude", "75.0%", True, "50.00%"],
        ["trade", "10.9%", False, "50.00%"],
    ]
    assert page.classify("nothing") == "No label reaches its threshold."
    assert page.value("document.querySelector('.predicted').textContent") == "none of the labels"
    page.assert_quiet()


def test_binary_says_what_it_is_not(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start({"task": "Binary", "labels": ["spam"], "thresholds": {"spam": 0.6}}).api).open()
    assert page.classify("spam") == "spam, 94.3%"
    assert page.classify("ham") == "No label reaches its threshold."
    assert page.value("document.querySelector('.predicted').textContent") == "not spam"
    assert page.bars() == [["spam", "45.0%", False, "60.00%"]]


def test_of_many_labels_the_likeliest_are_shown(browser: Browser, start: ServerFactory) -> None:
    labels = [str(number) for number in reversed(range(90))]  # which JavaScript would sort as numbers
    page = Page(browser, start({"labels": labels}).api).open()
    page.classify("88 88 86")
    assert [bar[0] for bar in page.bars()[:2]] == ["88", "86"]
    assert len(page.bars()) == 10
    page.value("document.querySelector('#answer-body button').click()")
    assert len(page.bars()) == 90
    page.run_file("many.csv", "text,label\n88 88,88\n85,85\n")
    assert page.tiles()["Accuracy"] == "100%"


def test_a_text_that_is_cut_can_be_read_whole(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start({"max_length": 8}).api).open()
    assert page.classify(f"earn {'and ' * 20}crude crude crude").startswith("earn")
    assert "longer than the 8 tokens that the model reads" in page.read("answer-body")
    page.value("document.querySelector('#answer .note button').click()")
    page.wait("document.querySelector('#answer .note:not(.warn):not(.bad)')")
    assert page.read("answer-said").startswith("crude")
    assert page.classify("earn").startswith("earn")
    assert page.value("document.querySelector('#answer-body .note')") is None


@pytest.mark.parametrize(("text", "message"), [("", "Write a text first."), (" \n", "Write a text first.")])
def test_without_a_text_nothing_is_asked(page: Page, text: str, message: str) -> None:
    page.open()
    page.write(text)
    page.click("text-button")
    assert page.read("answer-error") == message
    assert not any("v1/classification" in url for url in page.browser.requests())


def test_an_error_of_the_server_is_told(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start({"fail_at": "boom"}).api).open()
    page.write("boom")
    page.click("text-button")
    page.wait("!document.getElementById('answer-error').hidden")
    assert page.read("answer-error").startswith("The request could not be computed")
    assert page.classify("earn").startswith("earn")
    assert not page.seen("answer-error")


def test_waiting_is_told_and_can_be_cancelled(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start({"seconds_per_batch": 4.0}).api).open()
    page.write("earn")
    page.click("text-button")
    page.wait(f"{page.text('answer-body')} === 'Waiting for the answer…'")
    assert page.read("text-button") == "Cancel"
    page.click("text-button")
    page.wait(f"{page.text('text-button')} === 'Classify'")
    assert page.read("answer-body") == "Cancelled."


def test_the_page_waits_for_the_model(browser: Browser, start: ServerFactory) -> None:
    server = start({"load_seconds": 4.0}, ready=False)
    page = Page(browser, server.api).open(until="Loading: counting words")
    assert page.read("name") == "news"
    page.write("earn")
    page.click("text-button")
    page.wait(f"{page.text('answer-body')}.includes('The model is not ready yet')")
    page.wait(f"{page.text('state-text')} === 'Ready'")
    page.wait(f"{page.text('answer-said')}.startsWith('earn')")
