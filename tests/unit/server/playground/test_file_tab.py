"""Files of texts, and what becomes of them."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from support.browser import Browser
from support.playground_page import Page, ServerFactory

pytestmark = pytest.mark.browser

CSV = (
    'id,text,label\n1,"crude and, ""more""",crude\n2,earn well,earn\n3,"trade\nand trade",acq\n4,nothing of it,crude\n'
)


def test_a_file_is_classified_and_judged(page: Page, downloads: Path) -> None:
    page.open()
    page.drop("march.csv", CSV)
    assert page.value("location.hash") == "#file"
    assert page.read("file-facts") == "4 rows · 107 B"
    assert page.value("[...document.querySelectorAll('.sample li')].map(li => li.textContent)") == [
        'crudecrude and, "more"', "earnearn well", "acqtrade\nand trade",
    ]  # fmt: skip
    page.click("file-start")
    page.wait("document.getElementById('file-cancel').hidden")
    assert page.tiles() == {"Accuracy": "50.0%", "Macro F1": "0.333", "Classified": "4"}
    assert page.rows() == [
        ["2", 'crude and, "more"', "crude", "crude", "85.0%"],
        ["3", "earn well", "earn", "earn", "90.8%"],
        ["4", "trade\nand trade", "acq", "trade\n(wrong)", "98.9%"],
        ["6", "nothing of it", "crude", "earn\n(wrong)", "32.9%"],
    ]
    page.value("document.querySelector('input[value=\"wrong\"]').click()")
    assert [row[0] for row in page.rows()] == ["4", "6"]
    matrix = page.value("[...document.querySelectorAll('.heat g title')].map(title => title.textContent)")
    assert "acq taken for trade: 1 of 1 row (100%)" in matrix
    raw = page.download("CSV", downloads)
    assert raw.startswith(b"\xef\xbb\xbfid,text,label,predicted,probability,correct,p(earn),")
    rows = list(csv.DictReader(io.StringIO(raw.decode("utf-8-sig"), newline="")))
    assert [row["text"] for row in rows] == ['crude and, "more"', "earn well", "trade\nand trade", "nothing of it"]
    assert [row["predicted"] for row in rows] == ["crude", "earn", "trade", "earn"]
    assert [row["correct"] for row in rows] == ["true", "true", "false", "false"]
    assert sum(float(rows[0][f"p({label})"]) for label in ("earn", "acq", "crude", "trade")) == pytest.approx(
        1, abs=1e-5
    )
    lines = [json.loads(line) for line in page.download("JSONL", downloads).splitlines()]
    predicted = lines[1].pop("predicted")
    assert lines[1] == {"id": "2", "text": "earn well", "label": "earn", "correct": True}
    assert predicted["probs"]["earn"] == pytest.approx(float(rows[1]["p(earn)"]))
    page.assert_quiet()


def test_rows_that_fail_are_told_apart(browser: Browser, start: ServerFactory, downloads: Path) -> None:
    page = Page(browser, start({"fail_at": "boom", "task": "Multilabel"}).api).open()
    texts = ["earn", "earn boom", "", "earn acq", *["acq"] * 40]
    content = "".join(json.dumps({"input": text, "completion": {"earn": 1}}) + "\n" for text in texts) + "{\n"
    page.drop("rows.jsonl", content)
    assert page.read("file-faults") == "2 rows cannot be classified; the first: line 3 has an empty text."
    page.click("file-start")
    page.wait("document.getElementById('file-cancel').hidden")
    assert page.tiles() == {"Accuracy": "2.4%", "Macro F1": "0.045", "Classified": "42", "Failed": "3"}
    page.value("document.querySelector('input[value=\"failed\"]').click()")
    assert [row[0] for row in page.rows()] == ["2", "3", "45"]
    assert page.rows()[0][-1].startswith("The request could not be computed")
    lines = [json.loads(line) for line in page.download("JSONL", downloads).splitlines()]
    assert len(lines) == 45
    assert lines[2] == {"input": "", "completion": {"earn": 1}, "error": "line 3 has an empty text"}
    assert lines[3]["predicted"]["labels"] == ["earn", "acq"]


def test_other_columns_can_be_chosen(page: Page) -> None:
    page.open()
    page.drop("odd.csv", "headline;topic;text\ncrude;crude;earn\ntrade;nonsense;earn\n")
    assert page.value("document.getElementById('file-expected').value") == ""
    for column, name in (("text", "headline"), ("expected", "topic")):
        page.value(
            f"(s => {{ s.value = '{name}'; s.dispatchEvent(new Event('change')); }})"
            f"(document.getElementById('file-{column}'))"
        )
    assert page.read("file-others") == "The model has no label “nonsense”."
    page.click("file-start")
    page.wait("document.getElementById('file-cancel').hidden")
    assert [row[2:4] for row in page.rows()] == [["crude", "crude"], ["nonsense", "trade\n(wrong)"]]
    assert page.tiles()["Accuracy"] == "50.0%"


def test_a_long_file_can_be_cancelled_and_continued(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start({"seconds_per_batch": 0.3}).api).open()
    page.drop("long.csv", "text,label\n" + "earn,earn\n" * 400)
    page.click("file-start")
    page.wait("document.getElementById('file-bar').value >= 64")
    assert page.tiles()["Accuracy"] == "100%"
    assert "left" in page.read("file-pace")
    page.click("file-cancel")
    page.wait("!document.getElementById('file-stopped').hidden")
    done = page.value("document.getElementById('file-bar').value")
    assert 64 <= done < 400
    assert page.read("file-stopped") == "Cancelled. What was answered so far stands below."
    assert page.read("file-start") == f"Classify the other {400 - done} rows"
    page.value("document.querySelector('#file-results .card:last-child > .link').click()")
    assert len(page.rows()) == min(100, done)
    page.click("file-start")
    page.wait("document.getElementById('file-bar').value === 400")
    page.wait("document.getElementById('file-cancel').hidden")
    assert page.tiles() == {"Accuracy": "100%", "Macro F1": "1.000", "Classified": "400"}
    sizes = [
        len(json.loads(event["params"]["request"]["postData"])["input"])
        for event in browser.events
        if event["method"] == "Network.requestWillBeSent" and event["params"]["request"]["method"] == "POST"
    ]
    assert set(sizes[:-1]) <= {32, 400 - done - 32 * ((400 - done) // 32)}
    assert sum(sizes) >= 400


def test_a_small_queue_is_respected(browser: Browser, start: ServerFactory) -> None:
    page = Page(browser, start(server={"maxQueue": 8}).api).open()
    page.run_file("rows.csv", "text,label\n" + "earn,earn\n" * 70)
    assert page.tiles() == {"Accuracy": "100%", "Macro F1": "1.000", "Classified": "70"}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [("empty.csv", " ", "The file is empty."), ("head.csv", "text\n", "The file has no rows.")],
)
def test_a_file_without_rows_is_refused(page: Page, name: str, content: str, message: str) -> None:
    page.open()
    page.drop(name, content)
    assert page.read("file-error") == message
    assert page.seen("drop")
