"""report.html: what stands in it, that it needs nothing from outside, and that it bears any run."""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
import shutil
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binomtest

from classifier_artifacts.classifier_json import Task
from classifier_trainer.output.report import write_report
from classifier_trainer.output.report.heat import confusions, heat_map
from classifier_trainer.output.report.lines import smooth, thinned
from classifier_trainer.output.report.svg import short, short_share, ticks
from classifier_trainer.output.report.values import count, duration, figure, printable, share, words
from classifier_trainer.output.report.verdict import interval
from classifier_trainer.output.report.worst import CLIP, KEPT, row_loss, worst_rows
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


def test_heat_map_and_confusions_agree_with_the_matrix() -> None:
    matrix = {"labels": ["a", "b", "c"], "matrix": [[5, 2, 0], [0, 9, 1], [4, 0, 0]]}
    found = [(item.expected, item.predicted, item.rows, item.of) for item in confusions(matrix)]
    assert found == [("c", "a", 4, 4), ("a", "b", 2, 7), ("b", "c", 1, 10)]
    drawn = heat_map(matrix)
    assert drawn is not None
    assert "a taken for b: 2 rows of 7 (28.6 %)" in drawn.svg
    assert "b: 9 of 10 rows right (90.0 %)" in drawn.svg
    assert heat_map({**matrix, "matrix": [[1]]}) is None


def test_a_long_run_is_a_small_file(tmp_path: Path) -> None:
    labels = [f"a label with a name of some length, number {place}" for place in range(1000)]
    folder = sample_run(tmp_path, labels=labels, rows=200, steps=100_000, epochs=1)
    path = write_report(folder)
    assert path.stat().st_size < 3_000_000
    assert [item.name for item in folder.iterdir() if item.name.startswith(".")] == []


def test_thinning_keeps_the_peaks() -> None:
    points = [(float(x), 0.0) for x in range(100_000)]
    points[777] = (777.0, 9.0)
    points[55_555] = (55_555.0, -9.0)
    kept = thinned(points)
    assert len(kept) <= 402
    assert {points[0], points[777], points[55_555], points[-1]} <= set(kept)
    assert list(kept) == sorted(kept)
    assert thinned(points[:10]) == points[:10]


def test_smoothing_is_a_mean() -> None:
    assert smooth([(0, 2.0), (1, 2.0), (2, 2.0)]) == [(0, 2.0), (1, 2.0), (2, 2.0)]
    noisy = [(float(x), float(x % 2)) for x in range(1000)]
    assert all(0.4 < y < 0.6 for _, y in smooth(noisy)[200:])


def write_rows(path: Path, losses: list[float]) -> Path:
    with path.open("w") as stream:
        for line, value in enumerate(losses, 1):
            row = {"prompt": f"row {line}", "expected": {"a": 1}, "predicted": {"a": 1}, "probabilities": {"a": value}}
            stream.write(json.dumps({**row, "line": 1000 + line}) + "\n")
    return path


def test_worst_rows_are_those_of_a_sort(tmp_path: Path) -> None:
    chance = random.Random(3)
    values = [round(chance.random(), 2) for _ in range(3000)]  # with many equals
    path = write_rows(tmp_path / "results.jsonl", values)
    with path.open("a") as stream:
        stream.write('{"prompt": "half a li')
    found = worst_rows(path, "Binary", texts=True)
    expected = sorted(range(len(values)), key=lambda index: (values[index], index))[:KEPT]
    assert [row.line for row in found.rows] == [1001 + index for index in expected]
    assert (found.read, found.wrong) == (3000, 0)


