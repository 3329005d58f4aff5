"""report.html: what stands in it, that it needs nothing from outside, and that it bears any run."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from classifier_artifacts.classifier_json import Task
from classifier_trainer.output.report import write_report
from classifier_trainer.output.report.values import figure
from classifier_trainer.output.report.worst import CLIP
from support.sample_run import sample_run

TASKS: tuple[Task, ...] = ("Binary", "Multiclass", "Multilabel")
HOSTILE = [
    '</script><script>alert(1)</script> & "quotes"',
    "<img src=x onerror=alert(2)>",
    "مرحبا \u202eabc\u202c שלום",
    "🎉👩‍👩‍👧",
    "x" * 100_000,
    "\x00\x1b[31m \ud800 -->",
]
_VOID = {"meta", "link", "input", "br", "hr", "img"}


class Page(HTMLParser):
    """What a browser would see: elements, texts by element, tables by caption."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self.feed(self.source)
        self.close()
        if self.open:
            self.faults.append(f"never closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.faults.append(f"</{tag}> at {self.getpos()}")

    def handle_data(self, data: str) -> None:
        if self.open and data.strip():
            self.texts.append((self.open[-1], data.strip()))

    @property
    def text(self) -> str:
        """All that is read, scripts and style apart."""
        return "\n".join(said for tag, said in self.texts if tag not in ("script", "style"))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def raw(self, tag: str) -> str:
        """The content of the only element of that name."""
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", self.source, re.S)
        assert len(found) == 1
        return str(found[0])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[Task, Path]:
    root = tmp_path_factory.mktemp("runs")
    return {task: sample_run(root / task, task=task, texts=HOSTILE[:5]) for task in TASKS}


@pytest.fixture(scope="module")
def pages(runs: dict[Task, Path]) -> dict[Task, Page]:
    return {task: Page(write_report(folder)) for task, folder in runs.items()}


@pytest.fixture
def copy(runs: dict[Task, Path], tmp_path: Path) -> Path:
    """A folder of a Multiclass run that a test may spoil."""
    return Path(shutil.copytree(runs["Multiclass"], tmp_path / "run"))


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


@pytest.mark.parametrize("task", TASKS)
def test_is_well_formed_and_accessible(pages: dict[Task, Page], task: Task) -> None:
    page = pages[task]
    assert page.faults == []
    assert page.all("html") == [{"lang": "en"}]
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in page.all("a")]
    assert {link[1:] for link in links} <= set(ids)
    assert len(page.all("table")) == len(page.all("caption"))
    assert all("scope" in head for head in page.all("th"))
    assert all(svg.get("aria-label") or svg.get("aria-hidden") for svg in page.all("svg"))
    for _, attributes in page.tags:
        if "aria-labelledby" in attributes:
            assert attributes["aria-labelledby"] in ids


@pytest.mark.parametrize("task", TASKS)
def test_needs_and_may_do_nothing_from_outside(pages: dict[Task, Page], task: Task) -> None:
    page = pages[task]
    style, script = page.raw("style"), page.raw("script")
    (policy,) = [item["content"] for item in page.all("meta") if item.get("http-equiv") == "Content-Security-Policy"]
    rules = {rule.split()[0]: rule.split()[1:] for rule in policy.split(";")}
    assert rules["default-src"] == ["'none'"]
    for name, content in (("style-src", style), ("script-src", script)):
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert rules[name] == [f"'sha256-{digest}'"]
    # Attributes that would be refused by the policy, and addresses that would be asked.
    for _, attributes in page.tags:
        assert not [name for name in attributes if name == "style" or name.startswith("on")]
        assert attributes.get("src") is None
        assert attributes.get("href", "#")[:1] == "#" or attributes["href"] == "data:,"
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?:", style + script)


def test_shows_the_whole_run(pages: dict[Task, Page]) -> None:
    text = pages["Multiclass"].text
    for said in (
        "reuters-r8.jsonl",
        "HuggingFaceTB/SmolLM2-135M",
        "35 min 12 s",
        "9 March 2026, 08:47 UTC",
        "epoch-3 (best)",
        "points above TF-IDF + linear SVM",
        "95 % interval",
        "Training loss",
        "Learning rate",
        "Scores by checkpoint",
        "Confusion matrix",
        "Top confusions",
        "Precision and recall",
        "ROC",
        "Reliability",
        "before calibration",
        "Temperature 2.000, folded into the head that is saved.",
        "Text lengths",
        "median 61, 95 % have at most 241, longest 980",
        "maxLength 256 cuts 41 rows of train, 4 rows of validation, 9 rows of test.",
        "Balance of the labels",
        "Duplicates that contradict each other",
        "shr 12 cts vs 9 cts net 1.2 mln",
        "In both train and test",
        "Cut test rows",
        "3 warnings",
        "label 'grain' has only 24 training rows",
        "cost",
        "v1:3f3f",
        "93efa2f097d58c2a74874c7e644dbc9b0cee75a2",
        "5.23.0",
        "lora.rank",
    ):
        assert said in text, said
    # Once in the sentence is enough.
    assert text.count("480, 512") == 1
    assert "baseModel:\n  uri: hf://HuggingFaceTB/SmolLM2-135M\n" in text


