"""When a schedule is on: each of the cases that other tools get wrong, both changes of the clocks, what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from cronsim import CronSim

from classifier_operator.api.schedule import Schedule
from classifier_operator.errors import SpecError
from classifier_operator.plan.cron import FULL, fires, parse_cron
from classifier_operator.plan.schedule import (
    ALWAYS,
    Change,
    Parsed,
    active,
    display_time,
    last_start,
    next_change,
    next_start,
    parse_schedule,
)

BERLIN = "Europe/Berlin"
NEW_YORK = "America/New_York"
LORD_HOWE = "Australia/Lord_Howe"
"""Changes its clocks by half an hour."""
CAIRO = "Africa/Cairo"
"""Changes its clocks at midnight."""
CHANGES = [
    (BERLIN, "2026-03-29T01:00"),
    (BERLIN, "2026-10-25T01:00"),
    (NEW_YORK, "2026-03-08T07:00"),
    (NEW_YORK, "2026-11-01T06:00"),
    (LORD_HOWE, "2026-04-04T15:00"),
    (LORD_HOWE, "2026-10-03T15:30"),
    (CAIRO, "2026-04-23T22:00"),
    (CAIRO, "2026-10-29T21:00"),
]
HALF_HOUR = timedelta(minutes=30)


def schedule_of(zone: str, *windows: tuple[str, str]) -> Parsed:
    given = [{"start": start, "stop": stop} for start, stop in windows]
    return parse_schedule(Schedule.from_json_object({"timeZone": zone, "windows": given}))


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def at(text: str, zone: str = BERLIN) -> datetime:
    """An instant, by what clocks in a zone show."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone)).astimezone(UTC)


def stretches(schedule: Parsed, begin: datetime, end: datetime) -> list[tuple[str, str]]:
    """When it is on between two instants at which it is off, as clocks in its zone show it."""
    turns: list[str] = []
    now = begin
    while (change := next_change(schedule, now)) is not None and change.time < end:
        assert change.to == (len(turns) % 2 == 0)
        turns.append(f"{change.time.astimezone(schedule.zone):%m-%dT%H:%M:%S%z}")
        now = change.time
    return list(zip(turns[::2], turns[1::2], strict=True))


@pytest.mark.parametrize("stop", ["0 20 * * *", "0 20 * * 1-5"])
def test_a_start_on_weekdays_leaves_the_weekend_off(stop: str) -> None:
    schedule = schedule_of(BERLIN, ("0 8 * * 1-5", stop))
    assert stretches(schedule, at("2026-12-03T00:00"), at("2026-12-09T00:00")) == [
        ("12-03T08:00:00+0100", "12-03T20:00:00+0100"),
        ("12-04T08:00:00+0100", "12-04T20:00:00+0100"),
        ("12-07T08:00:00+0100", "12-07T20:00:00+0100"),
        ("12-08T08:00:00+0100", "12-08T20:00:00+0100"),
    ]
    assert [active(schedule, at(f"2026-12-05T{hour:02}:00")) for hour in range(24)] == [False] * 24


