"""The dashboard for Grafana asks for metrics that there are, by labels that they have."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from prometheus_client import Counter, Gauge, Histogram

from classifier_operator import metrics as operator_metrics
from classifier_operator.gateway import metrics as gateway_metrics

BOARD: Final[dict[str, Any]] = json.loads(
    (Path(__file__).resolve().parents[3] / "helm" / "classifier-operator" / "files" / "dashboard.json").read_text()
)
_LABEL = re.compile(r"(\w+)\s*=~")


def series() -> dict[str, set[str]]:
    """The labels of every series by its name."""
    found: dict[str, set[str]] = {}
    for module in (operator_metrics, gateway_metrics):
        for metric in vars(module).values():
            if isinstance(metric, Counter | Gauge | Histogram):
                (family,) = metric.describe()
                suffixes = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"]}
                for suffix in suffixes[family.type]:
                    more = {"le"} if suffix == "_bucket" else set()
                    found[f"{family.name}{suffix}"] = {*metric._labelnames, *more}
    return found


def expressions() -> Iterator[tuple[str, str, str]]:
    for panel in BOARD["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"], target["legendFormat"]


@pytest.mark.parametrize(("title", "expression", "legend"), [*expressions()], ids=lambda text: text[:30])
def test_what_a_panel_asks_for_is_there(title: str, expression: str, legend: str) -> None:
    known = series()
    names = re.findall(r"classifier_\w+", expression)
    assert len(names) == 1
    labels = known[names[0]]
    assert set(_LABEL.findall(expression)) <= labels
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    assert grouped <= labels
    shown = set(re.findall(r"{{(\w+)}}", legend))
    assert shown <= (grouped or labels)


def test_variables_ask_for_what_is_there() -> None:
    for variable in BOARD["templating"]["list"]:
        if variable["type"] == "query":
            (name, label) = re.findall(r"label_values\((\w+).*, (\w+)\)", variable["definition"])[0]
            assert label in series()[name]


def test_panels_do_not_overlap() -> None:
    cells: set[tuple[int, int]] = set()
    for panel in BOARD["panels"]:
        at = panel["gridPos"]
        mine = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not cells & mine, panel["title"]
        assert at["x"] + at["w"] <= 24
        cells |= mine


def test_it_shows_what_sleep_is_about() -> None:
    asked = " ".join(expression for _, expression, _ in expressions())
    for name in (
        "awake_seconds_total",
        "wakes_total",
        "wake_seconds_bucket",
        "classifier_gateway_held",
        "classifier_gateway_rejected_total",
        "asleep_gpu_seconds_saved_total",
        "next_transition_timestamp_seconds",
    ):
        assert name in asked
