"""What a call is taken to cost, which destinations are costly, and when offices are closed."""

from __future__ import annotations

from datetime import datetime
from typing import Final
from zoneinfo import ZoneInfo

import pytest

from guard.detectors.words import FREE, Price
from guard.rules.detect import Prices
from guard.rules.prices import is_closed, price_of
from tests.deciding import NOW, policy_of

PARIS: Final = ZoneInfo("Europe/Paris")
REUNION: Final = ZoneInfo("Indian/Reunion")
HIGH: Final = Price(150, dear=True, costly=True)


@pytest.mark.parametrize(
    ("value", "price"),
    [
        ("+33199000001", FREE),
        ("+262262123456", FREE),  # Réunion
        ("+33800123456", FREE),
        ("112", FREE),
        ("+12125550100", Price(20)),
        ("+5351234567", HIGH),  # Cuba
        ("+88161234567", HIGH),  # a satellite
        ("+442071234567", Price(60)),  # elevated: firms call there every day
        ("+41443123456", Price(60)),
        ("+33825123456", Price(20, 50, sva=True)),
        ("+33899123456", Price(80, 300, sva=True, costly=True)),
        ("118218", Price(80, 300, sva=True, costly=True)),
        ("3949", Price(80, sva=True)),  # some of these are free: not stopped on one sign
        ("", FREE),
        ("x", FREE),
    ],
)
def test_price(value: str, price: Price) -> None:
    assert price_of(value, NOW, policy_of().terms["operator"].destinations, Prices()) == price


def test_prices_are_settings() -> None:
    destinations = policy_of().terms["operator"].destinations
    prices = Prices(cents_high=9, cents_elevated=8, cents_foreign=7, cents_costly=81, known=("+53", "+2613"))
    found = [price_of(n, NOW, destinations, prices) for n in ("+37129123456", "+442071234567", "+1212555010")]
    assert found == [Price(9, dear=True, costly=True), Price(8), Price(7)]
    assert price_of("+33899123456", NOW, destinations, prices) == Price(80, 300, sva=True)
    assert price_of("+5351234567", NOW, destinations, prices) == Price(7), "a country that the site calls by habit"
    assert price_of("+261341234567", NOW, destinations, prices) == Price(7)
    assert price_of("+261201234567", NOW, destinations, prices).dear


@pytest.mark.parametrize(
    ("then", "zone", "closed"),
    [
        ("2026-11-23T06:59", PARIS, True),
        ("2026-11-23T07:00", PARIS, False),
        ("2026-11-23T19:59", PARIS, False),
        ("2026-11-23T20:00", PARIS, True),
        ("2026-11-21T12:00", PARIS, True),  # a Saturday
        ("2026-11-11T12:00", PARIS, True),  # the armistice, a Wednesday
        ("2026-11-12T12:00", PARIS, False),
        ("2026-11-23T04:30", REUNION, False),  # of Paris: half past seven there
        ("2026-11-23T17:30", REUNION, True),
    ],
)
def test_closed(then: str, zone: ZoneInfo, *, closed: bool) -> None:
    at = int(datetime.fromisoformat(then).replace(tzinfo=PARIS).timestamp() * 1_000_000)
    assert is_closed(at, zone) is closed
