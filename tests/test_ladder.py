"""A call's ladder: written step by step, bounded, and read again."""

from __future__ import annotations

import re

import pytest

from guard.cli.explained import _message
from guard.ladder import FIRST, MAX_STEPS, METHODS, Noted, Step, noted, read, written
from guard.ledger.record import EndBody, encode, end_body
from guard.model import CallEnded
from guard.proxy.call import Call
from tests.deciding import call as attempt


def ladder(count: int) -> str:
    steps: list[Noted] = []
    for i in range(count):
        noted(steps, i * 1000, ">INFO")
    assert len(steps) <= MAX_STEPS + 1
    return written(tuple(steps))


def test_a_call_from_its_set_up_to_its_end() -> None:
    call = Call(1, ("pbx", b"c", b"t"), attempt(), b"", 5_000_000)
    call.said(180, "callee", 5_212_900)
    call.said(180, "callee", 5_300_000)
    call.said(200, "callee", 9_021_000)
    call.asked(b"BYE", 70_021_000)
    call.told(200, b"BYE", 70_040_000)
    steps = written(tuple(call.steps))
    assert steps == "0>INVITE 212<180 4021<200 65021>BYE 65040<200/BYE"
    assert read(steps) == (
        Step(ms=0, by="caller", method="INVITE"),
        Step(ms=212, by="called", method="INVITE", status=180),
        Step(ms=4021, by="called", method="INVITE", status=200),
        Step(ms=65021, by="caller", method="BYE"),
        Step(ms=65040, by="called", method="BYE", status=200),
    )


def test_what_the_called_side_asks_and_a_method_of_nobody() -> None:
    call = Call(1, ("pbx", b"c", b"t"), attempt(), b"", 0)
    call.asked(b"INVITE", 1_000, from_caller=False)
    call.told(488, b"INVITE", 2_000, to_caller=False)
    call.asked(b"<SCRIPT>", 3_000)
    call.asked(b"x" * 9_000, 3_000, from_caller=False)
    call.told(501, b"<SCRIPT>", 4_000)
    call.said(408, "guard", 5_000)
    assert written(tuple(call.steps)) == "0>INVITE 1<INVITE 2>488 3>OTHER 3<OTHER 4<501/OTHER 5=408"


def test_as_many_as_there_may_be_are_all_there() -> None:
    assert [s.ms for s in read(ladder(MAX_STEPS)) if s is not None] == list(range(MAX_STEPS))


@pytest.mark.parametrize("count", [MAX_STEPS + 1, MAX_STEPS + 2, 1000])
def test_of_more_the_beginning_and_the_end_are_kept(count: int) -> None:
    found = read(ladder(count))
    assert found.index(None) == FIRST
    assert found.count(None) == 1
    kept = [s.ms for s in found if s is not None]
    assert kept == [*range(FIRST), *range(count - MAX_STEPS + FIRST, count)]


@pytest.mark.parametrize("text", ["x", "12", ">INVITE", "1>²", "-1>BYE", "²>BYE", "1?BYE", "~"])
def test_what_was_edited_is_left_out(text: str) -> None:
    assert read(f"0>INVITE {text} 5<200") == (read("0>INVITE")[0], None, read("5<200")[0])


def test_a_log_of_before_has_none_and_its_entries_are_what_they_were() -> None:
    ended = CallEnded(at=5, outcome="answered", final_status=200)
    assert b"steps" not in encode(end_body(1, ended))
    body = end_body(1, CallEnded(at=5, outcome="answered", steps=((0, ">INVITE"), (2500, "<486"))))
    assert isinstance(body, EndBody)
    assert b'"steps":"0>INVITE 2<486"' in encode(body)


def test_methods_are_those_of_rfcs() -> None:
    assert all(re.fullmatch("[A-Z]+", m) for m in METHODS.values())


def test_people_read_it_line_by_line() -> None:
    lines = [_message(s) for s in read("0>INVITE 212<180 ~ 65021>BYE 65040<200/BYE 65041=480")]
    assert lines == [
        "     0.000 s  caller >        INVITE",
        "     0.212 s         < called 180",
        "...",
        "    65.021 s  caller >        BYE",
        "    65.040 s         < called 200 (BYE)",
        "    65.041 s         = guard  480",
    ]
