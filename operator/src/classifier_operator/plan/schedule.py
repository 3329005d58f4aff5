"""When a schedule is on: a window is when its last start is later than its last stop, the schedule when any window is.

Windows of cron expressions follow `cron` where the clocks change. The dates of the other windows are times of day too:
one that the clocks skip in spring is the instant of the change, one that comes twice in autumn is the first of the two.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from classifier_operator.api.schedule import DATE_PATTERN, WINDOW_SHAPES, Schedule, Window
from classifier_operator.errors import SpecError
from classifier_operator.plan.cron import MINUTES, Cron, instant, parse_cron
from classifier_operator.plan.cron_windows import LEAST_DAYS, CronWindow, cron_stretch

ALWAYS: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""Since when a schedule is on that was never seen to turn on."""

_KEPT_STRETCHES: Final = 4
_CHECKED_FOR: Final = timedelta(days=LEAST_DAYS // 2)
"""How long it is taken for granted that a schedule never changes, before that is looked at anew."""
_WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True)
class Change:
    """A turn of the schedule.

    Attributes:
        time: when, in UTC.
        to: whether it is on from then on.
    """

    time: datetime
    to: bool


@dataclass(frozen=True, slots=True)
class Span:
    """On from `start` until just before `stop`, both in UTC."""

    start: datetime
    stop: datetime


@dataclass(frozen=True, slots=True)
class Stretch:
    """The time around an instant over which nothing changes.

    Attributes:
        since: its first instant, in UTC; ALWAYS if no beginning is known.
        until: when it ends, in UTC; None if no end is known.
        checked: the instant that it was worked out for.
    """

    on: bool
    since: datetime
    until: datetime | None
    checked: datetime

    def holds(self, now: datetime) -> bool:
        begin = self.checked if self.since == ALWAYS else self.since
        return begin <= now < (self.until or self.checked + _CHECKED_FOR)


@dataclass(frozen=True, slots=True, eq=False)
class Parsed:
    """A schedule that was read: its windows of cron expressions, and its dates as spans that neither overlap nor touch.

    Attributes:
        known: the stretches that were asked for last, since each is asked for many times.
    """

    zone: ZoneInfo
    crons: tuple[CronWindow, ...]
    spans: tuple[Span, ...]
    known: list[Stretch] = field(default_factory=list, repr=False)


def parse_schedule(schedule: Schedule) -> Parsed:
    """Reads a schedule; what was read before is remembered.

    Raises:
        SpecError: InvalidTimeZone or InvalidSchedule, with the field and what to write.
    """
    return _parse(schedule.time_zone, tuple(schedule.windows))


def active(schedule: Parsed, now: datetime) -> bool:
    """Whether the schedule is on at an instant (aware)."""
    return stretch(schedule, now).on


def next_change(schedule: Parsed, now: datetime) -> Change | None:
    """The first instant after `now` at which the schedule turns on or off.

    None: it never does, as far as the search goes. That is 50 years, or, where windows take turns day and night without
    a gap, a number of days that falls from 4000 for one window to 400 for ten and more.
    """
    found = stretch(schedule, now)
    return Change(found.until, not found.on) if found.until is not None else None


def last_start(schedule: Parsed, now: datetime) -> datetime | None:
    """When the present activity began, in UTC: ALWAYS if it has been on as far back as the search goes; None if off."""
    found = stretch(schedule, now)
    return found.since if found.on else None


def next_start(schedule: Parsed, now: datetime) -> datetime | None:
    """The first instant after `now` at which the schedule turns on, in UTC; None if it never does."""
    found = stretch(schedule, now)
    if found.on and found.until is not None:
        found = stretch(schedule, found.until)
    return None if found.on else found.until


def stretch(schedule: Parsed, now: datetime) -> Stretch:
    """The time around an instant (aware) over which nothing changes."""
    for each in schedule.known:
        if each.holds(now):
            return each
    found = _find(schedule, now.astimezone(UTC))
    schedule.known[:] = [found, *schedule.known[: _KEPT_STRETCHES - 1]]
    return found


def display_time(when: datetime, zone: tzinfo, now: datetime) -> str:
    """A time for people, in a zone: `20:00 CET` today, `Mon 08:00 CET` within six days, else `2026-12-24 08:00 CET`."""
    local = when.astimezone(zone)
    days = (local.date() - now.astimezone(zone).date()).days
    time = f"{local:%H:%M} {local.tzname()}"
    if days == 0:
        return time
    return f"{_WEEKDAYS[local.weekday()] if 0 < days <= 6 else local.date().isoformat()} {time}"


