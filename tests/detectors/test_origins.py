"""Where a line calls from: remembered in the order of use, and the same after a rest."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.detectors.origins import KINDS, LATEST, WIDTH, Origins
from guard.detectors.words import DAY, HOUR, ORIGINS
from tests.detectors.making import START


def rested(one: Origins) -> Origins:
    """As its octets bring it back."""
    data = one.packed()
    return Origins(data[: len(one) * WIDTH], data[len(one) * WIDTH :])


class Plain:
    """The same, as a dictionary."""

    def __init__(self) -> None:
        self.known: dict[int, int] = {}

    def seen(self, marks: tuple[int, ...], at: int) -> None:
        for one in marks:
            self.known[one] = self.known.pop(one, 0) or at // HOUR
        while len(self.known) > ORIGINS:
            del self.known[next(iter(self.known))]

    def new(self, at: int, first: int) -> int:
        new = sum(1 for hour in self.known.values() if hour > at // HOUR - 24)
        return max(new - KINDS, 0) if first // HOUR > at // HOUR - 24 else new


MARKS = st.tuples(*[st.integers(0, 20) | st.sampled_from((LATEST, 1 << 31))] * KINDS)


@given(st.lists(st.tuples(st.sampled_from((0, HOUR, DAY, 3 * DAY)), MARKS, st.booleans()), max_size=60))
def test_it_says_what_a_dictionary_says_whenever_it_rests(steps: list[tuple[int, tuple[int, ...], bool]]) -> None:
    one, plain, now = Origins(), Plain(), START
    for gap, marks, rests in steps:
        now += gap
        one.seen(marks, now)
        plain.seen(marks, now)
        if rests:
            one = rested(one)
        assert len(one) == len(plain.known)
        assert one.new(now, START) == plain.new(now, START)
        assert one.new(now, 0) == plain.new(now, 0)
    known = list(plain.known)
    assert one.packed()[: len(known) * WIDTH] == b"".join(mark.to_bytes(WIDTH, "little") for mark in known)


def test_what_is_shown_again_after_a_rest_changes_nothing() -> None:
    one = Origins()
    one.seen((5, 6, 7), START)
    again = rested(one)
    again.seen((5, 6, 7), START + 9 * DAY)
    assert again.packed() == one.packed()
    again.seen((6, 5, 7), START + 9 * DAY)
    assert again.packed() != one.packed(), "the longest unused is another"
    assert again.new(START + 9 * DAY, 0) == 0


def test_all_is_the_lines_own_once_a_person_says_so() -> None:
    for one in (Origins(), rested(Origins())):
        one.seen((5, 6, 7), START)
        for who in (one, rested(one)):
            assert who.new(START, 0) == KINDS
            who.forgive()
            assert who.new(START, 0) == 0
            assert rested(who).new(START, 0) == 0
