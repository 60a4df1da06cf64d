"""Time limits on real calendars; expectations counted by hand on a calendar of the year."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.ledger.days import Limit, Unit, ends, is_business_day

PARIS = ZoneInfo("Europe/Paris")


def micros(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=PARIS).timestamp()) * 1_000_000


def end_day(start: str, value: int, unit: Unit, country: str = "FR") -> str:
    end = ends(micros(start), Limit(value, unit), PARIS, country)
    assert (end + 1) % 1_000_000 == 0
    last = datetime.fromtimestamp(end // 1_000_000, PARIS)
    assert f"{last:%H:%M:%S}" == "23:59:59"
    return f"{last:%Y-%m-%d}"


@pytest.mark.parametrize(
    ("start", "value", "unit", "last"),
    [
        ("2026-11-23T09:00", 5, "business-days", "2026-11-30"),  # Monday: Tuesday to Monday
        ("2026-11-20T18:00", 5, "business-days", "2026-11-27"),  # Friday evening
        ("2026-11-21T10:00", 5, "business-days", "2026-11-27"),  # Saturday: Monday is the first
        ("2026-11-09T10:00", 5, "business-days", "2026-11-17"),  # 11 November is a holiday
        ("2026-12-23T10:00", 5, "business-days", "2026-12-31"),  # Christmas is a Friday
        ("2026-04-30T10:00", 5, "business-days", "2026-05-11"),  # 1 and 8 May are Fridays
        ("2026-05-22T10:00", 1, "business-days", "2026-05-26"),  # Whit Monday
        ("2026-11-21T10:00", 10, "days", "2026-12-01"),
        ("2026-11-21T23:59", 10, "days", "2026-12-01"),
        ("2026-11-12T00:00", 10, "days", "2026-11-22"),  # ends on a Sunday all the same: the prudent reading
        ("2026-01-31T10:00", 1, "months", "2026-02-28"),
        ("2028-01-31T10:00", 1, "months", "2028-02-29"),
        ("2026-12-31T10:00", 2, "months", "2027-02-28"),
        ("2026-11-30T10:00", 1, "months", "2026-12-30"),
        ("2026-11-21T10:00", 1, "years", "2027-11-21"),
        ("2028-02-29T10:00", 1, "years", "2029-02-28"),
    ],
)
def test_civil_limits(start: str, value: int, unit: Unit, last: str) -> None:
    assert end_day(start, value, unit) == last


def test_hours_run_exactly_over_a_change_of_the_clock() -> None:
    start = micros("2026-10-23T10:00")  # clocks go back on the 25th: 72 hours later it is 09:00
    assert ends(start, Limit(72, "hours"), PARIS) == start + 72 * 3_600_000_000
    assert datetime.fromtimestamp(ends(start, Limit(72, "hours"), PARIS) // 1_000_000, PARIS).hour == 9


def test_the_day_begins_in_the_zone_of_the_site() -> None:
    late = int(datetime(2026, 11, 20, 23, 30, tzinfo=UTC).timestamp()) * 1_000_000  # 00:30 on the 21st in Paris
    end = datetime.fromtimestamp(ends(late, Limit(1, "days"), PARIS) // 1_000_000, PARIS)
    assert f"{end:%Y-%m-%d}" == "2026-11-22"


def test_countries_have_their_own_holidays() -> None:
    assert end_day("2026-07-20T10:00", 1, "business-days", "BE") == "2026-07-22"  # national day of Belgium
    assert end_day("2026-06-22T10:00", 1, "business-days", "LU") == "2026-06-24"  # and of Luxembourg
    assert end_day("2026-07-13T10:00", 1, "business-days", "FR") == "2026-07-15"
    assert end_day("2026-07-13T10:00", 1, "business-days", "XX") == "2026-07-14"


def test_a_start_beyond_the_calendar_is_an_error() -> None:
    with pytest.raises(ValueError, match="too late"):
        ends(int(datetime(9999, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000, Limit(1, "days"), PARIS)


@settings(max_examples=60, deadline=None)
@given(st.dates(date(2020, 1, 1), date(2035, 12, 31)), st.integers(1, 40))
def test_business_days_are_as_many_as_the_limit_says(first: date, value: int) -> None:
    last = date.fromisoformat(end_day(f"{first}T12:00", value, "business-days"))
    between = [first + timedelta(days=n) for n in range(1, (last - first).days + 1)]
    assert sum(map(is_business_day, between)) == value
    assert is_business_day(last)
