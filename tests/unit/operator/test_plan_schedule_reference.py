"""Schedules against a slow reference that goes through every minute of three years.

The reference knows no cron library and asks the zone for nothing but its offset: it lists what the clocks show in each
minute of UTC, marks the minutes at which each expression fires by its fields, and looks for the last mark.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from classifier_operator.api.schedule import Schedule
from classifier_operator.plan.schedule import active, last_start, next_change, next_start, parse_schedule

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]
Bytes = npt.NDArray[np.uint8]

ZONES = [
    ("Europe/Berlin", 2025),
    ("America/New_York", 2025),
    ("Australia/Lord_Howe", 2025),  # by half an hour
    ("Africa/Cairo", 2025),  # forward at 00:00, back at 24:00
    ("America/Sao_Paulo", 2015),  # the same, until 2019
    ("Pacific/Apia", 2010),  # without 30 December 2011
]
YEARS = 3
"""The first is for the windows to have started and stopped."""
STEP = 15
"""Minutes in which the offset of a zone does not change."""
MICROSECOND = timedelta.resolution
SETTINGS = settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.generate],  # an example takes half a second: shrinking a failure would take minutes
)


@dataclass(frozen=True)
class Field:
    """A field of a cron expression, and the values that it stands for."""

    text: str
    values: frozenset[int]


def field(text: str, values: Any) -> Field:
    return Field(text, frozenset(values))


MINUTES = [
    field("0", [0]),
    field("30", [30]),
    field("*", range(60)),
    field("*/25", [0, 25, 50]),
    field("10-50/20", [10, 30, 50]),
    field("5,59", [5, 59]),
]
HOURS = [
    field("*", range(24)),
    field("*/5", range(0, 24, 5)),
    field("0", [0]),
    field("1", [1]),
    field("2", [2]),
    field("3", [3]),
    field("8", [8]),
    field("20", [20]),
    field("23", [23]),
    field("0-2", [0, 1, 2]),
    field("2,3", [2, 3]),
    field("22-23", [22, 23]),
]
DAYS = [
    *[field("*", range(1, 32))] * 4,
    field("*/3", range(1, 32, 3)),
    field("1,15", [1, 15]),
    field("24-31", range(24, 32)),
]
MONTHS = [*[field("*", range(1, 13))] * 6, field("MAR,OCT", [3, 10]), field("4-11", range(4, 12))]
WEEKDAYS = [
    *[field("*", range(7))] * 4,
    field("1-5", range(1, 6)),
    field("0,6", [0, 6]),
    field("7", [0]),
    field("fri", [5]),
    field("*/2", [0, 2, 4, 6]),
]
Cron = tuple[Field, Field, Field, Field, Field]
CRONS = st.tuples(*(st.sampled_from(fields) for fields in (MINUTES, HOURS, DAYS, MONTHS, WEEKDAYS)))


@dataclass(frozen=True)
class Clocks:
    """What the clocks of a zone show in each minute of UTC: minutes since 1970 as if they were those of UTC."""

    begin: datetime
    wall: Ints
    shown: Ints
    """The latest that they have shown until then."""
    again: Bools
    """Whether they have shown it before."""
    jumps: list[int]
    """The minutes at which they change."""
    fields: list[Bytes]
    """What the five fields of an expression are compared with."""

    def time(self, minute: int) -> datetime:
        return self.begin + timedelta(minutes=minute)


@lru_cache(maxsize=1)  # of 30 MB
def clocks(zone: str, year: int) -> Clocks:
    info = ZoneInfo(zone)
    begin, end = (datetime(each, 1, 1, tzinfo=UTC) for each in (year, year + YEARS))
    count = (end - begin) // timedelta(minutes=1)
    times = (begin + timedelta(minutes=minute) for minute in range(0, count, STEP))
    offsets = [time.astimezone(info).utcoffset() or timedelta() for time in times]
    shift = np.repeat(np.array([offset // timedelta(minutes=1) for offset in offsets], dtype=np.int64), STEP)
    wall = np.arange(count, dtype=np.int64) + int(begin.timestamp()) // 60 + shift
    shown = np.maximum.accumulate(wall)
    again = np.zeros(count, dtype=np.bool_)
    again[1:] = wall[1:] <= shown[:-1]
    jumps = [int(each) for each in np.flatnonzero(np.diff(wall) != 1) + 1]
    return Clocks(begin, wall, shown, again, jumps, fields_of(wall))


def fields_of(wall: Ints) -> list[Bytes]:
    dates = (wall // 1440).astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    fields = (
        wall % 60,
        wall // 60 % 24,
        (dates - months).astype(int) + 1,
        months.astype(int) % 12 + 1,
        (wall // 1440 + 4) % 7,  # 1 January 1970 was a Thursday
    )
    return [each.astype(np.uint8) for each in fields]


def matches(cron: Cron, fields: list[Bytes]) -> Bools:
    minute, hour, day, month, weekday = (
        np.isin(np.arange(60), list(each.values))[shown] for each, shown in zip(cron, fields, strict=True)
    )
    both = cron[2].text.startswith("*") or cron[4].text.startswith("*")
    result: Bools = minute & hour & month & (day & weekday if both else day | weekday)
    return result


def marks(cron: Cron, clock: Clocks) -> Bools:
    found = matches(cron, clock.fields)
    if cron[0].text.startswith("*") or cron[1].text.startswith("*"):
        return found
    found &= ~clock.again
    for jump in clock.jumps:
        skipped = np.arange(clock.wall[jump - 1] + 1, clock.wall[jump], dtype=np.int64)
        if matches(cron, fields_of(skipped)).any():
            found[jump] = True
    return found


def last(found: Bools) -> Ints:
    """The minute of the last mark, for each minute."""
    result: Ints = np.maximum.accumulate(np.where(found, np.arange(len(found)), -1))
    return result


def date_minute(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) // 60


def reference(clock: Clocks, crons: list[tuple[Cron, Cron]], dates: list[tuple[str, str]]) -> Bools:
    """Whether the schedule is on, for each minute."""
    on = np.zeros(len(clock.wall), dtype=np.bool_)
    for start, stop in crons:
        on |= last(marks(start, clock)) > last(marks(stop, clock))
    for begin, end in dates:
        first, after = (int(np.searchsorted(clock.shown, date_minute(text))) for text in (begin, end))
        on[first:after] = True
    return on


def text_of(cron: Cron) -> str:
    return " ".join(each.text for each in cron)


@pytest.mark.parametrize(("zone", "year"), ZONES)
@SETTINGS
@given(data=st.data())
def test_agrees_with_every_minute_of_two_years(zone: str, year: int, data: st.DataObject) -> None:
    clock = clocks(zone, year)
    warm = (datetime(year + 1, 1, 1, tzinfo=UTC) - clock.begin) // timedelta(minutes=1)
    jumps = [each for each in clock.jumps if each >= warm]
    crons = data.draw(st.lists(st.tuples(CRONS, CRONS), min_size=1, max_size=3))
    dates = []
    for _ in range(data.draw(st.integers(0, 2))):
        around = int(clock.wall[data.draw(st.sampled_from(jumps))])
        ends = sorted(data.draw(st.lists(st.integers(-300, 300), min_size=2, max_size=2, unique=True)))
        start, stop = (datetime.fromtimestamp((around + each) * 60, UTC) for each in ends)
        dates.append((f"{start:%Y-%m-%dT%H:%M}", f"{stop:%Y-%m-%dT%H:%M:%S}"))
    windows = [*((text_of(a), text_of(b)) for a, b in crons), *dates]
    schedule = parse_schedule(
        Schedule.from_json_object({"timeZone": zone, "windows": [{"start": a, "stop": b} for a, b in windows]})
    )
    on = reference(clock, crons, dates)
    turns = np.flatnonzero(on[1:] != on[:-1]) + 1
    starts = turns[on[turns]]

    def after(times: Ints, minute: int) -> datetime | None:
        index = np.searchsorted(times, minute, side="right")
        return clock.time(int(times[index])) if index < len(times) else None

    end = clock.time(len(on))
    samples = [each + offset for each in jumps for offset in range(-26 * 60, 26 * 60, 30)]
    samples += range(warm, len(on), 10_007)
    for minute in samples:
        now = clock.time(minute) + timedelta(seconds=minute % 60)
        assert active(schedule, now) == on[minute], now
        change, following = next_change(schedule, now), next_start(schedule, now)
        for found, expected in (
            (change.time if change else None, after(turns, minute)),
            (following, after(starts, minute)),
        ):
            assert found == expected or (expected is None and found is not None and found >= end), now
        began = last_start(schedule, now)
        if not on[minute]:
            assert began is None, now
            continue
        assert began is not None
        assert began <= now
        earlier = starts[: np.searchsorted(starts, minute, side="right")]
        if len(earlier) and earlier[-1] >= warm:
            assert began == clock.time(int(earlier[-1])), now
        else:
            assert began < clock.time(warm), now


@pytest.mark.parametrize(("zone", "year"), ZONES)
@SETTINGS
@given(data=st.data())
def test_turns_where_it_says(zone: str, year: int, data: st.DataObject) -> None:
    given = [
        {"start": text_of(start), "stop": text_of(stop)}
        for start, stop in data.draw(st.lists(st.tuples(CRONS, CRONS), min_size=1, max_size=4))
    ]
    schedule = parse_schedule(Schedule.from_json_object({"timeZone": zone, "windows": given}))
    now = datetime(year, 1, 1, tzinfo=UTC) + timedelta(minutes=data.draw(st.integers(0, YEARS * 525_600)))
    for _ in range(40):
        change = next_change(schedule, now)
        if change is None:
            break
        assert change.time > now
        assert active(schedule, change.time) == change.to
        assert active(schedule, change.time - MICROSECOND) != change.to
        assert active(schedule, now) != change.to
        if change.to:
            assert next_start(schedule, now) == change.time
            assert last_start(schedule, change.time) == change.time
        else:
            assert last_start(schedule, change.time - MICROSECOND) == last_start(schedule, now)
            assert last_start(schedule, change.time) is None
        now = change.time
