"""Writes of progress share a budget, oldest first."""

from __future__ import annotations

import asyncio
import contextlib

from classifier_operator.controller.budget import ProgressBudget
from support.builders import ago


async def test_grants_come_oldest_first_and_at_a_rate() -> None:
    granted: list[str] = []
    budget: ProgressBudget[str] = ProgressBudget(writes_per_second=200, on_grant=granted.append)
    for key, age in (("young", 1), ("old", 30), ("older", 60), ("old", 90)):
        assert not budget.take(key, ago(age))
    task = asyncio.create_task(budget.run())
    begin = asyncio.get_running_loop().time()
    while len(granted) < 3:  # noqa: ASYNC110  # a list has no event
        await asyncio.sleep(0.001)
    assert asyncio.get_running_loop().time() - begin >= 2 / 200 * 0.9
    assert granted == ["older", "old", "young"]
    assert budget.take("old", ago(30)), "it has a grant"
    assert not budget.take("old", ago(0)), "for one write"
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def test_who_has_written_needs_no_grant() -> None:
    granted: list[str] = []
    budget: ProgressBudget[str] = ProgressBudget(writes_per_second=1000, on_grant=granted.append)
    budget.take("a", ago(1))
    budget.take("b", ago(2))
    budget.forget("b")
    task = asyncio.create_task(budget.run())
    await asyncio.sleep(0.02)
    task.cancel()
    assert granted == ["a"]
