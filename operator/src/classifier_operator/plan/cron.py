"""When cron expressions fire, in a zone whose clocks change.

Expressions are those of Debian's cron as cronsim reads them, and so is what happens when the clocks change:

- An expression for set times (neither minute nor hour begins with `*`) fires once for each of its times: those that the
  clocks skip in spring fire together at the instant of the change, those that come twice in autumn fire at the first.
- Any other expression fires whenever the clocks show one of its times: not for skipped times, twice for repeated ones.

cronsim parses an expression and says on which dates it fires. It does not walk through the zone: with clocks that
change by half an hour (Australia/Lord_Howe) it lands at the wrong minute, at a change at midnight (Africa/Cairo) on a
time that does not exist, and from the second of two equal hours it goes to the past. So a day of UTC, which always has
1440 minutes, is a mask of bits here, bit m for minute m, and the zone is asked which minutes the clocks show on it.
"""

import calendar
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

MINUTES: Final = 1440
FULL: Final = (1 << MINUTES) - 1
_ANY_TIME: Final = datetime(2000, 1, 1)  # cronsim wants one even to parse
_FIRST: Final = datetime(1, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, eq=False)
class Cron:
    """A cron expression.

    Attributes:
        times: bit m is set if it fires at minute m of a date of its.
        dates: its fields day of month, month and day of week.
        set_times: neither minute nor hour begins with `*`.
    """

    times: int
    dates: str
    set_times: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Piece:
    """Minutes of a day of UTC over which the clocks run evenly.

    Attributes:
        start, length: in minutes of the day of UTC.
        wall: what the clocks show at its start, in minutes since midnight of the date before.
        skipped: minutes that the clocks skipped right before.
        again: how many of its first minutes the clocks show for the second time.
    """

    start: int
    length: int
    wall: int
    skipped: int
    again: int


@lru_cache(maxsize=8192)
def parse_cron(text: str) -> Cron:
    """Reads an expression of five fields. One for days that never come, such as 30 February, is one that never fires.

    Raises:
        ValueError: what is wrong, as a clause.
    """
    fields = text.upper().split()
    if len(fields) != 5:
        raise ValueError("has not five fields")
    minute, hour, *rest = fields
    dates = " ".join(rest)
    try:
        clock = CronSim(f"{minute} {hour} * * *", _ANY_TIME)
        _date_matcher(dates)
    except CronSimError as error:
        raise ValueError(f"has a {str(error)[:1].lower()}{str(error)[1:]}") from error
    times = sum(1 << hour * 60 + minute for hour in clock.hours for minute in clock.minutes)
    return Cron(times, dates, not (minute.startswith("*") or hour.startswith("*")))


def _date_matcher(dates: str) -> CronSim | None:
    """What tells the dates of an expression; None if they never come. Raises CronSimError."""
    try:
        return CronSim(f"0 0 {dates}", _ANY_TIME)
    except CronSimError:
        # It refuses a day that none of the months has; then each of the fields is right by itself.
        day, month, weekday = dates.split()
        CronSim(f"0 0 {day} * {weekday}", _ANY_TIME)
        CronSim(f"0 0 1 {month} *", _ANY_TIME)
        return None


@lru_cache(maxsize=16384)
def dates_of_year(dates: str, year: int) -> int:
    """On which dates of a year an expression fires: bit 0 is 1 January."""
    return _dates_of_kind(dates, calendar.isleap(year), calendar.weekday(year, 1, 1))


@lru_cache(maxsize=4096)
def _dates_of_kind(dates: str, leap: bool, weekday: int) -> int:
    """The same for any year of this length that begins with this weekday: there are only 14 kinds of years."""
    year = next(
        each for each in range(2000, 2028) if calendar.isleap(each) == leap and calendar.weekday(each, 1, 1) == weekday
    )
    matcher = _date_matcher(dates)
    if matcher is None:
        return 0
    first = date(year, 1, 1).toordinal()
    bits = 0
    for index in range(length_of_year(year)):
        when = date.fromordinal(first + index)
        if when.month in matcher.months and matcher.match_day(when):
            bits |= 1 << index
    return bits