@pytest.mark.parametrize(("zone", "change"), CHANGES)
@pytest.mark.parametrize(
    ("windows", "hours"),
    [
        ([("0 8 * * *", "0 20 * * *")], range(8, 20)),
        ([("0 20 * * *", "0 8 * * *")], {*range(20, 24), *range(8)}),
        ([("0 4 * * *", "0 22 * * *")], range(4, 22)),
        ([("0 22 * * *", "0 4 * * *")], {22, 23, *range(4)}),
        ([("0 4-8/2 * * *", "0 22 * * *")], range(4, 22)),
        ([("30 22 * * *", "0 23 * * *"), ("0 4 * * *", "30 5 * * *")], {22.5, 4, 4.5, 5}),
    ],
)
def test_every_half_hour_around_a_change_of_the_clocks(
    zone: str, change: str, windows: list[tuple[str, str]], hours: list[float]
) -> None:
    """Windows whose ends do not lie in the change: what the clocks show says whether they are on."""
    schedule = schedule_of(zone, *windows)
    whole = {int(hour) for hour in hours if hour + 0.5 in hours or all(isinstance(each, int) for each in hours)}
    for index in range(-96, 97):
        now = utc(change) + index * HALF_HOUR
        local = now.astimezone(schedule.zone)
        expected = local.hour in whole or local.hour + local.minute / 60 in hours
        assert active(schedule, now) == expected, local
        assert active(schedule, now + HALF_HOUR - timedelta.resolution) == expected, local


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK, LORD_HOWE, CAIRO])
@pytest.mark.parametrize(
    "window", [("0 8 * * *", "0 20 * * *"), ("30 21 * * *", "30 6 * * *"), ("5 2 * * *", "5 5 * * *")]
)
def test_a_year_loses_no_night_and_gains_no_day(zone: str, window: tuple[str, str]) -> None:
    found = stretches(schedule_of(zone, window), at("2026-01-01T07:00", zone), at("2027-01-01T07:00", zone))
    assert len(found) == 365
    assert len({start[:5] for start, _ in found}) == 365


def test_the_weekday_is_that_of_the_zone() -> None:
    schedule = schedule_of("Pacific/Auckland", ("0 6 * * 1", "0 9 * * 1"))
    # Monday morning in Auckland is Sunday evening in UTC.
    assert stretches(schedule, utc("2026-06-06T00:00"), utc("2026-06-12T00:00")) == [
        ("06-08T06:00:00+1200", "06-08T09:00:00+1200")
    ]
    assert last_start(schedule, utc("2026-06-07T20:00")) == utc("2026-06-07T18:00")
    schedule = schedule_of("America/Los_Angeles", ("0 20 * * FRI", "0 22 * * FRI"))
    assert next_start(schedule, utc("2026-06-10T00:00")) == utc("2026-06-13T03:00")


def test_start_and_stop_on_different_days() -> None:
    schedule = schedule_of(BERLIN, ("0 18 * * 5", "0 6 * * 1"))
    assert stretches(schedule, at("2026-10-20T00:00"), at("2026-11-04T00:00")) == [
        ("10-23T18:00:00+0200", "10-26T06:00:00+0100"),
        ("10-30T18:00:00+0100", "11-02T06:00:00+0100"),
    ]


@pytest.mark.parametrize(
    ("zone", "window", "day", "expected"),
    [
        (BERLIN, ("30 2 * * *", "45 2 * * *"), "2026-10-25", [("10-25T02:30:00+0200", "10-25T02:45:00+0200")]),
        (BERLIN, ("30 2 * * *", "0 3 * * *"), "2026-10-25", [("10-25T02:30:00+0200", "10-25T03:00:00+0100")]),
        (BERLIN, ("30 1 * * *", "30 2 * * *"), "2026-10-25", [("10-25T01:30:00+0200", "10-25T02:30:00+0200")]),
        (
            BERLIN,
            ("*/40 2 * * *", "15,45 2,3 * * *"),  # the start fires in both of the hours, the stop in the first only
            "2026-10-25",
            [
                ("10-25T02:00:00+0200", "10-25T02:15:00+0200"),
                ("10-25T02:40:00+0200", "10-25T02:45:00+0200"),
                ("10-25T02:00:00+0100", "10-25T03:15:00+0100"),
            ],
        ),
        (BERLIN, ("30 2 * * *", "30 3 * * *"), "2026-03-29", [("03-29T03:00:00+0200", "03-29T03:30:00+0200")]),
        (BERLIN, ("30 1 * * *", "30 2 * * *"), "2026-03-29", [("03-29T01:30:00+0100", "03-29T03:00:00+0200")]),
        (BERLIN, ("10 2 * * *", "50 2 * * *"), "2026-03-29", []),
        (BERLIN, ("0 * 29 3 *", "30 * * * *"), "2026-03-29", 23),
        (BERLIN, ("0 * 25 10 *", "30 * * * *"), "2026-10-25", 25),
        (LORD_HOWE, ("*/15 3 * * *", "45 3 * * *"), "2026-10-04", [("10-04T03:00:00+1100", "10-04T03:45:00+1100")]),
        (LORD_HOWE, ("15 2 * * *", "0 3 * * *"), "2026-10-04", [("10-04T02:30:00+1100", "10-04T03:00:00+1100")]),
        (LORD_HOWE, ("45 1 * * *", "0 2 * * *"), "2026-04-05", [("04-05T01:45:00+1100", "04-05T02:00:00+1030")]),
        (CAIRO, ("0 0 24 4 *", "0 2 24 4 *"), "2026-04-24", [("04-24T01:00:00+0300", "04-24T02:00:00+0300")]),
        (CAIRO, ("30 23 29 10 *", "0 0 30 10 *"), "2026-10-29", [("10-29T23:30:00+0300", "10-30T00:00:00+0200")]),
        # A zone that left out the whole of 30 December.
        (
            "Pacific/Apia",
            ("0 8 30 12 *", "0 9 31 12 *"),
            "2011-12-31",
            [("12-31T00:00:00+1400", "12-31T09:00:00+1400")],
        ),
    ],
)
def test_times_that_are_skipped_or_come_twice(
    zone: str, window: tuple[str, str], day: str, expected: int | list[tuple[str, str]]
) -> None:
    schedule = schedule_of(zone, window)
    following = date.fromisoformat(day) + timedelta(days=1)
    found = stretches(schedule, at(f"{day}T00:00", zone) - timedelta.resolution, at(f"{following}T00:05", zone))
    assert (len(found) if isinstance(expected, int) else found) == expected


