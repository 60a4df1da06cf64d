"""What the guard answers itself, and to whom: refusals, bad requests, strangers, full tables, unreachable trunks."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from guard.proxy import calls, transactions
from guard.proxy.effects import Flow
from guard.proxy.refuse import MAX_REASON, reason, refusal
from guard.sip.message import Message
from tests.proxy.world import BLOCK, DOWN, STRANGER, UP, Leg, World, arrows, reply, request

FROM_NOWHERE = Flow("udp", ("127.0.0.1", 5060), STRANGER)


def last(w: World) -> Message:
    return w.shown(len(w.sent) - 1)[0][1]


def test_a_refused_call_says_why_to_a_person_and_to_a_machine() -> None:
    w = World(answer=BLOCK)
    w.seq = 41
    assert arrows(w(request(), UP)) == ["up 100", "up 403"]
    m = last(w)
    assert m.all(b"reason") == [
        b'SIP;cause=403;text="cli.not-authorised #42"',
        b'Q.850;cause=21;text="Call rejected"',
    ]
    assert m.all(b"warning") == [b'399 hq "cli.not-authorised: no right to this number"']
    assert m.first(b"retry-after") is None
    assert m.to().tag
    assert w.ended[0][1].outcome == "blocked"
    assert (w.ended[0][1].final_status, w.ended[0][1].by) == (403, "guard")
    assert w(request("ACK", to_tag=(m.to().tag or b"").decode()), UP) == []
    w.rest()


def test_a_limit_is_480_with_the_time_to_wait() -> None:
    w = World(answer=replace(BLOCK, rule="rate.cps", status=480, retry_after=7))
    assert arrows(w(request(), UP)) == ["up 100", "up 480"]
    assert last(w).all(b"retry-after") == [b"7"]
    assert last(w).all(b"reason")[0] == b'SIP;cause=480;text="rate.cps #1"'


@pytest.mark.parametrize("why", ["x" * 400, '"' * 200, "\\" * 127, "é" * 300, "a\r\nb"])
def test_a_reason_stays_below_128_bytes_and_on_its_line(why: str) -> None:
    line = reason(403, why)
    assert line.endswith(b"\r\n")
    assert line.count(b"\n") == 1
    assert len(line) - len(b"Reason: \r\n") <= MAX_REASON < 128
    assert line.rstrip().endswith(b'"')


def test_what_a_site_or_rule_is_called_breaks_no_header() -> None:
    for line in refusal(replace(BLOCK, rule='a"\r\nX: y'), 1, "é\r\n;b"):
        assert line.count(b"\n") == 1


def test_an_unreachable_trunk_is_480_and_the_end_of_the_call() -> None:
    w = World()
    Leg(w)
    assert arrows(w.unreachable()) == ["up 480"]
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("failed", 480, "guard")]
    assert w.unreachable() == []
    w.rest()


def test_an_unreachable_side_within_a_call_is_told_and_a_lost_bye_ends_it() -> None:
    w = World()
    leg = Leg(w).up()
    w(leg.from_pbx("INFO"), UP)
    assert arrows(w.unreachable()) == ["up 480"]
    w(leg.from_pbx("BYE"), UP)
    assert arrows(w.unreachable()) == ["up 480"]
    assert [e.outcome for _, e in w.ended] == ["answered"]
    w.core.send_failed("nobody knows this", w.now)
    w.rest()


@pytest.mark.parametrize("method", ["INVITE", "REGISTER", "OPTIONS", "MESSAGE", "BYE", "CANCEL", "ACK"])
def test_a_stranger_gets_no_answer_but_a_record(method: str) -> None:
    w = World()
    assert w(request(method, host="192.0.2.66", to_tag="x" if method == "BYE" else ""), FROM_NOWHERE) == []
    assert w.core.transactions == 0
    if method == "ACK":
        assert w.strangers == []
        return
    told = w.strangers[0]
    assert (told.flow, told.method, told.uri) == (FROM_NOWHERE, method, "sip:+33145670001@127.0.0.1")
    assert (told.call is not None) is (method == "INVITE")
    if told.call is not None:
        assert (told.call.source, told.call.trunk, told.call.source_address) == ("", "", "192.0.2.66")


@pytest.mark.parametrize(
    "garbage", [b"", b"\0" * 40, b"INVITE", b"GET / HTTP/1.1\r\n\r\n", b"INVITE sip:a SIP/2.0\r\nbad\r\n\r\n"]
)
def test_a_stranger_gets_no_answer_to_garbage_either(garbage: bytes) -> None:
    w = World()
    assert w(garbage, FROM_NOWHERE) == []
    assert w.core.counters["unreadable"] == 1


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ((b"Max-Forwards: 70", b"Max-Forwards: 0"), 483),
        ((b"Max-Forwards: 70", b"Max-Forwards: x"), 400),
        ((b"Max-Forwards", b"Proxy-Require: foo\r\nMax-Forwards"), 420),
        ((b"CSeq: 1 INVITE", b"CSeq: 1 OPTIONS"), 400),
        ((b"CSeq: 1 INVITE", b"CSeq: 99999999999 INVITE"), 400),
        ((b"Call-ID: c1@pbx\r\n", b""), 400),
        ((b"Max-Forwards", b"Route: <sip:unclosed\r\nMax-Forwards"), 400),
        ((b"SIP/2.0\r\nVia", b"SIP/3.0\r\nVia"), 505),
        ((b"sip:+33145670001@127.0.0.1 ", b"mailto:a@b "), 416),
        ((b"Content-Length: 0", b"Content-Length: 9"), 400),
    ],
)
def test_a_bad_request_is_told_so_and_leaves_nothing_behind(change: tuple[bytes, bytes], status: int) -> None:
    w = World()
    data = request()
    assert change[0] in data
    assert arrows(w(data.replace(*change, 1), UP)) == [f"up {status}"]
    m = last(w)
    assert m.count(b"reason") == 1
    assert m.all(b"unsupported") == ([b"foo"] if status == 420 else [])
    assert w.asked == []
    assert w.core.transactions == 0
    ack = request("ACK", to_tag=(m.to().tag or b"").decode())
    assert w(ack, UP) == [], "its ACK ends here"


def test_a_loop_is_482_and_a_spiral_is_not() -> None:
    """RFC 3261 16.3 step 4: the same request with our Via in it; a changed Request-URI makes it a spiral."""
    w = World()
    w(request(uri="sip:+33145670001@op.example"), UP)
    back = w.sent[-1][1]
    assert arrows(
        w(back.replace(b"SIP/2.0\r\nVia", b"SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3;branch=z9hG4bKx\r\nVia", 1), DOWN)
    ) == ["down 482"]
    assert w.core.counters["loops"] == 1
    spiral = back.replace(b"@op.example", b"@127.0.0.1").replace(
        b"SIP/2.0\r\nVia", b"SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.3;branch=z9hG4bKx\r\nVia", 1
    )
    assert arrows(w(spiral, DOWN)) == ["down 100", "up INVITE"]


@pytest.mark.interpreted
def test_a_full_call_table_refuses_with_480_and_says_when_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_CALLS", 1)
    w = World()
    Leg(w)
    second = Leg(w, call_id="c2@pbx", branch="b2")
    assert arrows(second.out) == ["up 100", "up 480"]
    assert second.invite.all(b"retry-after") == [b"5"]
    assert len(w.asked) == 1
    urgent = Leg(w, call_id="c3@pbx", branch="b3", uri="sip:112@127.0.0.1")
    assert arrows(urgent.out) == ["up 100", "down INVITE"]
    assert w.asked[-1].call.emergency == "112"
    assert arrows(w(request(call_id="i@op", host="127.0.0.3", branch="b4"), DOWN)) == ["down 100", "down 480"]
    w.rest()


@pytest.mark.interpreted
def test_even_the_headroom_of_emergency_calls_ends_only_the_counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MAX_CALLS", 0)
    monkeypatch.setattr(calls, "EMERGENCY_HEADROOM", 1)
    w = World()
    for n in range(3):
        leg = Leg(w, call_id=f"e{n}@pbx", branch=f"e{n}", uri="sip:15@127.0.0.1")
        assert arrows(leg.out) == ["up 100", "down INVITE"]
        assert arrows(leg.answer(200)) == ["up 200"]
        assert arrows(w(leg.from_pbx("ACK"), UP)) == ["down ACK"]
        assert arrows(w(leg.from_pbx("BYE"), UP)) == ["down BYE"]
    assert len(w.asked) == 1
    w.rest()


@pytest.mark.interpreted
def test_a_full_transaction_table_answers_480_without_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transactions, "MAX_TRANSACTIONS", 1)
    w = World()
    Leg(w)
    before = w.core.transactions
    second = w(request(call_id="c2@pbx", branch="b2"), UP)
    assert arrows(second) == ["up 480"]
    assert second[0][1].all(b"retry-after") == [b"5"]
    assert w(request("OPTIONS", "sip:127.0.0.1", call_id="c3@pbx", branch="b3"), UP) == []
    assert w.core.transactions == before
    assert w.core.counters["full"] == 2
    assert arrows(w(request(uri="tel:112", call_id="c4@pbx", branch="b4"), UP)) == ["up 100", "down INVITE"]
    w.rest()


def test_a_response_that_is_not_ours_or_not_readable_is_dropped() -> None:
    w = World()
    leg = Leg(w)
    good = reply(leg.invite, 200)
    for bad in (
        good.replace(b"branch=z9hG4bKt0ken-1", b"branch=z9hG4bKt0ken-2", 1),
        good.replace(b"SIP/2.0/UDP 127.0.0.1:5060", b"SIP/2.0/UDP 127.0.0.9:5060", 1),
        good.replace(b"From:", b"X-From:"),
        good.replace(b"CSeq: 1 INVITE", b"CSeq: 1 BYE"),
        good.replace(b"CSeq: 1 INVITE", b"CSeq: x"),
        good[: good.index(b"Via")] + b"\r\n",
    ):
        assert w(bad, DOWN) == []
    assert arrows(w(good, DOWN)) == ["up 200"]