def fires(cron: Cron, zone: ZoneInfo, day: int) -> int:
    """The minutes of a day of UTC (a proleptic ordinal) at which an expression fires."""
    dates = _dates_around(cron.dates, day)
    return _fires(cron, dates, _pieces(zone, day)) if dates else 0


def _dates_around(dates: str, day: int) -> int:
    """Whether an expression fires on the date before a day, on that date, and on the one after: three bits."""
    year, index, length = _place(day)
    if 0 < index < length - 1:
        return dates_of_year(dates, year) >> index - 1 & 7
    lines = (dates_of_year(dates, year - 1), dates_of_year(dates, year), dates_of_year(dates, year + 1))
    before = length_of_year(year - 1)
    return (lines[0] | lines[1] << before | lines[2] << before + length) >> before + index - 1 & 7


@lru_cache(maxsize=8192)
def _place(day: int) -> tuple[int, int, int]:
    """The year of a date, its place in it from 0, and how many dates the year has."""
    year = date.fromordinal(day).year
    return year, day - date(year, 1, 1).toordinal(), length_of_year(year)


def length_of_year(year: int) -> int:
    return 366 if calendar.isleap(year) else 365


@lru_cache(maxsize=8192)
def _fires(cron: Cron, dates: int, pieces: tuple[_Piece, ...]) -> int:
    wall = 0  # the minutes of the three dates that a day of UTC can touch
    for index in range(3):
        if dates >> index & 1:
            wall |= cron.times << MINUTES * index
    result = 0
    for piece in pieces:
        bits = wall >> piece.wall & (1 << piece.length) - 1
        if cron.set_times:
            bits = bits >> piece.again << piece.again
            if wall >> piece.wall - piece.skipped & (1 << piece.skipped) - 1:
                bits |= 1
        result |= bits << piece.start
    return result


@lru_cache(maxsize=8192)
def _pieces(zone: ZoneInfo, day: int) -> tuple[_Piece, ...]:
    begin = day * MINUTES
    changes = _changes(zone, day - 1)[-1:] + _changes(zone, day)
    before = _offset(zone, begin)
    if not changes:
        return _even_day(before)
    starts = [(0, before, 0, 0)]
    for minute, old, new in changes:
        if minute < begin:
            starts[0] = (0, before, 0, max(0, old - new - (begin - minute)))
        else:
            started = (minute - begin, new, max(0, new - old), max(0, old - new))
            starts = [*(each for each in starts if each[0] < started[0]), started]
    ends = [*(start for start, *_ in starts[1:]), MINUTES]
    return tuple(
        _Piece(start, end - start, MINUTES + start + offset, skipped, min(again, end - start))
        for (start, offset, skipped, again), end in zip(starts, ends, strict=True)
    )


@lru_cache(maxsize=256)
def _even_day(offset: int) -> tuple[_Piece, ...]:
    return (_Piece(0, MINUTES, MINUTES + offset, 0, 0),)  # the same object each time: `_fires` is remembered by it


@lru_cache(maxsize=8192)
def _changes(zone: ZoneInfo, day: int) -> list[tuple[int, int, int]]:
    """Changes of the clocks in a day of UTC: the minute, and the offsets before and from then on, all in minutes."""
    low, last = day * MINUTES - 1, (day + 1) * MINUTES - 1
    found = []
    while (old := _offset(zone, low)) != _offset(zone, last):
        high = last
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
        found.append((high, old, _offset(zone, high)))
        low = high
    return found


def _offset(zone: ZoneInfo, minute: int) -> int:
    offset = instant(minute).astimezone(zone).utcoffset() or timedelta()
    return int(offset.total_seconds() // 60)


def instant(minute: int) -> datetime:
    """The beginning of a minute: `ordinal of the day · 1440 + minute of the day`, both of UTC."""
    return _FIRST + timedelta(minutes=minute - MINUTES)
