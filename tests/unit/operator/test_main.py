"""Kopf is told to watch the two kinds, and to write nothing."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import kopf
import pytest

from classifier_operator import main
from classifier_operator.api import names


def test_only_event_handlers_on_the_two_kinds() -> None:
    registry = kopf.get_default_registry()
    watched = registry._watching.get_all_handlers()
    plurals = {handler.selector.any_name for handler in watched if handler.selector}
    assert plurals == {names.TRAINING_JOB_PLURAL, names.DEPLOYMENT_PLURAL}
    assert {handler.selector.group for handler in watched if handler.selector} == {names.GROUP}
    # Any of these would make Kopf write finalizers, annotations or a status of its own.
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert not list(others.get_all_handlers())


async def test_an_event_is_put_into_the_cache() -> None:
    seen: list[tuple[str, str | None, object]] = []

    class Recorder:
        def event(self, plural: str, kind: str | None, value: object) -> None:
            seen.append((plural, kind, value))

    handler: Any = main.event  # Kopf gives it many more arguments
    await handler(
        event={"type": "DELETED", "object": {"metadata": {"name": "a"}}},
        resource=kopf.Resource(names.GROUP, names.VERSION, names.TRAINING_JOB_PLURAL),
        memo=kopf.Memo({"runtime": Recorder()}),
    )
    assert seen == [(names.TRAINING_JOB_PLURAL, "DELETED", {"metadata": {"name": "a"}})]


@pytest.mark.parametrize("module", ["controller.runtime", "plan.training", "kube.watch", "pods.progress"])
def test_kopf_stays_at_the_edge(module: str) -> None:
    code = f"import sys, classifier_operator.{module}; sys.exit('kopf' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": "operator/src"}).returncode == 0
