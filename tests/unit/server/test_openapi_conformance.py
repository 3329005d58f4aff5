"""Schemathesis asks what the OpenAPI document allows, and much that it forbids: no failure of the server, and no answer
but those that the document describes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks

from support.server_process import running

EXAMPLES = 25
# That a text has a token, or that a label exists, no schema can say: what it allows may still be refused.
EXCLUDED = ("positive_data_acceptance",)


@pytest.fixture(scope="module")
def document() -> Iterator[Any]:
    with running(["--model", "/fake/model"], python=("-m", "support.fake_server")) as server:
        server.wait_until_ready()
        yield schemathesis.openapi.from_url(f"{server.api}/openapi.json")


@pytest.mark.parametrize("mode", GenerationMode)
def test_answers_are_those_of_the_document(document: Any, mode: GenerationMode) -> None:
    load_all_checks()
    excluded: list[Any] = [CHECKS.get_one(name) for name in EXCLUDED]
    statuses: Counter[int] = Counter()
    for found in document.get_all_operations():
        operation = found.ok()
        if mode == GenerationMode.NEGATIVE and operation.method.upper() == "GET":
            continue  # it has no body, and any name is a name

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def ask(case: Case[Any]) -> None:
            answer = case.call()
            statuses[answer.status_code] += 1
            case.validate_response(answer, excluded_checks=excluded)

        ask()
    assert max(statuses) < 500
    assert {GenerationMode.POSITIVE: 200, GenerationMode.NEGATIVE: 400}[mode] in statuses
