"""Next hops one after the other within one call: silence, 503, unreachable, and a hop that speaks after all."""

from __future__ import annotations

from unittest.mock import Mock

import pytest

from guard.proxy.effects import Flow
from guard.proxy.health import MAX_AWAY, MAX_TRIES
from guard.proxy.hunt import LAST_SILENCE, MAX_RETRY_AFTER, retry_after
from guard.proxy.shapes import Hop, Trunk
from guard.proxy.transactions import GIVE_UP
from guard.sip.message import Message, parse
from tests.proxy.world import ALLOW, GUARD, SECOND, UP, Leg, Out, World, arrows, reply, request

A, B, C = "127.0.0.3", "127.0.0.4", "127.0.0.5"
OTHER = "127.0.0.6"


def hops(*hosts: str, transport: str = "udp") -> tuple[Hop, ...]:
    return tuple(Hop("tcp" if transport == "tcp" else "udp", h, 5060, tier=i) for i, h in enumerate(hosts))


def world(*hosts: str, transport: str = "udp", **more: object) -> World:
    trunks = (Trunk(name="operator", hops=hops(*(hosts or (A, B)), transport=transport)),)
    return World(trunks=trunks, **more)  # type: ignore[arg-type]


def places(w: World, out: Out, since: int) -> list[str]:
    """What left, and where to: `127.0.0.4 INVITE`."""
    flows = [f.peer[0] for f, _ in w.sent[since:]]
    return [
        f"{host} {m.method.decode() if m.is_request else m.status}" for host, (_, m) in zip(flows, out, strict=True)
    ]


class Tried:
    """A call whose INVITE goes to one hop after the other."""

    def __init__(self, w: World, **more: str) -> None:
        self.w = w
        self.leg = Leg(w, **more)

    def later(self, seconds: float) -> list[str]:
        since = len(self.w.sent)
        return places(self.w, self.w.later(seconds), since)

    def sent(self, host: str, method: str = "INVITE") -> Message:
        """The last message of a method to a host."""
        found = [parse(d) for f, d in self.w.sent if f.peer[0] == host and d.startswith(method.encode() + b" ")]
        return found[-1]

    def answer(
        self, host: str, status: int, *, method: str = "INVITE", to_tag: str = "z9", more: str = ""
    ) -> list[str]:
        since = len(self.w.sent)
        data = reply(self.sent(host, method), status, to_tag=to_tag, more=more, contact=f"<sip:{host}:5060>")
        return places(self.w, self.w(data, Flow("udp", GUARD, (host, 5060))), since)

    def cancel(self) -> list[str]:
        since = len(self.w.sent)
        return places(self.w, self.w(self.leg.cancel(), UP), since)

    @property
    def reasons(self) -> list[bytes]:
        """Reason of the last answer to the caller."""
        return parse(next(d for f, d in reversed(self.w.sent) if f.peer[0] == UP.peer[0])).all(b"reason")


# ---- a hop is left ---------------------------------------------------------------------------------------------------


def test_a_silent_hop_is_left_after_a_second_in_a_transaction_of_its_own() -> None:
    w = world()
    t = Tried(w)
    assert t.later(0.999) == [f"{A} INVITE"]  # repeated once (timer A)
    assert t.later(0.002) == [f"{B} INVITE"]
    first, second = t.sent(A), t.sent(B)
    assert first.via().branch != second.via().branch
    assert [first.first(n) for n in (b"call-id", b"from", b"cseq")] == [
        second.first(n) for n in (b"call-id", b"from", b"cseq")
    ]
    assert len(w.asked) == 1  # decided once
    assert t.answer(B, 180) == ["127.0.0.2 180"]
    assert t.answer(B, 200) == ["127.0.0.2 200"]
    assert t.later(40) == []
    assert w.core.counters["hops_left"] == 1
    assert len(w.asked) == 1


