"""The rounds of the chaos on disk: what is written is read again, also after a cut, and counted once."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from bench.chaos_record import REST, SERIES, Record, Round, Series
from bench.sleep_chaos import Plan, report
from support.traffic import Tally


def made(series: Series, kind: str, *, requests: int = 2, lost: int = 0, **facts: float) -> Round:
    ends = Counter({"right": requests - lost, "broken": lost})
    tally = Tally(requests=requests, lost=lost, ends=ends, slowest=1.5, losses=["broken after 0.1 s"] * lost)
    return Round(series, kind, tally, {"asleep": 1, "awake": 2}, facts)


def test_rounds_are_read_as_they_were_written(tmp_path: Path) -> None:
    record = Record(tmp_path / "deep" / "rounds.jsonl")
    rounds = [made("sleep", "clock"), made("gateway", "killed", lost=1, held=61.0)]
    for each in rounds:
        record.add(each)
    assert Record(tmp_path / "deep" / "rounds.jsonl").rounds == rounds


def test_a_round_that_was_cut_off_is_none_and_the_next_stands_on_a_line_of_its_own(tmp_path: Path) -> None:
    path = tmp_path / "rounds.jsonl"
    Record(path).add(made("sleep", "clock"))
    with path.open("a") as stream:
        stream.write(made("sleep", "slice").line()[:40])
    record = Record(path)
    assert record.count("sleep") == 1
    record.add(made("sleep", "pods"))
    assert [each.kind for each in Record(path).rounds] == ["clock", "pods"]


def test_counts(tmp_path: Path) -> None:
    record = Record(tmp_path / "rounds.jsonl")
    for each in (
        made("gateway", "stopped", held=50),
        made("gateway", "rolled", held=70),
        made("gateway", "killed", lost=1, held=60),
        made("gateway", REST, requests=5),
        made("server", "stopped"),
    ):
        record.add(each)
    assert record.count("gateway") == 3
    assert record.count("gateway", ("stopped", "rolled")) == 2
    assert record.count("operator") == 0
    assert record.kinds("gateway") == {"stopped": 1, "rolled": 1, "killed": 1}
    assert record.where("server") == {"awake": 2, "asleep": 1}
    assert record.facts("gateway", "held") == [50, 70, 60]
    assert (record.tally().requests, record.tally().lost) == (13, 1)
    assert record.tally("server").requests == 2
    assert record.tally().losses == ["broken after 0.1 s"]


def test_the_table_is_only_good_where_every_series_is_whole_and_nothing_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.report.RESULTS", tmp_path)
    plan = Plan(rounds=1, only=SERIES, lanes=2, real=False, seed=0, lease_seconds=6)
    record = Record(tmp_path / "rounds.jsonl")
    for series in SERIES:
        assert not report(plan, record)
        record.add(made(series, "killed"))
    assert report(plan, record)
    figures = json.loads((tmp_path / "sleep_chaos.json").read_text())["figures"]
    assert figures == {**{f"rounds_{series}": 1 for series in SERIES}, "requests": 8, "lost": 0}
    record.add(made("sleep", REST, lost=1))
    assert not report(plan, record)
    assert "broken after 0.1 s" in (tmp_path / "sleep_chaos.md").read_text()
