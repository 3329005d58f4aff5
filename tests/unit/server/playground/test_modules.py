"""The page's pure modules, in the engine that runs them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from classifier_artifacts.classifier_json import Task
from classifier_trainer.evaluate.counts import count
from support.browser import Browser
from support.playground_page import Page, ServerFactory

pytestmark = pytest.mark.browser


class Modules:
    """Evaluates expressions with a module's exports in scope."""

    def __init__(self, browser: Browser, base: str) -> None:
        self.browser = browser
        self.base = base

    def __call__(self, module: str, expression: str, **values: Any) -> Any:
        """`m` is the module, `v` are the values."""
        script = (
            f"(async () => {{ const m = await import('{self.base}/playground/{module}.js');"
            f" const v = {json.dumps(values)}; try {{ return {{ok: {expression}}}; }}"
            f" catch (error) {{ return {{error: error.message}}; }} }})()"
        )
        answer: dict[str, Any] = self.browser.value(script)
        return answer.get("ok", answer.get("error"))


@pytest.fixture(scope="module")
def js(browser: Browser, start: ServerFactory) -> Modules:
    server = start()
    Page(browser, server.api).load()
    return Modules(browser, server.api)


# -- files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "columns", "rows"),
    [
        ("text,label\na,x\nb,y\n", ["text", "label"], [[2, ["a", "x"]], [3, ["b", "y"]]]),
        ("text,label\r\na,x\r\nb,y", ["text", "label"], [[2, ["a", "x"]], [3, ["b", "y"]]]),
        ("label;text\nx;a, and b\n", ["label", "text"], [[2, ["x", "a, and b"]]]),
        ("text\tlabel\na\tx\n", ["text", "label"], [[2, ["a", "x"]]]),
        ('text,label\n"a ""b"", c",x\n', ["text", "label"], [[2, ['a "b", c', "x"]]]),
        ('text,label\n"two\nlines",x\nb,y\n', ["text", "label"], [[2, ["two\nlines", "x"]], [4, ["b", "y"]]]),
        ('text,label\n"two\r\nlines",x\nb,y\n', ["text", "label"], [[2, ["two\r\nlines", "x"]], [4, ["b", "y"]]]),
        ("text,label\n\na,x\n\n\nb,y\n\n", ["text", "label"], [[3, ["a", "x"]], [6, ["b", "y"]]]),
        ('text,label\n"",x\n', ["text", "label"], [[2, ["", "x"]]]),
        ("text,label\n,x\n", ["text", "label"], [[2, ["", "x"]]]),
        ("a,b,text\n1,2,c\n", ["a", "b", "text"], [[2, ["1", "2", "c"]]]),
        (" text , label \na,x\n", ["text", "label"], [[2, ["a", "x"]]]),
        ("text,,text\na,b,c\n", ["text", "column 2", "text (2)"], [[2, ["a", "b", "c"]]]),
        ("only\na\n", ["only"], [[2, ["a"]]]),
        ('{"text": "a", "label": 1}\n\n{"text": "b"}\n', ["text", "label"], [[1, ["a", 1]], [3, ["b", None]]]),
        ('[{"text": "a"}, "b"]', ["text"], [[1, ["a"]], [2, ["b"]]]),
        ('["a", "b"]', ["text"], [[1, ["a"]], [2, ["b"]]]),
        ('{"__proto__": "a", "constructor": "b"}', ["__proto__", "constructor"], [[1, ["a", "b"]]]),
    ],
)
def test_files_are_read(js: Modules, content: str, columns: list[str], rows: list[Any]) -> None:
    found = js(
        "rows",
        "(t => [t.columns, t.rows.map(r => [r.line, t.columns.map(c => m.valueOf(r, c) ?? null)])])"
        "(m.parse(v.content))",
        content=content,
    )
    assert found == [columns, rows]


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("text,label\na,x\nb,y,z\n", [3, "has 3 columns and the header 2: quote a text that holds the separator"]),
        ("text,label\na,x\nb\n", [3, "has 1 columns and the header 2: quote a text that holds the separator"]),
        ('{"text": "a"}\n{"text": \n', [2, "is not JSON"]),
        ('{"text": "a"}\n7\n', [2, 'is no object: write {"text": "…"}']),
        ('[{"text": "a"}, null]', [2, 'is no object: write {"text": "…"}']),
    ],
)
def test_a_line_that_is_wrong_is_told_by_its_number(js: Modules, content: str, fault: list[Any]) -> None:
    faults = js("rows", "m.parse(v.content).rows.filter(r => r.fault).map(r => [r.line, r.fault])", content=content)
    assert faults == [fault]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "The file is empty."),
        (" \n\r\n", "The file is empty."),
        ("text,label\n", "The file has no rows."),
        ('""', "The file has no rows."),
        ("[]", "The file has no rows."),
        ('text\n"never closed\n', "Line 2 has a quote that is never closed: double a quote inside a text."),
        ("{not json}\n", "No row can be read: line 1 is not JSON."),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_a_sentence(js: Modules, content: str, message: str) -> None:
    assert js("rows", "m.parse(v.content)", content=content) == message