def test_any_other_expression_fires_whenever_the_clocks_show_its_time() -> None:
    schedule = schedule_of(BERLIN, ("*/30 2 * * *", "*/15 2 * * *"), ("*/59 2 * * *", "30 2-3 * * *"))
    assert stretches(schedule, at("2026-10-25T01:00"), at("2026-10-25T12:00")) == [
        # Never by the first window, whose stops are at each of its starts.
        ("10-25T02:00:00+0200", "10-25T02:30:00+0200"),
        ("10-25T02:59:00+0200", "10-25T03:30:00+0100"),
    ]
    assert stretches(schedule, at("2026-03-29T01:00"), at("2026-03-29T12:00")) == []


@pytest.mark.parametrize("zone", [BERLIN, NEW_YORK])
@pytest.mark.parametrize(
    "text", ["30 2 * * *", "0,30 1-3 * * *", "15 2 * * 0", "*/20 2 * * *", "7 */2 * * *", "0 0 1 * *"]
)
def test_fires_as_cronsim_does_where_the_clocks_change_by_an_hour(zone: str, text: str) -> None:
    cron, info = parse_cron(text), ZoneInfo(zone)
    begin = utc("2026-01-01T00:00")
    found = []
    for day in range(366):
        bits = fires(cron, info, begin.toordinal() + day)
        assert 0 <= bits <= FULL
        found += [begin + timedelta(days=day, minutes=minute) for minute in range(1440) if bits >> minute & 1]
    walk = CronSim(text, (begin - timedelta.resolution).astimezone(info))
    assert found == [next(walk).astimezone(UTC) for _ in found]
    assert next(walk).astimezone(UTC) >= begin + timedelta(days=366)


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [
        ("2026-03-29T02:30", "2026-03-29T04:00", ("2026-03-29T01:00", "2026-03-29T02:00")),
        ("2026-03-29T01:30", "2026-03-29T02:30", ("2026-03-29T00:30", "2026-03-29T01:00")),
        ("2026-03-29T02:30", "2026-03-29T03:10", ("2026-03-29T01:00", "2026-03-29T01:10")),
        ("2026-10-25T02:30", "2026-10-25T02:45", ("2026-10-25T00:30", "2026-10-25T00:45")),
        ("2026-10-25T02:30", "2026-10-25T03:00", ("2026-10-25T00:30", "2026-10-25T02:00")),
        ("2026-12-24T08:00:15", "2026-12-24T12:00:30", ("2026-12-24T07:00:15", "2026-12-24T11:00:30")),
        ("2026-12-24T08:00", "2026-12-24T08:00:01", ("2026-12-24T07:00", "2026-12-24T07:00:01")),
        ("2026-06-01T00:00", "2028-06-01T00:00", ("2026-05-31T22:00", "2028-05-31T22:00")),
    ],
)
def test_a_window_of_dates_is_on_once(start: str, stop: str, expected: tuple[str, str]) -> None:
    schedule = schedule_of(BERLIN, (start, stop))
    begin, end = utc(expected[0]), utc(expected[1])
    assert next_change(schedule, utc("2026-01-01T00:00")) == Change(begin, True)
    assert next_change(schedule, begin) == Change(end, False)
    assert next_change(schedule, end) is None
    assert next_start(schedule, begin) is None
    assert last_start(schedule, end - timedelta.resolution) == begin
    assert [active(schedule, each - timedelta.resolution) for each in (begin, end)] == [False, True]
    assert [active(schedule, each) for each in (begin, end)] == [True, False]


