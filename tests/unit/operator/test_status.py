"""One write of the status per change."""

from __future__ import annotations

from typing import Any

import pytest

from classifier_operator.api.training_status import Progress, TrainingJobStatus
from classifier_operator.controller.status import is_chatter, merge_patch, status_patch, wait_seconds
from support.builders import NOW, ago, condition


@pytest.mark.parametrize(
    ("before", "after", "patch"),
    [
        ({}, {}, {}),
        ({"a": 1}, {"a": 1}, {}),
        ({"a": 1}, {"a": 2, "b": 3}, {"a": 2, "b": 3}),
        ({"a": 1, "b": 2}, {"a": 1}, {"b": None}),
        ({"a": {"x": 1, "y": 2}}, {"a": {"x": 1, "z": 3}}, {"a": {"y": None, "z": 3}}),
        ({"a": [1, 2]}, {"a": [1]}, {"a": [1]}),
        ({"a": {"x": 1}}, {"a": 5}, {"a": 5}),
    ],
)
def test_merge_patch(before: dict[str, Any], after: dict[str, Any], patch: dict[str, Any]) -> None:
    assert merge_patch(before, after) == patch


def test_fields_of_a_later_version_are_left_alone() -> None:
    before = {"phase": "Training", "ofALaterVersion": {"x": 1}, "best": "epoch-1"}
    assert status_patch(before, TrainingJobStatus(phase="Training")) == {"best": None}


@pytest.mark.parametrize(
    ("patch", "chatter"),
    [
        ({"progress": {"percent": 3}}, True),
        ({"message": "epoch 2 of 3", "dataset": {"trainRows": 5}}, True),
        ({"phase": "Testing", "progress": {"percent": 3}}, False),
        ({"best": "epoch-2"}, False),
        ({"conditions": [condition("Ready", True, message="epoch 2")]}, True),
        ({"conditions": [condition("Ready", False)]}, False),
        ({"conditions": [condition("Ready", True, "Other")]}, False),
    ],
)
def test_what_waits_and_what_does_not(patch: dict[str, Any], chatter: bool) -> None:
    assert is_chatter(patch, {"conditions": [condition("Ready", True)]}) is chatter


def test_progress_waits_for_its_turn() -> None:
    status = TrainingJobStatus(progress=Progress(update_time=ago(4)))
    assert wait_seconds(status, NOW, pause=10, written=None) == 6
    assert wait_seconds(status, NOW, pause=10, written=ago(1)) == 9
    assert wait_seconds(status, NOW, pause=10, written=ago(11)) == 0
    assert wait_seconds(TrainingJobStatus(), NOW, pause=10, written=None) == 0