@pytest.mark.parametrize(
    ("raw", "content"),
    [
        ("héllo".encode(), "héllo"),
        (b"\xef\xbb\xbf" + "é".encode(), "é"),
        (b"\xff\xfe" + "é,x".encode("utf-16-le"), "é,x"),
        (b"\xfe\xff" + "é,x".encode("utf-16-be"), "é,x"),
        (b"caf\xe9", "f is not text in UTF-8: save it as “CSV UTF-8”, or as JSONL."),
    ],
)
def test_encodings(js: Modules, raw: bytes, content: str) -> None:
    found = js("rows", "await m.contentOf(new File([new Uint8Array(v.raw)], 'f'))", raw=list(raw))
    assert found == content


@pytest.mark.parametrize(
    ("columns", "text", "expected"),
    [
        (["label", "text"], "text", "label"),
        (["text", "input", "prompt", "completion", "label"], "prompt", "completion"),
        (["input", "expected_output"], "input", "expected_output"),
        (["id", "words"], "words", None),
        (["text"], "text", None),
    ],
)
def test_columns_are_guessed(js: Modules, columns: list[str], text: str, expected: str | None) -> None:
    cells = dict.fromkeys(columns, "1") | {columns[-1]: "the longest of all"}
    table = {"columns": columns, "rows": [{"line": 2, "cells": cells}]}
    assert js("rows", "m.guess(v.table)", table=table) == {"text": text, "expected": expected}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("a text", {"text": "a text"}),
        (" ", {"fault": "has an empty text"}),
        ("", {"fault": "has an empty text"}),
        (None, {"fault": "has no “text”"}),
        (7, {"fault": "has a “text” that is no text"}),
        (["a"], {"fault": "has a “text” that is no text"}),
    ],
)
def test_texts_of_rows(js: Modules, value: Any, found: dict[str, str]) -> None:
    assert js("rows", "m.textOf({cells: {text: v.value}}, 'text')", value=value) == found
    assert js("rows", "m.textOf({cells: {}}, 'toString')") == {"fault": "has no “toString”"}


# -- what is expected -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "value", "expected"),
    [
        ("Multiclass", "a", ["a"]),
        ("Multiclass", " a ", ["a"]),
        ("Multiclass", "other", ["other"]),
        ("Multiclass", 1, ["b"]),
        ("Multiclass", "1", ["b"]),
        ("Multiclass", 7, ["7"]),
        ("Multiclass", {"a": 0, "b": 1}, ["b"]),
        ("Multiclass", '{"a": 1, "b": 0}', ["a"]),
        ("Multiclass", ["b"], ["b"]),
        ("Multiclass", "", None),
        ("Multiclass", None, None),
        ("Multiclass", "[spam]", ["[spam]"]),
        ("Multilabel", "a", ["a"]),
        ("Multilabel", "a|b", ["a", "b"]),
        ("Multilabel", "a; b", ["a", "b"]),
        ("Multilabel", '["a", "b", "a"]', ["a", "b"]),
        ("Multilabel", {"a": 0}, []),
        ("Multilabel", "", []),
        ("Multilabel", [], []),
        ("Multilabel", "x, y", ["x, y"]),
        ("Binary", "a", ["a"]),
        ("Binary", "1", ["a"]),
        ("Binary", 1, ["a"]),
        ("Binary", True, ["a"]),
        ("Binary", 0, []),
        ("Binary", "ham", []),
        ("Binary", "", None),
        ("Binary", {"a": 1}, ["a"]),
        ("Binary", '{"a": 0}', []),
        ("Binary", ["ham"], []),
    ],
)
def test_expected_labels(js: Modules, task: Task, value: Any, expected: list[str] | None) -> None:
    labels = ["a"] if task == "Binary" else ["a", "b"]
    assert js("score", "m.expectedOf(v.value, v.task, v.labels)", value=value, task=task, labels=labels) == expected


