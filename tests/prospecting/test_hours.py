"""French public holidays, and whose clock counts."""

from __future__ import annotations

from datetime import date

import pytest
from holidays import country_holidays

from guard.prospecting.hours import holidays, zone_of


def test_holidays_of_2026() -> None:
    days = ["01-01", "04-06", "05-01", "05-08", "05-14", "05-25", "07-14", "08-15", "11-01", "11-11", "12-25"]
    assert sorted(holidays(2026)) == [date.fromisoformat(f"2026-{d}") for d in days]


@pytest.mark.parametrize("year", range(2020, 2041))
def test_there_are_eleven_a_year(year: int) -> None:
    assert len(holidays(year)) == 11


@pytest.mark.parametrize("year", range(2009, 2101))
def test_they_are_those_of_the_package_that_knows_every_country(year: int) -> None:
    assert holidays(year) == set(country_holidays("FR", years=year))


@pytest.mark.parametrize(
    ("number", "zone"),
    [
        ("+33145678900", "Europe/Paris"),
        ("+33612345678", "Europe/Paris"),
        ("+262262123456", "Indian/Reunion"),
        ("+262692123456", "Indian/Reunion"),
        ("+262269123456", "Indian/Mayotte"),
        ("+262639123456", "Indian/Mayotte"),
        ("+262947812345", "Indian/Mayotte"),
        ("+262947912345", "Indian/Reunion"),
        ("+590590123456", "America/Guadeloupe"),
        ("+596596123456", "America/Martinique"),
        ("+594594123456", "America/Cayenne"),
        ("+508412345", "America/Miquelon"),
    ],
)
def test_zone(number: str, zone: str) -> None:
    assert zone_of(number).key == zone