def test_dates_that_the_clocks_skip_altogether_are_never_on() -> None:
    schedule = schedule_of(BERLIN, ("2026-03-29T02:10", "2026-03-29T02:50"))
    assert next_change(schedule, utc("2026-03-01T00:00")) is None


def test_windows_add_up() -> None:
    schedule = schedule_of(
        BERLIN,
        ("0 8 * * 1-5", "0 12 * * 1-5"),
        ("0 12 * * 1-5", "0 18 * * 1-5"),  # touches the first
        ("2026-12-24T17:00", "2026-12-24T20:00"),  # a Thursday: goes on after the second
        ("2026-12-24T19:30", "2026-12-25T09:00"),  # overlaps with it, and with Friday's morning
        ("2026-12-26T10:00", "2026-12-26T11:00"),
        ("2026-12-26T11:00", "2026-12-26T12:00"),
    )
    assert stretches(schedule, at("2026-12-23T00:00"), at("2026-12-28T00:00")) == [
        ("12-23T08:00:00+0100", "12-23T18:00:00+0100"),
        ("12-24T08:00:00+0100", "12-25T18:00:00+0100"),
        ("12-26T10:00:00+0100", "12-26T12:00:00+0100"),
    ]
    for hour in ("24T08:00", "24T17:00", "24T23:00", "25T08:59", "25T17:59:59"):
        assert last_start(schedule, at(f"2026-12-{hour}")) == at("2026-12-24T08:00")
        assert next_start(schedule, at(f"2026-12-{hour}")) == at("2026-12-26T10:00")
    assert last_start(schedule, at("2026-12-25T18:00")) is None


def test_stop_wins_at_the_same_instant() -> None:
    schedule = schedule_of(BERLIN, ("0 8,12 * * *", "0 12,20 * * *"))
    assert stretches(schedule, at("2026-07-01T00:00"), at("2026-07-02T00:00")) == [
        ("07-01T08:00:00+0200", "07-01T12:00:00+0200")
    ]
    never = schedule_of(BERLIN, ("* * * * *", "* * * * *"))
    assert not active(never, at("2026-07-01T00:00"))
    assert next_change(never, at("2026-07-01T00:00")) is None


@pytest.mark.parametrize(
    "window", [("0 0 30 2 *", "0 20 * * *"), ("* * */20 * 1L", "0 20 * * *"), ("0 0 31 4,6 *", "* * * * *")]
)
def test_a_start_that_never_comes(window: tuple[str, str]) -> None:
    schedule = schedule_of(BERLIN, window)
    now = utc("2026-06-01T00:00")
    assert not active(schedule, now)
    assert next_change(schedule, now) is None
    assert next_start(schedule, now) is None