def test_a_503_is_left_at_once_and_acknowledged_and_never_shown() -> None:
    w = world()
    t = Tried(w)
    assert t.answer(A, 503) == [f"{A} ACK", f"{B} INVITE"]
    assert t.answer(B, 200) == ["127.0.0.2 200"]
    assert [e.final_status for _, e in w.ended] == []


@pytest.mark.parametrize("status", [404, 408, 480, 486, 500, 504, 603])
def test_any_other_final_answer_is_the_callers(status: int) -> None:
    w = world()
    t = Tried(w)
    assert t.answer(A, status) == [f"{A} ACK", f"127.0.0.2 {status}"]
    assert t.later(5) != [f"{B} INVITE"]


def test_a_hop_that_says_trying_is_not_left() -> None:
    w = world()
    t = Tried(w)
    assert t.answer(A, 100) == []
    assert t.later(100) == []


def test_a_hop_that_says_trying_and_then_503_is_left() -> None:
    w = world()
    t = Tried(w)
    t.answer(A, 100)
    w.later(3)
    assert t.answer(A, 503) == [f"{A} ACK", f"{B} INVITE"]


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_a_hop_that_cannot_be_reached_is_left_at_once(transport: str) -> None:
    w = world(transport=transport)
    Tried(w)
    assert [f"{f.peer[0]}" for f, _ in w.sent] == ["127.0.0.2", A]
    assert arrows(w.unreachable()) == ["down INVITE"]
    assert w.sent[-1][0].peer[0] == B
    assert arrows(w.unreachable()) == ["up 480"]
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("failed", 480, "guard")]
    w.rest()


def test_silence_ms_is_the_trunks() -> None:
    w = World(trunks=(Trunk(name="operator", hops=hops(A, B), silence=3 * SECOND),))
    t = Tried(w)
    assert f"{B} INVITE" not in t.later(2.9)
    assert f"{B} INVITE" in t.later(0.2)


# ---- none is left ----------------------------------------------------------------------------------------------------


def test_none_left_is_480_with_a_reason_and_one_end() -> None:
    w = world(A, B, C)
    t = Tried(w)
    t.later(2.001)
    assert t.sent(C).method == b"INVITE"
    assert "127.0.0.2 480" not in t.later(LAST_SILENCE / SECOND - 0.01)  # the last has time for three repetitions
    assert t.later(0.02) == ["127.0.0.2 480"]
    assert t.reasons == [b'SIP;cause=480;text="no answer from the trunk"']
    assert [(e.outcome, e.final_status, e.by) for _, e in w.ended] == [("failed", 480, "guard")]
    assert len(w.asked) == 1
    assert w.core.counters["hops_none"] == 1
    w.rest()


def test_the_only_hop_is_waited_for_as_long_as_rfc_3261_says() -> None:
    w = world(A)
    t = Tried(w)
    assert "127.0.0.2 480" not in t.later(GIVE_UP / SECOND - 0.1)
    assert t.later(0.2) == ["127.0.0.2 480"]
    w.rest()


def test_a_503_of_the_only_hop_is_no_503_for_the_caller() -> None:
    """RFC 3261 16.7: an IPBX would take the guard for dead."""
    w = world(A)
    t = Tried(w)
    assert t.answer(A, 503, more="Retry-After: 7\r\n") == [f"{A} ACK", "127.0.0.2 480"]
    assert t.reasons == [b'SIP;cause=480;text="the trunk answers 503"']
    assert parse(w.sent[-1][1]).first(b"retry-after") == b"7"
    w.rest()


def test_a_call_tries_so_many_hops_and_no_more() -> None:
    many = [f"127.0.1.{n}" for n in range(1, MAX_TRIES + 3)]
    w = world(*many)
    t = Tried(w)
    t.later(60)
    tried = {f.peer[0] for f, d in w.sent if d.startswith(b"INVITE")}
    assert tried == set(many[:MAX_TRIES])
    w.rest()


