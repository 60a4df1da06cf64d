"""Calls of an earlier life of the guard at the desk: their channels count, whatever is free, and nothing else twice."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.model import SECOND, CallEnded
from guard.state.contract import Touch
from tests.deciding import call
from tests.waiting import Scene

ENDED = CallEnded(at=call().at + 90 * SECOND, outcome="answered", talk_us=60 * SECOND)


def test_channels_are_taken_and_given_back() -> None:
    scene = Scene(channels=2)
    for ticket in (1, 2, 3):  # more than the contract allows by now: they are there all the same
        scene.desk.resume(ticket, call(call_id=f"c{ticket}"), scene.now)
    scene.place(4, call(call_id="c4"))
    assert scene.verdict(4) == "blocked"
    for ticket in (1, 2):
        scene.desk.ended(ticket, scene.now, ENDED)
        scene.desk.ended(ticket, scene.now, ENDED)  # once
    scene.place(5, call(call_id="c5"))
    assert scene.verdict(5) == "allowed"
    scene.place(6, call(call_id="c6"))
    assert scene.verdict(6) == "blocked"


def test_inbound_calls_take_channels_as_well() -> None:
    scene = Scene(channels=1)
    scene.desk.resume(1, replace(call(), direction="inbound"), scene.now)
    scene.place(2, call(call_id="c2"))
    assert scene.verdict(2) == "blocked"
    scene.desk.ended(1, scene.now, ENDED)
    scene.place(3, call(call_id="c3"))
    assert scene.verdict(3) == "allowed"


@pytest.mark.interpreted
def test_neither_the_second_nor_the_month_counts_it_again() -> None:
    """The second in which it was set up is over, and the month is counted anew from the log (guard/recount.py)."""
    scene = Scene(cps=1)
    taken: list[Touch] = []
    touch = scene.state.touch

    def seen(touches: tuple[Touch, ...], now: int) -> object:
        taken.extend(touches)
        return touch(touches, now)

    scene.state.touch = seen  # type: ignore[method-assign, assignment]
    scene.desk.resume(1, call(), scene.now)
    assert {t.kind for t in taken} == {"gauge"}
    scene.place(2, call(call_id="c2"))
    assert scene.verdict(2) == "allowed"


def test_its_talk_is_added_up_when_it_ends() -> None:
    scene = Scene()
    prepared = scene.engine.prepare(call(), "1")
    sums = [t for t in prepared.touches if t.kind == "sum"]
    assert sums
    scene.desk.resume(1, call(), scene.now)
    scene.desk.ended(1, scene.now, ENDED)
    for touch in sums:
        (reading,) = scene.state.touch((touch,), scene.now)
        assert reading.value == ENDED.talk_us