@pytest.mark.parametrize("start", ["* * * * *", "0 8 * * *", "0 0 1 1 *", "0 0 29 2 *"])
def test_a_stop_that_never_comes(start: str) -> None:
    schedule = schedule_of(BERLIN, (start, "0 0 30 2 *"))
    now = utc("2026-06-01T00:00")
    assert active(schedule, now)
    assert next_change(schedule, now) is None
    assert next_start(schedule, now) is None
    assert last_start(schedule, now) == ALWAYS


def test_windows_that_take_turns_without_a_gap_are_always_on() -> None:
    schedule = schedule_of(BERLIN, ("0 6 * * *", "0 18 * * *"), ("0 18 * * *", "0 6 * * *"))
    now = utc("2026-10-25T00:30")
    assert active(schedule, now)
    assert last_start(schedule, now) == ALWAYS
    assert next_change(schedule, now) is None
    assert next_change(schedule, now + timedelta(days=200)) is None
    with_gap = schedule_of(
        BERLIN, ("0 6 * * *", "0 18 * * *"), ("0 18 * * 1-6", "0 6 * * *"), ("0 18 1-24,26-31 * *", "0 6 * * *")
    )
    assert next_change(with_gap, now) == Change(at("2026-10-25T18:00"), False)
    assert next_start(with_gap, now) == at("2026-10-26T06:00")


def test_a_change_that_is_years_away() -> None:
    schedule = schedule_of(NEW_YORK, ("0 0 29 2 *", "0 0 1 3 *"))
    assert (
        stretches(schedule, at("2026-01-01T00:00"), at("2037-01-01T00:00"))
        == [("02-29T00:00:00-0500", "03-01T00:00:00-0500")] * 3
    )
    assert next_start(schedule, utc("2097-01-01T00:00")) == at("2104-02-29T00:00", NEW_YORK)
    for year in (2026, 2098):
        assert next_start(schedule_of(BERLIN, ("0 9 1 6 *", "0 9 2 6 *")), at(f"{year}-06-02T09:00")) == at(
            f"{year + 1}-06-01T09:00"
        )


def test_windows_that_turn_each_minute() -> None:
    schedule = schedule_of(BERLIN, ("*/2 * * * *", "1-59/2 * * * *"))
    now = utc("2026-10-25T00:00:30")
    assert active(schedule, now)
    assert last_start(schedule, now) == utc("2026-10-25T00:00")
    assert next_change(schedule, now) == Change(utc("2026-10-25T00:01"), False)
    assert next_start(schedule, now) == utc("2026-10-25T00:02")


def test_fields_of_cron_are_read_as_debian_does() -> None:
    both = schedule_of("UTC", ("0 0 13 * 5", "30 0 * * *"))  # neither begins with a star: either is enough
    assert [each[0][:5] for each in stretches(both, utc("2026-02-01T12:00"), utc("2026-03-01T00:00"))] == [
        "02-06",
        "02-13",
        "02-20",
        "02-27",
    ]
    odd_mondays = schedule_of("UTC", ("0 0 */2 * MON", "30 0 * * *"))  # one begins with a star: both are needed
    assert [each[0][:5] for each in stretches(odd_mondays, utc("2026-02-01T12:00"), utc("2026-03-01T00:00"))] == [
        "02-09",
        "02-23",
    ]
    last = schedule_of("UTC", ("0 0 L * *", "30 0 * * *"))
    assert [each[0][:5] for each in stretches(last, utc("2027-12-01T12:00"), utc("2028-03-01T12:00"))] == [
        "12-31",
        "01-31",
        "02-29",
    ]


def test_the_same_schedule_is_read_once_and_asked_in_any_order() -> None:
    windows = ("0 6 * * *", "0 18 * * *"), ("2026-07-01T17:00", "2026-07-02T08:00")
    schedule = schedule_of(BERLIN, *windows)
    assert schedule_of(BERLIN, *windows) is schedule
    times = [at("2026-06-28T00:00") + index * timedelta(hours=5) for index in range(50)]
    expected = [
        6 <= each.astimezone(schedule.zone).hour < 18 or at("2026-07-01T17:00") <= each < at("2026-07-02T08:00")
        for each in times
    ]
    assert [active(schedule, each) for each in times] == expected
    assert [active(schedule, each) for each in times[::-1]] == expected[::-1]
    assert [active(schedule, each) for each in times[::7] + times[::3]] == expected[::7] + expected[::3]


