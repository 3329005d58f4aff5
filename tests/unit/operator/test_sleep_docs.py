"""docs/sleep.md says what the operator does: the table of precedence, the names of the metrics."""

from __future__ import annotations

import itertools
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.metrics import MetricWrapperBase

from classifier_operator import metrics
from classifier_operator.gateway import metrics as gateway_metrics
from classifier_operator.plan.awake import Facts, ScheduleNow, Verdict, decide

TEXT = (Path(__file__).resolve().parents[3] / "docs/sleep.md").read_text("utf-8")
START = datetime(2026, 7, 2, 6, tzinfo=UTC)


def told() -> dict[int, list[str]]:
    """The cells of the table by its rows: pods, what a request gets, and reason."""
    rows = re.findall(r"^\| (\d) \| .* \| ([^|]*) \| ([^|]*) \| ([^|]*) \|$", TEXT, re.MULTILINE)
    return {int(number): list(cells) for number, *cells in rows}


def verdicts() -> dict[int, list[Verdict]]:
    """What the table of the code says to everything it can be asked, by its rows."""
    schedules = [None] + [
        ScheduleNow(on, wakes, START if on else None, later)
        for on, wakes, later in itertools.product((True, False), (True, False), (START, None))
    ]
    found: dict[int, list[Verdict]] = {}
    for schedule in schedules:
        for each in itertools.product((True, False), repeat=5):
            suspended, has_model, sleeps, wakes_on_request, active = each
            verdict = decide(Facts(suspended, has_model, schedule, sleeps, wakes_on_request, active))
            found.setdefault(verdict.row, []).append(verdict)
    return found


def test_has_a_row_for_each_row() -> None:
    assert sorted(told()) == sorted(verdicts())


@pytest.mark.parametrize("row", sorted(verdicts()))
def test_row_is_as_the_code_decides(row: int) -> None:
    pods, gets, reasons = told()[row]
    found = verdicts()[row]
    assert {each.awake for each in found} == {pods == "N"}
    assert {each.reason for each in found} == set(reasons.split(", "))
    if pods == "0":
        assert ("held" in gets) == any(each.answer == "Hold" for each in found)
        assert ("503" in gets) == any(each.answer == "Refuse" for each in found)
        assert ("without Retry-After" in gets) == all(
            (each.retry_at, each.retry_after_seconds) == (None, None) and each.answer == "Refuse" for each in found
        )
        assert ("Retry-After 30" in gets) == any(each.retry_after_seconds == 30 for each in found)


@pytest.mark.parametrize(
    ("module", "prefix"),
    [(metrics, "classifier_operator_deployment_"), (gateway_metrics, "classifier_gateway_")],
    ids=["operator", "gateway"],
)
def test_tells_every_metric_of_sleep(module: object, prefix: str) -> None:
    listed = TEXT[TEXT.index("## Metrics") : TEXT.index("## Other tools")]
    series = [each for each in vars(module).values() if isinstance(each, MetricWrapperBase)]
    names = [f"{family.name}{'_total' * (family.type == 'counter')}" for each in series for family in each.describe()]
    ours = [name.removeprefix(prefix) for name in names if name.startswith(prefix)]
    assert len(ours) >= 5
    assert [name for name in ours if f"`{name}`" not in listed] == []
