"""The operator reads every example of a deployment as it is meant."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from classifier_operator.api import names
from classifier_operator.api.deployment import DeploymentSpec
from classifier_operator.plan.schedule import active, parse_schedule

EXAMPLES = Path(__file__).resolve().parents[3] / "examples"


def deployments() -> dict[str, dict[str, Any]]:
    documents = [each for path in EXAMPLES.glob("*.yaml") for each in yaml.safe_load_all(path.read_text("utf-8"))]
    found = [each for each in documents if each["kind"] == names.DEPLOYMENT_KIND]
    by_name = {each["metadata"]["name"]: each["spec"] for each in found}
    assert len(by_name) == len(found), "two examples in one namespace would overwrite each other"
    return by_name


@pytest.mark.parametrize("name", deployments())
def test_loses_nothing_of_an_example(name: str) -> None:
    spec = deployments()[name]
    assert DeploymentSpec.from_json_object(spec).user_set() == spec


def test_office_hours_are_as_the_example_says() -> None:
    spec = DeploymentSpec.from_json_object(deployments()["r8-office"])
    assert spec.schedule is not None
    schedule = parse_schedule(spec.schedule)
    begin = datetime(2026, 12, 13, 23, tzinfo=UTC)  # Monday, 0:00 in Berlin
    hours = [hour for hour in range(7 * 24) if active(schedule, begin + timedelta(hours=hour))]
    weekdays = [24 * day + hour for day in range(5) for hour in range(8, 20)]
    assert hours == [*weekdays, *range(5 * 24 + 9, 5 * 24 + 13)]
