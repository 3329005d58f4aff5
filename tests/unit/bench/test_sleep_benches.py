"""The figures of the benchmarks of wake and sleepers, and what they say of what is good."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from bench import sleepers, wake
from bench.schedule_cost import cpu_seconds_per_day, random_schedule
from bench.sleep_scene import RealModel, is_close, probabilities
from bench.sleepers_group import next_minute
from bench.wake import Measured, percentile
from classifier_operator.api.deployment import DeploymentSpec
from classifier_operator.plan import schedule
from support.hollow_node import placement
from support.traffic import Tally


@pytest.fixture(autouse=True)
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("bench.report.RESULTS", tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("values", "share", "value"),
    [([1, 2, 3, 4], 0.5, 2), ([4, 1, 3, 2], 0.51, 3), ([1], 0.99, 1), (list(range(1, 101)), 0.99, 99)],
)
def test_percentile(values: list[float], share: float, value: float) -> None:
    assert percentile(values, share) == value


def test_a_wake_counts_from_what_the_pod_itself_takes(results: Path) -> None:
    awake = {"new": [0.011] * 3, "kept": [0.0102] * 3}
    measured = Measured(
        bare=[2.0, 2.2, 1.9],
        wakes=[2.25, 2.05, 2.65],
        to_pod=[0.04, 0.05, 0.06],
        ours=awake,
        plain={kind: [0.01] * 3 for kind in awake},
    )
    assert wake.report(measured, real=False)
    figures = json.loads((results / "wake.json").read_text())["figures"]
    assert figures["overhead_median_s"] == 0.25
    assert figures["overhead_p99_s"] == 0.65
    assert figures["request_to_pod_s"] == 0.05
    assert figures["awake_ratio"] == 1.1
    measured.wakes = [3.5] * 3
    assert not wake.report(measured, real=True)
    assert (results / "wake_real.json").exists()


def figures(**changed: float) -> dict[str, float]:
    seconds = dict.fromkeys(sleepers._SECONDS, 3.0)
    others = {"operator_rss_mib": 120.0, "gateway_roll_s": 20.0, "refused": 0, "schedule_cpu_s_per_day": 0.5}
    return seconds | others | changed


@pytest.mark.parametrize(
    ("changed", "lost", "good"),
    [
        ({}, 0, True),
        ({"operator_rss_mib": 200.0}, 0, False),
        ({"refused": 1}, 0, False),
        ({"schedule_cpu_s_per_day": 1.0}, 0, False),
        ({}, 1, False),
    ],
)
def test_what_is_good_of_sleepers(results: Path, changed: dict[str, float], lost: int, good: bool) -> None:
    tally = Tally(requests=10, lost=lost, losses=["timeout"] * lost)
    assert sleepers.report(figures(**changed), tally, 300, looks=5, changes=2) is good
    written: dict[str, Any] = json.loads((results / "sleepers.json").read_text())["figures"]
    assert {"deployments", "operator_rss_mib", "gateway_roll_s", "schedule_cpu_s_per_day"} <= written.keys()
    assert written["deployments"] == 300


@pytest.mark.parametrize(
    ("when", "minute"),
    [
        ("2026-03-01T12:00:00", "2026-03-01T12:00:00"),
        ("2026-03-01T12:00:00.000001", "2026-03-01T12:01:00"),
        ("2026-12-31T23:59:59", "2027-01-01T00:00:00"),
    ],
)
def test_next_minute(when: str, minute: str) -> None:
    assert next_minute(datetime.fromisoformat(when)) == datetime.fromisoformat(minute)


def test_every_drawn_schedule_is_valid_and_turns() -> None:
    draw = random.Random(0)
    now = datetime(2026, 3, 1, tzinfo=UTC)
    for _ in range(300):
        parsed = schedule.parse_schedule(random_schedule(draw))
        assert schedule.next_change(parsed, now) is not None


def test_a_day_of_schedules_has_its_looks_and_changes() -> None:
    _, looks, changes = cpu_seconds_per_day(deployments=20, days=7)
    assert 20 * 7 * 144 <= looks <= 20 * 7 * 144 + changes
    assert changes > 20


def test_sleepers_are_valid_deployments() -> None:
    spec = DeploymentSpec.from_json_object(sleepers.manifest("a", "image:1", "node-1")["spec"])
    assert spec.pod_template is not None
    assert spec.pod_template.spec is not None
    assert spec.pod_template.spec.to_json_object() == placement("node-1")


def test_answers_of_the_real_model_are_compared_with_its_first_ones() -> None:
    model = RealModel("pvc://models/tiny")
    ask = model.question(random.Random(0))
    text = json.loads(ask.body)["input"]
    body = {"data": [{"probs": {"a": 0.7, "b": 0.3}}]}
    model.answers[text] = {"a": 0.71, "b": 0.29}
    assert ask.is_right(json.dumps(body).encode())
    model.answers[text] = {"a": 0.6, "b": 0.4}
    assert not ask.is_right(json.dumps(body).encode())
    assert not ask.is_right(b"{}")
    assert probabilities(b"no JSON") == {}
    assert not is_close({}, {})
    assert not is_close({"a": 1.0}, {"b": 1.0})
