"""A REGISTER, and whatever else sets up no call, finds the next hop of its trunk: silence, 503, unreachable."""

from __future__ import annotations

import pytest

from guard.proxy.effects import Flow
from guard.proxy.hunt import LAST_SILENCE
from guard.proxy.shapes import Hop, Trunk
from guard.proxy.transactions import GIVE_UP
from guard.sip.message import Message, parse
from tests.proxy.test_registration import PHONE, contacts, register
from tests.proxy.world import GUARD, LISTENS, SECOND, UP, World, arrows, reply, request

A, B, C = "127.0.0.3", "127.0.0.4", "127.0.0.5"
TLS_GUARD = ("127.0.0.1", 5061)


def world(*hops: Hop) -> World:
    found = hops or (Hop("udp", A, 5060), Hop("udp", B, 5060, tier=1))
    trunks = (Trunk(name="operator", hops=found),)
    return World(trunks=trunks, listens=(*LISTENS, ("tls", *TLS_GUARD)))


def gone(w: World, method: str = "REGISTER") -> list[str]:
    """Where requests of a method went, repetitions left out."""
    hosts = [f.peer[0] for f, d in w.sent if d.startswith(method.encode() + b" ")]
    return [h for i, h in enumerate(hosts) if i == 0 or hosts[i - 1] != h]


def last(w: World, host: str, method: str = "REGISTER") -> tuple[Flow, Message]:
    flow, data = [(f, d) for f, d in w.sent if f.peer[0] == host and d.startswith(method.encode() + b" ")][-1]
    return flow, parse(data)


def answered(w: World, host: str, status: int, *, method: str = "REGISTER", more: str = "") -> list[str]:
    flow, m = last(w, host, method)
    return arrows(w(reply(m, status, more=more), flow))


def test_a_hop_that_says_nothing_is_left_after_a_second() -> None:
    w = world()
    w(register(), UP)
    w.later(1.1)
    assert gone(w) == [A, B]
    assert answered(w, B, 200) == ["up 200"]
    assert answered(w, A, 200) == []  # too late
    assert w.core.counters["registers"] == 1  # one registration, whoever took it
    w.rest()


@pytest.mark.parametrize("how", ["503", "unreachable"])
def test_a_hop_that_is_busy_or_gone_is_left_at_once(how: str) -> None:
    w = world()
    w(register(), UP)
    if how == "503":
        assert answered(w, A, 503, more="Retry-After: 10\r\n") == ["down REGISTER"]
    else:
        assert arrows(w.unreachable()) == ["down REGISTER"]
    assert gone(w) == [A, B]
    assert answered(w, B, 401) == ["up 401"]
    w(register(branch="r2", cseq=2), UP)
    assert gone(w)[-1] == (B if how == "503" else A)  # who asked for rest gets it; one failure is no proof
    w.rest()


def test_what_is_known_of_hops_is_shared_with_calls() -> None:
    w = world()
    for i in range(2):
        w(register(branch=f"r{i}"), UP)
        w.unreachable()
        answered(w, B, 200)
    assert w.turned == [(A, "unreachable")]
    w(request(call_id="call", branch="call"), UP)
    assert gone(w, "INVITE") == [B]


def test_none_left() -> None:
    w = world()
    w(register(), UP)
    w.later(1.1)
    assert arrows(w.later(LAST_SILENCE / SECOND))[-1:] == ["up 480"]
    assert arrows(w.later(40)) == []
    w.rest()


def test_the_only_hop_that_says_nothing_gets_no_answer_made_up() -> None:
    """RFC 4320 4.2: by then the registration has timed out at its sender as well."""
    w = world(Hop("udp", A, 5060))
    w(register(), UP)
    assert {"up 480", "up 408"}.isdisjoint(arrows(w.later(GIVE_UP / SECOND + 1)))
    w.rest()


def test_a_503_of_the_only_hop_becomes_480_with_its_time() -> None:
    """RFC 3261 16.7 step 6: whoever hears 503 may leave the whole guard alone, and not one hop behind it."""
    w = world(Hop("udp", A, 5060))
    w(register(), UP)
    flow, m = last(w, A)
    ((side, said),) = w(reply(m, 503, more="Retry-After: 60\r\n"), flow)
    assert (side, said.status, said.first(b"retry-after")) == ("up", 480, b"60")


def test_a_late_answer_of_a_hop_that_was_left_is_the_answer() -> None:
    w = world()
    w(register(), UP)
    w.later(1.1)
    assert answered(w, A, 401) == ["up 401"]
    assert answered(w, B, 401) == []
    w.rest()


def test_contacts_are_of_the_way_to_each_hop() -> None:
    w = world(Hop("udp", A, 5060), Hop("tcp", B, 5060, tier=1))
    w(register(), UP)
    w.unreachable()
    (one,), (two,) = contacts(last(w, A)[1]), contacts(last(w, B)[1])
    assert b"transport=tcp" not in one
    assert b";transport=tcp;guard=" in two


def test_a_sips_contact_only_goes_to_hops_over_tls() -> None:
    contact = "<sips:alice@127.0.0.2:5061>"
    w = world(Hop("udp", A, 5060), Hop("tls", B, 5061, tier=1))
    w(register(contact), UP)
    assert gone(w) == [B]
    w = world()
    assert arrows(w(register(contact), UP)) == ["up 480"]
    assert w.core.counters["registers"] == 0


def test_the_hop_that_it_names_comes_first_while_it_is_up() -> None:
    w = world()
    named = register(PHONE).replace(b"REGISTER sip:operator.example", b"REGISTER sip:127.0.0.4")
    for i in range(2):
        w(named.replace(b"z9hG4bKr1", b"z9hG4bKn%d" % i), UP)
        assert gone(w)[-1] == B
        w.unreachable()
        assert gone(w)[-1] == A
        answered(w, A, 200)
    w(named.replace(b"z9hG4bKr1", b"z9hG4bKn9"), UP)
    assert gone(w)[-1] == A
    elsewhere = register(PHONE, branch="e").replace(b"REGISTER sip:operator.example", b"REGISTER sip:127.0.0.4:5099")
    w(elsewhere, UP)
    assert w.sent[-1][0].peer == (B, 5099)
    assert arrows(w.unreachable()) == ["down REGISTER"]
    assert w.turned == [(B, "unreachable")]


def test_what_must_not_be_done_twice_is_not_sent_twice_for_silence() -> None:
    w = world()
    w(request("MESSAGE", "sip:bob@operator.example", call_id="m", branch="m"), UP)
    w.later(8)
    assert gone(w, "MESSAGE") == [A]
    w(request("MESSAGE", "sip:bob@operator.example", call_id="m2", branch="m2"), UP)
    w.unreachable()
    assert gone(w, "MESSAGE")[-1] == B
    assert Flow("udp", GUARD, (B, 5060)) == last(w, B, "MESSAGE")[0]