@pytest.mark.parametrize(
    ("zone", "window", "words"),
    [
        (
            "Europe/Berln",
            ("0 8 * * *", "0 9 * * *"),
            ["schedule.timeZone", "'Europe/Berln'", "e.g. "],
        ),
        ("Europe", ("0 8 * * *", "0 9 * * *"), ["schedule.timeZone", "IANA"]),
        (BERLIN, ("0 25 * * *", "0 9 * * *"), ["windows[1].start", "bad hour", "e.g. 0 8 * * 1-5"]),
        (BERLIN, ("0 8 * * *", "0 9 * * 1-9"), ["windows[1].stop", "bad day-of-week"]),
        (BERLIN, ("0 8 32 2 *", "0 9 * * *"), ["windows[1].start", "bad day-of-month"]),
        (BERLIN, ("0 8 30 13 *", "0 9 * * *"), ["windows[1].start", "bad month"]),
        (BERLIN, ("0 0 8 * * *", "0 9 * * *"), ["windows[1].start", "has not five fields"]),
        (BERLIN, ("@daily", "0 9 * * *"), ["windows[1].start", "has not five fields"]),
        (BERLIN, ("0 8 * * *", "2026-12-24T12:00"), ["windows[1]:", "alike"]),
        (BERLIN, ("2026-12-24T12:00", "0 8 * * *"), ["windows[1]:", "alike"]),
        (BERLIN, ("2026-02-30T12:00", "2026-12-24T12:00"), ["windows[1].start", "2026-02-30T12:00"]),
        (BERLIN, ("2026-02-01T12:00", "2026-02-01T24:30"), ["windows[1].stop", "2026-02-01T24:30"]),
        (
            BERLIN,
            ("2026-02-01T12:00Z", "2026-02-02T12:00Z"),
            ["windows[1].start", "without an offset"],
        ),
        (
            BERLIN,
            ("2026-02-01T12:00", "2026-02-01T12:00:00"),
            ["windows[1].stop", "after its start"],
        ),
        (BERLIN, ("2026-02-02T12:00", "2026-02-01T12:00"), ["windows[1].stop", "after its start"]),
    ],
)
def test_says_what_to_write_instead(zone: str, window: tuple[str, str], words: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        schedule_of(zone, ("0 8 * * *", "0 9 * * *"), window)
    assert caught.value.reason == ("InvalidTimeZone" if "schedule.timeZone" in words else "InvalidSchedule")
    assert [word for word in words if word not in caught.value.message] == []


@pytest.mark.parametrize(
    ("when", "now", "expected"),
    [
        ("2026-12-23T20:00", "2026-12-23T08:00", "20:00 CET"),
        ("2026-07-01T20:00", "2026-07-01T00:30", "20:00 CEST"),
        ("2026-12-28T08:00", "2026-12-24T23:00", "Mon 08:00 CET"),
        ("2026-12-25T00:00", "2026-12-24T23:59", "Fri 00:00 CET"),
        ("2026-12-30T23:00", "2026-12-24T01:00", "Wed 23:00 CET"),
        ("2026-12-31T00:00", "2026-12-24T23:59", "2026-12-31 00:00 CET"),
        ("2026-12-23T20:00", "2026-12-24T08:00", "2026-12-23 20:00 CET"),
    ],
)
def test_shows_times_in_the_zone(when: str, now: str, expected: str) -> None:
    assert display_time(at(when), ZoneInfo(BERLIN), at(now)) == expected


def test_shows_the_date_of_the_zone_and_not_that_of_utc() -> None:
    assert display_time(utc("2026-06-10T23:00"), ZoneInfo("Asia/Tokyo"), utc("2026-06-11T01:00")) == "08:00 JST"
    assert display_time(utc("2026-06-11T09:05"), UTC, utc("2026-06-11T01:00")) == "09:05 UTC"