@lru_cache(maxsize=4096)
def _parse(time_zone: str, windows: tuple[Window, ...]) -> Parsed:
    try:
        zone = ZoneInfo(time_zone)
    except (KeyError, ValueError, OSError) as error:  # OSError: e.g. Europe, which is a folder
        text = f"schedule.timeZone: there is no zone {time_zone!r}: write one of the IANA database, e.g. Europe/Berlin"
        raise SpecError("InvalidTimeZone", text) from error
    crons, spans = [], []
    for index, window in enumerate(windows):
        at = f"schedule.windows[{index}]"
        dates = [re.fullmatch(DATE_PATTERN, text) is not None for text in (window.start, window.stop)]
        if dates[0] != dates[1]:
            raise _invalid(f"{at}: start and stop must be written alike, each {WINDOW_SHAPES}")
        if dates[0]:
            start, stop = _date(f"{at}.start", window.start), _date(f"{at}.stop", window.stop)
            if stop <= start:
                raise _invalid(f"{at}.stop: must be after its start {window.start}: write a later date or time")
            spans.append(Span(_to_utc(start, zone), _to_utc(stop, zone)))
        else:
            crons.append(CronWindow(_cron(f"{at}.start", window.start), _cron(f"{at}.stop", window.stop)))
    return Parsed(zone, tuple(dict.fromkeys(crons)), _joined(spans))


def _cron(at: str, text: str) -> Cron:
    try:
        return parse_cron(text)
    except ValueError as error:
        raise _invalid(f"{at}: {text!r} {error}: write {WINDOW_SHAPES}") from error


def _date(at: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise _invalid(f"{at}: there is no date or time {text}: write e.g. 2026-12-24T08:00:00") from error


def _invalid(message: str) -> SpecError:
    return SpecError("InvalidSchedule", message)


def _to_utc(local: datetime, zone: ZoneInfo) -> datetime:
    first, second = (local.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first <= second:
        return first
    # The clocks skip it: `second` is before the change and `first` after. Halve the time between to a second.
    offset = second.astimezone(zone).utcoffset()
    while first - second > timedelta(seconds=1):
        middle = second + timedelta(seconds=(first - second) // timedelta(seconds=2))
        first, second = (first, middle) if middle.astimezone(zone).utcoffset() == offset else (middle, second)
    return first


def _joined(spans: Iterable[Span]) -> tuple[Span, ...]:
    joined: list[Span] = []
    for span in sorted(spans, key=lambda each: each.start):
        if span.start == span.stop:
            continue  # the clocks skip the whole of it
        if joined and span.start <= joined[-1].stop:
            joined[-1] = Span(joined[-1].start, max(joined[-1].stop, span.stop))
        else:
            joined.append(span)
    return tuple(joined)


def _find(schedule: Parsed, now: datetime) -> Stretch:
    cron = _cron_stretch(schedule, now)
    if not schedule.spans:
        return cron
    if cron.on or _span(schedule, now) is not None:
        return Stretch(True, _beginning(schedule, now), _end(schedule, now), now)
    since = max([cron.since, *(each.stop for each in schedule.spans if each.stop <= now)])
    starts = [each.start for each in schedule.spans if each.start > now]
    until = min([*starts, *([cron.until] if cron.until is not None else [])], default=None)
    return Stretch(False, since, until, now)


def _end(schedule: Parsed, now: datetime) -> datetime | None:
    """When the schedule that is on turns off: where a window ends another may go on."""
    while True:
        if (span := _span(schedule, now)) is not None:
            now = span.stop
            continue
        cron = _cron_stretch(schedule, now)
        if not cron.on or cron.until is None:
            return now if not cron.on else None
        now = cron.until


def _beginning(schedule: Parsed, now: datetime) -> datetime:
    """When the schedule that is on turned on."""
    while True:
        span = _span(schedule, now)
        began = span.start if span is not None else _cron_stretch(schedule, now).since
        before = began - timedelta.resolution
        if began == ALWAYS or (_span(schedule, before) is None and not _cron_stretch(schedule, before).on):
            return began
        now = before


def _span(schedule: Parsed, now: datetime) -> Span | None:
    return next((span for span in schedule.spans if span.start <= now < span.stop), None)


def _cron_stretch(schedule: Parsed, now: datetime) -> Stretch:
    """What the cron windows alone say."""
    if not schedule.crons:
        return Stretch(False, ALWAYS, None, now)
    minute = now.toordinal() * MINUTES + now.hour * 60 + now.minute
    found = cron_stretch(schedule.crons, schedule.zone, minute)
    since = instant(found.since) if found.since is not None else ALWAYS
    return Stretch(found.on, since, instant(found.until) if found.until is not None else None, now)