@pytest.mark.parametrize("task", ["Binary", "Multiclass", "Multilabel"])
def test_scores_are_those_of_the_trainer(js: Modules, task: Task) -> None:
    random = np.random.default_rng(3)
    labels = ["a"] if task == "Binary" else ["a", "b", "c", "d"]
    if task == "Multiclass":
        expected, predicted = (np.eye(4, dtype=np.int8)[random.integers(0, 3, 50)] for _ in range(2))
    else:
        expected, predicted = (random.integers(0, 2, (50, len(labels)), dtype=np.int8) for _ in range(2))
    counts = count(expected, predicted.astype(np.bool_), task)
    pairs = [
        [[label for label, one in zip(labels, row, strict=True) if one] for row in pair]
        for pair in zip(expected, predicted, strict=True)
    ]
    found = js("score", "m.scores(v.pairs, v.task, v.labels)", pairs=pairs, task=task, labels=labels)
    assert (found["rows"], found["right"]) == (50, counts.right)
    assert found["accuracy"] == pytest.approx(counts.accuracy)
    assert found["macroF1"] == pytest.approx(counts.macro_f1)
    if counts.confusion is None:
        assert found["confusion"] is None
    else:
        names = ["not a", "a"] if task == "Binary" else labels
        assert found["confusion"] == {"labels": names, "matrix": counts.confusion.tolist()}
    assert js("score", "m.scores([], v.task, v.labels)", task=task, labels=labels) is None


# -- sending --------------------------------------------------------------------------------------------------------

_SEND = """await (async () => {
  const items = v.texts.map(text => ({text})), sent = [], slept = [];
  const {ApiError} = await import(location.origin + '/playground/api.js');
  const send = async texts => {
    sent.push(texts.length);
    const fits = r => (r.at ?? sent.length) === sent.length && (r.text === undefined || texts.includes(r.text));
    const rule = v.rules.find(fits);
    if (rule) throw new ApiError(rule.status, rule.message ?? 'no', {
      retryAfter: rule.retryAfter ?? null, field: rule.placed ? `input[${texts.indexOf(rule.text)}]` : null});
    return texts.map(text => text.toUpperCase());
  };
  const signal = new AbortController().signal;
  let error = null;
  try {
    await m.classifyAll(items, {send, signal, progress() {}, waiting() {}, sleep: async s => void slept.push(s)});
  } catch (e) { error = e.message; }
  return {items: items.map(i => i.result ?? (i.fault ? `! ${i.fault}` : null)), sent, slept, error};
})()"""


@pytest.mark.parametrize(
    ("rows", "rules", "sent", "faults", "error"),
    [
        (70, [], [32, 32, 6], {}, None),
        (1, [], [1], {}, None),
        (0, [], [], {}, None),
        # Busy, asleep, out of reach: the same rows again.
        (40, [{"at": 1, "status": 429, "retryAfter": 7}], [32, 32, 8], {}, None),
        (40, [{"at": 2, "status": 503}, {"at": 3, "status": 0}], [32, 8, 8, 8], {}, None),
        # One text is at fault, and named: the others go on without it.
        (
            4,
            [{"text": "t2", "status": 422, "placed": True, "message": "input[2] is empty"}],
            [4, 3],
            {2: "is empty"},
            None,
        ),
        # One text is at fault, and found.
        (4, [{"text": "t2", "status": 500, "message": "broken"}], [4, 2, 2, 1, 1], {2: "broken"}, None),
        (2, [{"text": "t1", "status": 413, "message": "too large"}], [2, 1, 1], {1: "too large"}, None),
        # Nothing that another text would mend.
        (40, [{"at": 2, "status": 401, "message": "no key"}], [32, 8], dict.fromkeys(range(32, 40)), "no key"),
        (40, [{"at": 1, "status": 404, "message": "no path"}], [32], dict.fromkeys(range(40)), "no path"),
        (3, [{"status": 503, "message": "asleep"}], [3] * 12, dict.fromkeys(range(3)), "asleep"),
    ],
)
def test_rows_are_sent(
    js: Modules,
    rows: int,
    rules: list[dict[str, Any]],
    sent: list[int],
    faults: dict[int, str | None],
    error: str | None,
) -> None:
    found = js("batch", _SEND, texts=[f"t{row}" for row in range(rows)], rules=rules)
    assert found["sent"] == sent
    assert found["error"] == error
    told = {row: f"! {fault}" if fault else None for row, fault in faults.items()}
    assert found["items"] == [told.get(row, f"T{row}") for row in range(rows)]


