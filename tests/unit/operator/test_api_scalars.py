"""Durations as GEP-2257 writes them, and times as metav1.Time does."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier_operator.api.scalars import format_duration, format_time, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30m", 1800), ("1h30m", 5400), ("45s", 45), ("1500ms", 1.5), ("1h1m1s1ms", 3661.001), ("0s", 0), ("90m", 5400)],
)
def test_parses_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "30", "30 m", "-1h", "1.5h", "1d", "123456s", "1h1m1s1ms1h", "m", "1M"])
def test_refuses_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match=r"write e\.g\. 30m"):
        parse_duration(text)


@given(st.integers(min_value=0, max_value=99_999 * 3_600_000))
def test_formatting_is_the_inverse_of_parsing(milliseconds: int) -> None:
    value = timedelta(milliseconds=milliseconds)
    assert parse_duration(format_duration(value)) == value


def test_formats_times_in_utc_and_whole_seconds() -> None:
    there = datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=2)))
    assert format_time(there) == "2026-01-02T01:04:05Z"
    assert format_time(datetime(2026, 1, 2, tzinfo=UTC)) == "2026-01-02T00:00:00Z"
