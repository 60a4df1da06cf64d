"""Ladders and bars: what the record says, who said it to whom, and nothing that a caller could draw."""

from __future__ import annotations

import re
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from msgspec.structs import replace

from guard.ladder import read
from guard.model import CallAttempt, CallEnded, Decision
from guard.store.whole import Whole, whole
from guard.web.pages import shapes
from guard.web.pages.drawings import Arrow, gauge, ladder, spark
from guard.web.pages.view import View, lasting, moment
from tests.store.making import AT, attempt, decision, ended, finding
from tests.store.making_log import details, write

EN = View(zone=ZoneInfo("Europe/Paris"))
FR = replace(EN, lang="fr")
GONE = ("og 487 Request Terminated", "gc 487 Request Terminated")


def kept(folder: Path, call: CallAttempt, decided: Decision, *ends: CallEnded) -> Whole:
    write(folder / "guard.db", [(call, decided, *ends)])
    (found,) = details(folder / "guard.db")
    return whole(found)


def told(arrows: list[Arrow]) -> list[str]:
    sides = "cgo"
    return [f"{sides[a.frm]}{sides[a.to]} {a.label}" for a in arrows]


def test_a_refused_call_never_reaches_the_operator(tmp_path: Path) -> None:
    call = kept(tmp_path, attempt(), decision("blocked", finding("cli.premium")), ended("blocked"))
    arrows = shapes.steps(call, (), EN)
    assert told(arrows) == ["cg INVITE +33612345678", "gg blocked: cli.premium", "gc 403 Forbidden"]
    assert not [a for a in arrows if 2 in {a.frm, a.to}]


def test_what_the_record_tells_of_an_answered_call(tmp_path: Path) -> None:
    call = kept(tmp_path, attempt(), decision("flagged", finding("x", "flag"), held_us=1_500_000), ended())
    assert told(shapes.steps(call, (), FR)) == [
        "cg INVITE +33612345678",
        "gg retenu 1,5\u00a0s",
        "gg signalé\u00a0: x",
        "go INVITE +33612345678",
        "og 180 Ringing",
        "gc 180 Ringing",
        "og 200 OK",
        "gc 200 OK",
        "gg conversation, 30,0\u00a0s",
        "cg BYE",
        "go BYE",
    ]


@pytest.mark.parametrize(
    ("end", "last"),
    [
        (CallEnded(at=AT, outcome="cancelled", final_status=487, by="caller"), ["cg CANCEL", "go CANCEL", *GONE]),
        (CallEnded(at=AT, outcome="failed", final_status=486, by="callee"), ["og 486 Busy Here", "gc 486 Busy Here"]),
        (CallEnded(at=AT, outcome="failed", final_status=408, by="guard"), ["gc 408 Request Timeout"]),
        (CallEnded(at=AT, outcome="failed", by="silence"), ["gg nothing more was heard"]),
        (CallEnded(at=AT, outcome="answered", final_status=200, by="guard"), ["gc BYE", "go BYE"]),
        (CallEnded(at=AT, outcome="answered", final_status=200, by="callee"), ["og BYE", "gc BYE"]),
        (None, ["gg in progress"]),
    ],
)  # fmt: skip
def test_how_a_call_ended(tmp_path: Path, end: CallEnded | None, last: list[str]) -> None:
    call = kept(tmp_path, attempt(), decision(), *([end] if end else []))
    assert told(shapes.steps(call, (), EN))[-len(last) :] == last


def test_messages_that_were_noted_are_drawn_as_they_went_by(tmp_path: Path) -> None:
    call = kept(tmp_path, attempt(), decision(), ended())
    noted = read("0>INVITE 212<180 4021<200 ~ 65021>BYE 65040<200/BYE 65050=BYE")
    arrows = shapes.steps(call, noted, EN)
    assert told(arrows)[2:] == [
        "go INVITE +33612345678",
        "oc 180 Ringing",
        "oc 200 OK",
        "gg more messages, left out",
        "co BYE",
        "oc 200 OK",
        "gc BYE",
        "go BYE",
    ]
    assert [a.when for a in arrows][3:5] == ["10:00:00.212", "10:00:04.021"]


def test_steps_of_a_refused_call_stop_at_the_guard(tmp_path: Path) -> None:
    call = kept(tmp_path, attempt(), decision("blocked", finding("cli.premium")), ended("blocked"))
    assert told(shapes.steps(call, read("0>INVITE 1=403"), EN))[2:] == ["gc 403 Forbidden"]


def test_a_ladder_holds_what_a_caller_chose_as_text() -> None:
    hostile = '"/><script>alert(1)</script>'
    drawn = str(ladder((hostile, "b", "c"), [Arrow(frm=0, to=2, label=hostile, note=hostile, when="1")], hostile))
    assert "<script" not in drawn
    assert drawn.count("<polygon") == 2  # past the guard: two arrows
    assert set(re.findall(r"</?([a-z]+)", drawn)) == {"svg", "line", "rect", "text", "polygon"}


def test_long_texts_are_cut_where_a_drawing_has_no_room() -> None:
    drawn = str(ladder(("a" * 90, "b", "c"), [Arrow(frm=0, to=1, label="x" * 300)], ""))
    assert "a" * 20 not in drawn
    assert "x" * 60 not in drawn
    assert "…" in drawn


def test_a_gauge_says_how_near_its_limit_it_is() -> None:
    assert 'class="gauge"' in gauge(7, 10)
    assert 'class="gauge warm"' in gauge(8, 10)
    assert 'class="gauge hot"' in gauge(9, 10)
    assert 'class="g-full" width="1000"' in gauge(90, 10)
    assert 'class="g-full" width="0"' in gauge(5, 0)


def test_a_line_of_no_values_is_drawn_too() -> None:
    for points in ((), (3,), (0, 0), (1, 5, 2)):
        assert "nan" not in spark(points, 0)
        assert ("s-limit" in spark(points, 10)) is True


def test_times_and_spans_in_both_languages() -> None:
    assert (lasting(0, "en"), lasting(4_260, "fr")) == ("0.0\u00a0s", "4,2\u00a0s")
    assert lasting(185_000, "en") == "3\u00a0min\u00a005\u00a0s"
    assert lasting(7_500_000, "en") == "2\u00a0h\u00a005\u00a0min"
    assert (lasting(200_000_000, "en"), lasting(200_000_000, "fr")) == (
        "2\u00a0d\u00a07\u00a0h",
        "2\u00a0j\u00a07\u00a0h",
    )
    at = AT + 123_456
    assert moment(at, EN) == "2026-11-21 10:00:00"
    assert moment(at, FR, "ms") == "21/11/2026 10:00:00,123"
    assert moment("2026-11-21T09:00:00.123456+00:00", EN, "time") == "10:00:00.123"
    assert (moment(at, FR, "brief"), moment(at, EN, "minute")) == ("21/11 10:00:00", "2026-11-21 10:00")
    assert moment(at, EN, "day") == "2026-11-21"