def test_pauses_are_those_of_the_server_or_grow(js: Modules) -> None:
    rules = [{"at": 1, "status": 429, "retryAfter": 7}, *({"at": at, "status": 503} for at in (2, 3, 4))]
    slept = js("batch", _SEND, texts=["a"], rules=rules)["slept"]
    assert [int(seconds / 1.25) <= least <= seconds for least, seconds in zip((7, 2, 4, 8), slept, strict=True)] == [
        True
    ] * 4
    assert js("patience", "m.pause({retryAfter: null}, 11, 0)") == 60
    assert js("patience", "m.pause({retryAfter: 3600}, 1, 0)") == 60


def test_a_server_that_fails_at_everything_is_left_alone(js: Modules) -> None:
    found = js("batch", _SEND, texts=["t"] * 5000, rules=[{"status": 500, "message": "broken"}])
    assert found["error"] == "broken"
    assert len(found["sent"]) < 150


def test_long_texts_go_in_smaller_batches(js: Modules) -> None:
    lengths = js("batch", "[...m.batches(v.sizes.map(n => ({text: 'x'.repeat(n)})))].map(b => b.length)",
                 sizes=[200_000] * 5 + [900_000] + [1] * 40)  # fmt: skip
    assert lengths == [2, 2, 1, 1, 32, 8]


def test_cancelling_ends_a_pause_at_once(js: Modules) -> None:
    ended = js(
        "patience",
        "await (async () => { const c = new AbortController(); setTimeout(() => c.abort(new Error('stop')), 10);"
        " try { await m.sleeping(3600, c.signal); return 'slept'; } catch (e) { return e.message; } })()",
    )
    assert ended == "stop"


@pytest.mark.parametrize(
    ("value", "seconds"), [("7", 7), ("0", 0), (None, None), ("soon", None), ("Thu, 01 Jan 1970 00:01:00 GMT", 60)]
)
def test_retry_after(js: Modules, value: str | None, seconds: float | None) -> None:
    assert js("api", "m.seconds(v.value, 0)", value=value) == seconds


def test_server_timing(js: Modules) -> None:
    header = 'tokenize;dur=0.41, queue;desc="a";dur=2, infer;dur=5.20, cache'
    assert js("api", "m.stages(v.header)", header=header) == {"tokenize": 0.41, "queue": 2, "infer": 5.2}
    assert js("api", "m.stages(null)") == {}


# -- exports and numbers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", '"\'\t=1"'),
        ("\r=1", '"\'\r=1"'),
        ("a,b", '"a,b"'),
        ('say "x"', '"say ""x"""'),
        ('="a",b', '"\'=""a"",b"'),
        ("two\nlines", '"two\nlines"'),
        ("", ""),
        ("a=b", "a=b"),
    ],
)
def test_cells_are_no_formulas(js: Modules, text: str, written: str) -> None:
    assert js("exports", "m.cell(v.text)", text=text) == written


@pytest.mark.parametrize(
    ("share", "shown"),
    [(0.973, "97.3%"), (1, "100%"), (0, "0%"), (0.9996, ">99.9%"), (0.0004, "<0.1%"), (0.0005, "0.1%"), (0.5, "50.0%")],
)
def test_percent(js: Modules, share: float, shown: str) -> None:
    assert js("format", "m.percent(v.share)", share=share) == shown


@pytest.mark.parametrize(
    ("milliseconds", "shown"),
    [(0.41, "0.4 ms"), (9.97, "10 ms"), (18.2, "18 ms"), (999.7, "1.0 s"), (7900, "7.9 s"), (125_000, "2 min")],
)
def test_milliseconds(js: Modules, milliseconds: float, shown: str) -> None:
    assert js("format", "m.milliseconds(v.value)", value=milliseconds) == shown
