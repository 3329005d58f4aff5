"""Windows between two cron expressions: whether any is on, since when, and until when.

Everything is counted in minutes of UTC, a day at a time (see `cron`). Days on which nothing can fire are passed over by
the masks of the years, so that neither a window for 29 February nor one that never fires costs a walk through decades.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from classifier_operator.plan.cron import FULL, MINUTES, Cron, dates_of_year, fires

SEARCH_YEARS: Final = 50
"""How far a change is looked for; so does cronsim."""
LEAST_DAYS: Final = 400
_WINDOW_DAYS: Final = 4000


def search_days(windows: int) -> int:
    """How many days on which something fires, without any change, it takes to say that nothing ever changes: more than
    ten years of them for one window, but not too much work for many."""
    return max(LEAST_DAYS, _WINDOW_DAYS // windows)


@dataclass(frozen=True, slots=True)
class CronWindow:
    """On from each start to the next stop; a stop wins over a start at the same minute."""

    start: Cron
    stop: Cron


@dataclass(frozen=True, slots=True)
class CronStretch:
    """The time around a minute over which nothing changes, as minutes of UTC since ordinal 0.

    Attributes:
        since: when it began; None: it has always been so.
        until: when it ends; None: it will always be so.
    """

    on: bool
    since: int | None
    until: int | None


def cron_stretch(windows: Sequence[CronWindow], zone: ZoneInfo, minute: int) -> CronStretch:
    """What the windows say at a minute."""
    day, now = divmod(minute, MINUTES)
    dates = tuple({cron.dates for window in windows for cron in (window.start, window.stop)})
    state = _state_before(windows, zone, day)
    line, after = _line(windows, zone, day, state)
    changes = _changes(line, state)
    if earlier := changes & (2 << now) - 1:
        since: int | None = day * MINUTES + earlier.bit_length() - 1
    else:
        since = _last_change(windows, zone, dates, day)
    if later := changes >> now + 1:
        until: int | None = minute + 1 + _lowest(later)
    else:
        until = _next_change(windows, zone, dates, day + 1, after)
    return CronStretch(bool(line >> now & 1), since, until)


def _next_change(
    windows: Sequence[CronWindow], zone: ZoneInfo, dates: Sequence[str], first: int, state: int
) -> int | None:
    last = first + SEARCH_YEARS * 366
    for _ in range(search_days(len(windows))):
        day = _next_day(dates, first, last)
        if day is None:
            return None
        line, after = _line(windows, zone, day, state)
        if changes := _changes(line, state):
            return day * MINUTES + _lowest(changes)
        first, state = day + 1, after
    return None


def _last_change(windows: Sequence[CronWindow], zone: ZoneInfo, dates: Sequence[str], end: int) -> int | None:
    """The last change before the day `end`. A day's line depends on those before, so blocks of days are gone through
    forwards, each longer and earlier than the one before."""
    first = end - SEARCH_YEARS * 366
    left, size = search_days(len(windows)), 2
    while left > 0:
        block = _days_before(dates, first, end, min(size, left))
        if not block:
            return None
        found = None
        state = _state_before(windows, zone, block[0])
        for day in block:
            line, after = _line(windows, zone, day, state)
            if changes := _changes(line, state):
                found = day * MINUTES + changes.bit_length() - 1
            state = after
        if found is not None:
            return found
        end, left, size = block[0], left - size, 4 * size
    return None


def _days_before(dates: Sequence[str], first: int, end: int, count: int) -> list[int]:
    days: list[int] = []
    while len(days) < count and (day := _previous_day(dates, first, end - 1)) is not None:
        days.append(day)
        end = day
    return days[::-1]


def _state_before(windows: Sequence[CronWindow], zone: ZoneInfo, day: int) -> int:
    """Which windows are on as a day begins: bit i for window i."""
    state = 0
    for index, window in enumerate(windows):
        if _ended_on(window, zone, day):
            state |= 1 << index
    return state


def _ended_on(window: CronWindow, zone: ZoneInfo, end: int) -> bool:
    first = end - SEARCH_YEARS * 366
    dates = (window.start.dates, window.stop.dates)
    day = _previous_day(dates, first, end - 1)
    while day is not None:
        start, stop = fires(window.start, zone, day), fires(window.stop, zone, day)
        if start | stop:
            return start & ~stop > stop  # the later one has the highest bit
        day = _previous_day(dates, first, day - 1)
    return False


def _line(windows: Sequence[CronWindow], zone: ZoneInfo, day: int, state: int) -> tuple[int, int]:
    """The minutes of a day at which any window is on, and which windows are on as it ends.

    A window's minutes are the carries of one addition, as in an adder: a start generates a carry (1 + 1), a stop kills
    it (0 + 0), and any other minute passes it on (0 + 1).
    """
    line = after = 0
    for index, window in enumerate(windows):
        start, stop = fires(window.start, zone, day), fires(window.stop, zone, day)
        start &= ~stop
        passing = start | FULL & ~stop
        carries = (start + passing + (state >> index & 1) ^ start ^ passing) >> 1
        line |= carries
        after |= carries >> MINUTES - 1 << index
    return line, after


def _changes(line: int, state: int) -> int:
    """The minutes of a day at which it is not as in the minute before."""
    return (line ^ (line << 1 | (state != 0))) & FULL


def _lowest(bits: int) -> int:
    return (bits & -bits).bit_length() - 1


def _next_day(dates: Sequence[str], first: int, last: int) -> int | None:
    """The first day of UTC of these on which something can fire."""
    # A day of UTC touches the dates before and after it too.
    for begin, bits in _years(dates, first - 1, last + 1):
        if bits:
            return max(first, begin + _lowest(bits) - 1)
    return None


def _previous_day(dates: Sequence[str], first: int, last: int) -> int | None:
    """The last day of UTC of these on which something can fire."""
    for begin, bits in _years_back(dates, first - 1, last + 1):
        if bits:
            return min(last, begin + bits.bit_length())
    return None


def _years(dates: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    """For each year between two dates: the first date of it that is looked at, and from there on those that match."""
    while first <= last:
        year = date.fromordinal(first).year
        bits = _any(dates, year) >> first - date(year, 1, 1).toordinal()
        following = date(year + 1, 1, 1).toordinal()
        yield first, bits & (1 << last - first + 1) - 1
        first = following


def _years_back(dates: Sequence[str], first: int, last: int) -> Iterator[tuple[int, int]]:
    """The same backwards: 1 January, and from there on the dates between the two that match."""
    while first <= last:
        year = date.fromordinal(last).year
        begin = date(year, 1, 1).toordinal()
        bits = _any(dates, year) & (1 << last - begin + 1) - 1
        yield begin, bits >> first - begin << first - begin if first > begin else bits
        last = begin - 1


def _any(dates: Sequence[str], year: int) -> int:
    bits = 0
    for each in dates:
        bits |= dates_of_year(each, year)
    return bits
