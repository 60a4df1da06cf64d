"""Prefixes asked of by their first characters: the same answers as by asking for each of them."""

from __future__ import annotations

import random

import pytest

from guard.numbering.heads import HEAD, Beginnings, Widths


@pytest.mark.parametrize("seed", range(20))
def test_nothing_that_a_number_begins_with_is_missed(seed: int) -> None:
    dice = random.Random(seed)
    some = ["+" + "".join(dice.choices("123", k=dice.randint(0, 2 * HEAD))) for _ in range(dice.randint(0, 30))]
    widths, beginnings = Widths(some), Beginnings(some)
    for _ in range(300):
        value = dice.choice(["", "+", "112", "+" + "".join(dice.choices("123", k=dice.randint(0, 12)))])
        found = widths.of(value)
        assert list(found) == sorted(found, reverse=True)
        assert {p for p in some if value.startswith(p)} == {value[:n] for n in found if value[:n] in some}
        assert beginnings.has(value) == value.startswith(tuple(some))


def test_a_number_that_begins_as_no_long_prefix_is_looked_up_for_the_short_ones_only() -> None:
    widths = Widths(["+3", "+331", "+33140", "+33621"])
    assert widths.of("+33199001234") == (4, 2)
    assert widths.of("+33149001234") == (6, 4, 2)
    assert widths.of("+44") == (4, 2)


def test_the_empty_prefix_is_of_every_number() -> None:
    assert Beginnings([""]).has("+33")
    assert Beginnings([""]).has("")
    assert not Beginnings([]).has("")