def test_a_trunk_without_an_address_is_told() -> None:
    w = World(trunks=(Trunk(name="operator", hops=()),))
    out = w(request(), UP)
    assert arrows(out) == ["up 100", "up 480"]
    assert out[-1][1].all(b"reason") == [b'SIP;cause=480;text="the trunk has no address"']
    assert len(w.ended) == 1
    w.rest()


@pytest.mark.interpreted
def test_a_fault_while_going_on_leaves_no_caller_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    w = world()
    t = Tried(w)
    monkeypatch.setattr(w.core._c.forwarder, "request", Mock(side_effect=RuntimeError("ours")))
    with pytest.raises(RuntimeError):
        w.later(2)
    w.drain()
    assert t.reasons == [b'SIP;cause=480;text="a fault of the guard"']
    assert [e.final_status for _, e in w.ended] == [480]


# ---- a hop that was left speaks after all ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", [100, 180])
def test_who_speaks_first_has_the_call(status: int) -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    shown = [] if status == 100 else ["127.0.0.2 180"]
    assert t.answer(A, status) == shown
    # The other one is cancelled as soon as it says something.
    assert t.answer(B, 180) == [f"{B} CANCEL"]
    t.answer(B, 200, method="CANCEL")
    assert t.answer(B, 487) == [f"{B} ACK"]
    assert t.answer(A, 200) == ["127.0.0.2 200"]
    assert t.sent(A, "INVITE").first(b"call-id") == b"c1@pbx"
    out = w(t.leg.from_pbx("BYE", uri=f"sip:{A}:5060"), UP)
    assert arrows(out) == ["down BYE"]
    assert w.sent[-1][0].peer[0] == A
    w(reply(out[0][1], 200), Flow("udp", GUARD, (A, 5060)))
    assert [(e.outcome, e.by) for _, e in w.ended] == [("answered", "caller")]
    w.rest()


def test_whoever_picks_up_while_the_other_rings_has_the_call() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 180)
    assert t.answer(A, 200) == [f"{B} CANCEL", "127.0.0.2 200"]
    t.answer(B, 200, method="CANCEL")
    assert t.answer(B, 487) == [f"{B} ACK"]
    w.rest()


def test_a_hop_that_rings_after_its_successor_did_is_cancelled() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 180)
    assert t.answer(A, 180) == [f"{A} CANCEL"]
    assert t.answer(A, 180) == []  # once
    t.answer(A, 200, method="CANCEL")
    assert t.answer(A, 487) == [f"{A} ACK"]
    assert t.answer(B, 200) == ["127.0.0.2 200"]
    assert w.core.counters["hops_late"] == 3
    w.rest()


def test_a_2xx_for_which_nobody_waits_gets_ack_and_bye() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 200)
    assert t.answer(A, 200, to_tag="late", more=f"Record-Route: <sip:{A}:5080;lr>\r\n") == [f"{A} ACK", f"{A} BYE"]
    ack, bye = t.sent(A, "ACK"), t.sent(A, "BYE")
    invite = t.sent(A)
    assert (ack.cseq()[0], bye.cseq()[0]) == (invite.cseq()[0], invite.cseq()[0] + 1)
    assert ack.via().branch != invite.via().branch
    for m in (ack, bye):
        assert (m.uri, m.to().tag, m.from_().tag) == (f"sip:{A}:5060".encode(), b"late", b"a1")
        assert m.first(b"call-id") == b"c1@pbx"
        assert m.all(b"route") == []  # nothing stands before our own entry


