"""The parts of report.html by themselves: charts, worst rows, numbers as people read them, colours."""

from __future__ import annotations

import json
import random
import re
import tracemalloc
from pathlib import Path

import pytest
from scipy.stats import binomtest

from classifier_trainer.output.report.heat import confusions, heat_map
from classifier_trainer.output.report.lines import smooth, thinned
from classifier_trainer.output.report.svg import short, short_share, ticks
from classifier_trainer.output.report.values import count, duration, figure, printable, share, words
from classifier_trainer.output.report.verdict import interval
from classifier_trainer.output.report.worst import KEPT, row_loss, worst_rows


def test_heat_map_and_confusions_agree_with_the_matrix() -> None:
    matrix = {"labels": ["a", "b", "c"], "matrix": [[5, 2, 0], [0, 9, 1], [4, 0, 0]]}
    found = [(item.expected, item.predicted, item.rows, item.of) for item in confusions(matrix)]
    assert found == [("c", "a", 4, 4), ("a", "b", 2, 7), ("b", "c", 1, 10)]
    drawn = heat_map(matrix)
    assert drawn is not None
    assert "a taken for b: 2 rows of 7 (28.6 %)" in drawn.svg
    assert "b: 9 of 10 rows right (90.0 %)" in drawn.svg
    assert heat_map({**matrix, "matrix": [[1]]}) is None


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
