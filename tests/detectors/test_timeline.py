"""One time that never goes back: jitter is borne, a clock that was set back is counted and goes on where it was."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from guard.detectors.timeline import JITTER, Timeline
from tests.detectors.making import START


def test_time_that_goes_on_is_itself() -> None:
    time = Timeline()
    assert [time.read(START + n) for n in (0, 0, 1, 10**9)] == [START, START, START + 1, START + 10**9]
    assert time.back == 0


def test_ends_a_little_out_of_order_are_no_clock_set_back() -> None:
    time = Timeline()
    time.read(START)
    assert time.read(START - JITTER) == START
    assert time.back == 0
    assert time.read(START + 7) == START + 7, "nothing was shifted"


def test_a_clock_that_was_set_back_goes_on_where_it_was() -> None:
    time = Timeline()
    time.read(START)
    assert time.read(START - JITTER - 1) == START
    assert time.back == 1
    assert time.read(START - JITTER - 1 + 50) == START + 50
    assert time.read(START - 10**9) == START + 50
    assert time.back == 2


@given(st.lists(st.integers(0, 1 << 60), max_size=50))
def test_it_never_goes_back(instants: list[int]) -> None:
    time = Timeline()
    read = [time.read(at) for at in instants]
    assert read == sorted(read)