def test_worst_rows_of_a_long_file_take_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    row = {"prompt": "x" * 20_000, "expected": {"a": 1}, "predicted": {"a": 0}, "probabilities": {"a": 0.1}, "line": 1}
    with path.open("w") as stream:
        for _ in range(2000):
            stream.write(json.dumps(row) + "\n")
    tracemalloc.start()
    try:
        assert worst_rows(path, "Binary", texts=True).wrong == 2000
        assert tracemalloc.get_traced_memory()[1] < path.stat().st_size / 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("expected", "probabilities", "exclusive", "loss"),
    [
        ({"a": 1, "b": 0}, {"a": 0.5, "b": 0.5}, True, 0.6931),
        ({"a": 1, "b": 0}, {"a": 0.5, "b": 0.5}, False, 1.3863),
        ({"a": 0}, {"a": 0.9}, False, 2.3026),
        ({"a": 1}, {"a": 0.0}, True, 27.631),
        ({"a": 1}, {"a": 1.0}, True, 0.0),
        ({"a": 1}, {}, True, None),
        ({}, {"a": 1.0}, True, None),
    ],
)
def test_loss_of_a_row(
    expected: dict[str, int], probabilities: dict[str, float], exclusive: bool, loss: float | None
) -> None:
    found = row_loss(expected, probabilities, exclusive=exclusive)
    assert found == (None if loss is None else pytest.approx(loss, abs=1e-3))


@pytest.mark.parametrize(("right", "rows"), [(0, 10), (95, 100), (2100, 2189), (7, 7)])
def test_interval_is_wilsons(right: int, rows: int) -> None:
    known = binomtest(right, rows).proportion_ci(0.95, method="wilson")
    assert interval(right / rows, rows) == pytest.approx((known.low, known.high), abs=1e-6)


@pytest.mark.parametrize(
    ("low", "high", "found"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0.91, 0.98, [0.92, 0.94, 0.96, 0.98]),
        (1, 240, [50, 100, 150, 200]),
        (3, 3, [3]),
    ],
)
def test_ticks_are_round(low: float, high: float, found: list[float]) -> None:
    assert ticks(low, high) == found


def test_values_as_people_read_them() -> None:
    assert (figure(0.12345), figure(0.000123), figure(1234.56), figure(None), figure(0)) == (
        "0.123",
        "0.00012",
        "1234.6",
        "–",
        "0.000",
    )
    assert (share(0.9551), count(12345), count(None), short(0.25), short(12000), short_share(0.975)) == (
        "95.5 %",
        "12,345",
        "–",
        "0.25",
        "12,000",
        "97.5 %",
    )
    assert [duration(value) for value in (5, 75, 4320, 200_000, None)] == [
        "5 s",
        "1 min 15 s",
        "1 h 12 min",
        "2 d 7 h",
        "–",
    ]
    assert [words(name) for name in ("macroF1", "rocAuc", "sampleMatchCombined")] == [
        "Macro-F1",
        "ROC AUC",
        "Sample match combined",
    ]
    assert printable("a\r\nb\tc\x07") == "a\nb\tc␇"


def _schemes() -> dict[str, dict[str, str]]:
    """Colours by name in each scheme, those of dark and print over those of light."""
    path = Path("trainer-image/src/classifier_trainer/output/report/report.css")
    blocks = re.findall(r":root \{(.*?)\}", (Path(__file__).parents[3] / path).read_text(), re.S)
    found = [dict(re.findall(r"--([\w-]+): (#[0-9a-f]{3,6})\b", block)) for block in blocks]
    assert len(found) == 3
    return {name: {**found[0], **colours} for name, colours in zip(("light", "dark", "print"), found, strict=True)}


def _luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[place : place + 2], 16) / 255 for place in (0, 2, 4)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", ["light", "dark", "print"])
def test_contrast_is_that_of_wcag_aa(scheme: str) -> None:
    """4.5 for text, 3 for lines and bars (WCAG 2.1, 1.4.3 and 1.4.11)."""
    colours = _schemes()[scheme]
    texts = [(name, back) for name in ("text", "muted", "accent", "good", "bad") for back in ("card", "page")]
    texts += [
        ("good", "good-back"),
        ("bad", "bad-back"),
        ("warn", "warn-back"),
        ("text", "warn-back"),
        ("level", "level-back"),
    ]
    texts += [("muted", "warn-back"), ("on-deep", "right")]
    if scheme != "print":  # where nothing lies behind the head
        texts += [(name, back) for name in ("head-text", "head-muted") for back in ("head", "head-end")]
    graphics = [(f"c{place}", "card") for place in range(8)] + [("right", "card"), ("wrong", "card")]
    for (name, back), least in [*((pair, 4.5) for pair in texts), *((pair, 3.0) for pair in graphics)]:
        light, dark = sorted((_luminance(colours[name]), _luminance(colours[back])), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least, (name, back)