def test_its_ack_and_bye_go_to_the_strict_router_that_comes_first() -> None:
    """RFC 3261 8.1.2, 12.2.1.1: its URI is the Request-URI, and it is where they go."""
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 200)
    plain = reply(t.sent(A), 200, to_tag="late", contact=f"<sip:{A}:5060>")
    first = plain.index(b"Record-Route: ")
    strict = f"Record-Route: <sip:{A}:5081;lr>,<sip:{A}:5080>\r\n".encode()
    w(plain[:first] + strict + plain[first:], Flow("udp", GUARD, (A, 5060)))
    for m in (t.sent(A, "ACK"), t.sent(A, "BYE")):
        assert m.uri == f"sip:{A}:5080".encode()
        assert m.all(b"route") == [f"<sip:{A}:5081;lr>".encode(), f"<sip:{A}:5060>".encode()]
    assert {f.peer for f, _ in w.sent[-2:]} == {(A, 5080)}
    assert t.answer(A, 200, to_tag="late") == [f"{A} ACK"]  # repeated: acknowledged again, one BYE
    t.answer(A, 200, method="BYE")
    assert w.ended == []
    assert t.later(31) == []
    w.rest()


def test_late_refusals_are_acknowledged_and_go_no_further() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 180)
    assert t.answer(A, 486) == [f"{A} ACK"]
    assert t.answer(B, 486) == [f"{B} ACK", "127.0.0.2 486"]
    assert [e.final_status for _, e in w.ended] == [486]
    w.rest()


def test_a_hop_that_stays_silent_is_forgotten_without_a_word() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 200)
    assert t.later(GIVE_UP / SECOND + 1) == []
    w.rest()


# ---- CANCEL ----------------------------------------------------------------------------------------------------------


def test_a_cancel_goes_to_the_hop_that_has_the_call() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 180)
    assert t.cancel() == ["127.0.0.2 200", f"{B} CANCEL"]
    assert t.sent(B, "CANCEL").via().branch == t.sent(B).via().branch
    t.answer(B, 200, method="CANCEL")
    assert t.answer(B, 487) == [f"{B} ACK", "127.0.0.2 487"]
    assert [e.outcome for _, e in w.ended] == ["cancelled"]
    w.rest()


@pytest.mark.parametrize("then", ["silence", "503", "unreachable"])
def test_a_cancelled_call_goes_on_to_nobody(then: str) -> None:
    w = world()
    t = Tried(w)
    assert t.cancel() == ["127.0.0.2 200"]
    if then == "silence":
        assert t.later(1.1) == [f"{A} INVITE", "127.0.0.2 487"]
        assert t.answer(A, 180) == [f"{A} CANCEL"]  # so that it does not ring on
    elif then == "503":
        assert t.answer(A, 503) == [f"{A} ACK", "127.0.0.2 487"]
    else:
        assert arrows(w.unreachable()) == ["up 487"]
    assert [(e.outcome, e.by) for _, e in w.ended] == [("cancelled", "caller")]
    w.rest()


def test_after_a_cancel_a_late_answer_is_hung_up() -> None:
    w = world()
    t = Tried(w)
    t.cancel()
    t.later(1.1)
    assert t.answer(A, 200) == [f"{A} ACK", f"{A} BYE"]
    t.answer(A, 200, method="BYE")
    w.rest()


# ---- what stays with its hop -----------------------------------------------------------------------------------------


def test_credentials_go_where_they_were_asked_for() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    assert t.answer(B, 407) == [f"{B} ACK", "127.0.0.2 407"]
    w(request("ACK", to_tag="z9", branch="b1"), UP)
    since = len(w.sent)
    out = w(request(branch="b2", cseq=2, more="Proxy-Authorization: Digest x\r\n"), UP)
    assert places(w, out, since) == ["127.0.0.2 100", f"{B} INVITE"]
    assert len(w.asked) == 1


def test_requests_of_a_dialog_keep_to_their_hop() -> None:
    w = world()
    t = Tried(w)
    t.later(1.2)
    t.answer(B, 200)
    since = len(w.sent)
    out = w(t.leg.from_pbx("ACK", uri=f"sip:{B}:5060"), UP) + w(t.leg.from_pbx("INVITE", uri=f"sip:{B}:5060"), UP)
    assert places(w, out, since) == [f"{B} ACK", "127.0.0.2 100", f"{B} INVITE"]
    assert f"{A} INVITE" not in t.later(3)
    assert t.answer(B, 503) == [f"{B} ACK", "127.0.0.2 503"]  # a re-INVITE is no set-up