@pytest.mark.parametrize(
    ("task", "has", "lacks"),
    [
        ("Binary", ["Thresholds", "not spam", "Confusion matrix", "Accuracy"], []),
        ("Multiclass", ["Confusion matrix", "Accuracy"], ["Thresholds"]),
        ("Multilabel", ["Thresholds", "Micro-F1", "A temperature a label"], ["Confusion matrix"]),
    ],
)
def test_tasks_have_what_suits_them(pages: dict[Task, Page], task: Task, has: list[str], lacks: list[str]) -> None:
    text = pages[task].text
    assert [said for said in has if said not in text] == []
    assert [said for said in lacks if said in text] == []


def test_headline_is_the_best_checkpoint_and_not_the_last(copy: Path) -> None:
    change(copy / "run.json", best="epoch-2")
    metrics = json.loads((copy / "checkpoints" / "epoch-2" / "test" / "metrics.json").read_text())
    text = Page(write_report(copy)).text
    assert f"{100 * metrics['accuracy']:.1f} %" in text
    assert "epoch-2 (best)" in text
    assert "epoch-3 (best)" not in text


@pytest.mark.parametrize(
    ("baseline", "said"),
    [
        ({"accuracy": 0.999}, "points below TF-IDF + linear SVM: look at the data before you deploy this model"),
        (None, "No baseline was trained beside this model"),
    ],
)
def test_says_how_the_baseline_did(copy: Path, baseline: object, said: str) -> None:
    change(copy / "checkpoints" / "epoch-3" / "test" / "metrics.json", baseline=baseline)
    assert said in Page(write_report(copy)).text


@pytest.mark.parametrize("task", TASKS)
def test_texts_are_only_texts(tmp_path: Path, task: Task) -> None:
    """Whatever they hold, wherever they stand: no element and no attribute comes of them."""
    evil = [f"{text[:50]}{place}" for place, text in enumerate(HOSTILE[:4])]
    labels = evil[:1] if task == "Binary" else evil
    plain = labels if task == "Binary" else [f"label {place}" for place in range(4)]
    errors = {"f": {"error": "</td><script>alert(3)</script>"}}
    folder = sample_run(tmp_path / "evil", task=task, labels=labels, texts=HOSTILE[:5], functions=errors)
    for name, value in (("config", {"trainDataset": {"uri": "s3://x/<script>.jsonl"}}), ("host", "<b>host")):
        change(folder / "run.json", **{name: value})
    change(folder / "profile.json", warnings=[{"text": "<script>alert(4)</script>", "lines": [1]}])
    change(folder / "profile.json", duplicates={"rows": 1, "examples": [{"lines": [1], "text": HOSTILE[0]}]})
    page = Page(write_report(folder))
    calm = Page(write_report(sample_run(tmp_path / "calm", task=task, labels=plain)))
    assert page.faults == []
    assert len(page.all("script")) == 1
    assert page.all("img") == page.all("b") == []
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in calm.tags}
    assert HOSTILE[0] in page.text
    assert "alert(3)" in page.text
    assert "alert(4)" in page.text
    assert "مرحبا" in page.text
    assert HOSTILE[3] in page.text


def test_characters_that_a_page_cannot_hold(copy: Path) -> None:
    results = copy / "checkpoints" / "epoch-3" / "test" / "results.jsonl"
    first, *rest = results.read_text().splitlines()
    results.write_text("\n".join([json.dumps({**json.loads(first), "prompt": HOSTILE[5]}), *rest]))
    page = Page(write_report(copy))
    assert "␀␛[31m ? -->" in page.text
    assert "\x00" not in page.source


def test_long_texts_are_clipped(pages: dict[Task, Page]) -> None:
    page = pages["Multiclass"]
    assert "x" * CLIP + " […]" in page.text
    assert "x" * (CLIP + 1) not in page.source


def test_without_rows_no_text_is_left(tmp_path: Path) -> None:
    functions = {"cost": {"error": "line 3: KeyError: 'secret-error' in row 'secret-row'"}}
    folder = sample_run(tmp_path, texts=["secret-row"], functions=functions)
    change(folder / "profile.json", duplicates={"rows": 1, "examples": [{"lines": [5, 6], "text": "secret-duplicate"}]})
    warned = f"test function cost: {functions['cost']['error']}"
    change(folder / "run.json", progress={"dataset": {"warnings": [warned]}})
    with_rows = write_report(folder).read_text()
    for secret in ("secret-row", "secret-duplicate", "secret-error", "profit"):
        assert secret in with_rows
    without = Page(write_report(folder, rows=False))
    for secret in ("secret", "profit"):
        assert secret not in without.source
    assert "report.rows is false" in without.text
    assert "lines 5, 6" in without.text
    assert "test function cost: failed" in without.text
    assert "line 1 · loss" in without.text  # which rows they are is still told


ABSENT = ["run.json", "profile.json", "metrics.jsonl", "checkpoints", "checkpoints/epoch-3/test", "checkpoints/epoch-3"]


@pytest.mark.parametrize("name", ABSENT)
def test_files_may_be_absent(copy: Path, name: str) -> None:
    path = copy / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert Page(write_report(copy)).faults == []


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"labels": 3, "rows": [], "best": 7}', b"[" * 9999]
)
def test_files_may_hold_anything(copy: Path, content: bytes) -> None:
    for path in copy.rglob("*.json*"):
        path.write_bytes(content)
    page = Page(write_report(copy))
    assert page.faults == []
    assert "Nothing was measured" in page.text


def _nulls(value: Any, chance: random.Random) -> Any:
    """The same with a tenth of its values gone or of a wrong kind."""
    if chance.random() < 0.1:
        return chance.choice([None, float("nan"), "odd", -1, [], {}, 10**400, True])
    if isinstance(value, dict):
        return {key: _nulls(item, chance) for key, item in value.items()}
    if isinstance(value, list):
        return [_nulls(item, chance) for item in value]
    return value


@pytest.mark.parametrize("seed", range(12))
def test_values_may_be_null_or_odd(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    folder = sample_run(tmp_path, task=TASKS[seed % 3], rows=60, steps=20)
    for path in folder.rglob("*.json*"):
        lines = path.read_text().splitlines()
        path.write_text("\n".join(json.dumps(_nulls(json.loads(line), chance)) for line in lines))
    assert Page(write_report(folder)).faults == []


def test_runs_that_did_not_end_well(copy: Path) -> None:
    message = "hyperparameters.learningRate is too high"
    change(copy / "run.json", outcome="Failed", progress={"phase": "Failed", "message": message}, completionTime=None)
    text = Page(write_report(copy)).text
    assert "Failed" in text
    assert message in text


def test_without_a_test_set_the_validation_rows_are_told(copy: Path) -> None:
    for epoch in (1, 2, 3):
        shutil.rmtree(copy / "checkpoints" / f"epoch-{epoch}" / "test")
    lines = [json.loads(line) for line in (copy / "metrics.jsonl").read_text().splitlines()]
    kept = "".join(json.dumps({k: v for k, v in line.items() if k != "test"}) + "\n" for line in lines)
    (copy / "metrics.jsonl").write_text(kept)
    text = Page(write_report(copy)).text
    assert "these figures are of the rows that chose the checkpoint" in text
    assert "400 validation rows" in text
    assert "There are no results of test rows." in text


def test_checkpoints_that_were_not_kept_have_their_line(copy: Path) -> None:
    shutil.rmtree(copy / "checkpoints" / "epoch-1")
    line = next(line for line in (copy / "metrics.jsonl").read_text().splitlines() if '"epoch-1"' in line)
    text = Page(write_report(copy)).text
    assert figure(json.loads(line)["test"]["accuracy"]) in text
    assert "epoch-1" in text


def test_many_labels_have_a_list_instead_of_a_matrix(tmp_path: Path) -> None:
    folder = sample_run(tmp_path, labels=[f"label {place}" for place in range(51)], rows=400)
    page = Page(write_report(folder))
    assert "Confusion matrix" not in page.text
    assert "Top confusions" in page.text
    assert "In colour the 8 hardest of" in page.text


def test_a_long_run_is_a_small_file(tmp_path: Path) -> None:
    labels = [f"a label with a name of some length, number {place}" for place in range(1000)]
    folder = sample_run(tmp_path, labels=labels, rows=200, steps=100_000, epochs=1)
    path = write_report(folder)
    assert path.stat().st_size < 3_000_000
    assert [item.name for item in folder.iterdir() if item.name.startswith(".")] == []