# ---- emergency calls -------------------------------------------------------------------------------------------------


def emergency(*trunks: Trunk) -> tuple[World, Tried]:
    w = World(trunks=trunks or (Trunk(name="operator", hops=hops(A, B)), Trunk(name="other", hops=hops(OTHER))))
    return w, Tried(w, uri="sip:112@127.0.0.1")


def test_an_emergency_call_tries_every_hop_and_then_those_of_other_trunks() -> None:
    w, t = emergency()
    t.later(1.001)
    assert t.answer(B, 503) == [f"{B} ACK", f"{OTHER} INVITE"]
    assert t.answer(OTHER, 200) == ["127.0.0.2 200"]
    assert len(w.asked) == 1
    assert w.asked[0].passed


def test_an_emergency_call_goes_also_to_hops_that_are_down_or_resting() -> None:
    w = world()
    for n in range(3):
        t = Tried(w, call_id=f"x{n}", branch=f"x{n}")
        if n == 0:
            t.answer(A, 503, more="Retry-After: 50\r\n")
        t.answer(B, 503)
    assert [h for h, _ in w.turned] == [A, B]
    t = Tried(w, call_id="sos", branch="sos", uri="sip:112@127.0.0.1")
    assert t.sent(B).first(b"call-id") == b"sos"
    assert t.answer(B, 503) == [f"{B} ACK", f"{A} INVITE"]
    assert t.answer(A, 200) == ["127.0.0.2 200"]


def test_an_emergency_call_is_not_given_up_before_rfc_3261_does() -> None:
    w, t = emergency()
    t.later(2.1)
    assert "127.0.0.2 480" not in t.later(GIVE_UP / SECOND - 0.2)
    assert t.later(0.5) == ["127.0.0.2 480"]
    assert [e.final_status for _, e in w.ended] == [480]
    w.rest()


def test_an_emergency_call_without_any_address_ends_once() -> None:
    w, _ = emergency(Trunk(name="operator", hops=()))
    assert [e.final_status for _, e in w.ended] == [480]
    w.rest()


# ---- Retry-After -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("7", 7),
        (" 18;duration=3600", 18),
        ("5 (in five)", 5),
        ("x", 0),
        ("", 0),
        ("-1", 0),
        ("9" * 400, MAX_RETRY_AFTER),
    ],
)
def test_retry_after_is_read(value: str, seconds: int) -> None:
    m = parse(f"SIP/2.0 503 X\r\nCall-ID: a\r\nRetry-After: {value}\r\n\r\n".encode())
    assert retry_after(m) == seconds


def test_retry_after_is_heeded_for_a_minute_at_most() -> None:
    w = world()
    t = Tried(w)
    t.answer(A, 503, more="Retry-After: 3600\r\n")
    t.answer(B, 486)
    w.later(MAX_AWAY / SECOND - 1)
    assert Tried(w, call_id="c2", branch="c2").sent(B).first(b"call-id") == b"c2"
    w.later(1.1)
    assert Tried(w, call_id="c3", branch="c3").sent(A).first(b"call-id") == b"c3"


def test_when_all_want_rest_the_caller_is_told_for_how_long() -> None:
    w = world()
    t = Tried(w)
    t.answer(A, 503, more="Retry-After: 30\r\n")
    t.answer(B, 503, more="Retry-After: 20\r\n")
    w.later(5.5)
    out = w(request(call_id="c2", branch="c2"), UP)
    assert arrows(out) == ["up 100", "up 480"]
    assert out[-1][1].all(b"reason") == [b'SIP;cause=480;text="the trunk asked to be left alone"']
    assert out[-1][1].first(b"retry-after") == b"15"
    assert w.answer is ALLOW
    assert len(w.ended) == 2
