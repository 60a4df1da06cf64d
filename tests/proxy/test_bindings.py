"""Contacts as the guard registers them: whatever is written comes back, and only what the guard wrote is read."""

from __future__ import annotations

import string
from base64 import b32encode
from ipaddress import ip_network

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.proxy.bindings import MARK, MAX_HOST_PART, MAX_TOKEN, Bindings
from guard.proxy.effects import Flow
from guard.proxy.routing import Here, target_of
from guard.proxy.shapes import CoreSettings
from guard.sip.message import parse
from guard.sip.uri import parse_uri
from guard.sources import Source, Sources
from tests.proxy.world import DOWN, GUARD, LISTENS, PBX, SOURCE, UP, request

HERE = Here(CoreSettings(listens=LISTENS, token="x"))
BINDINGS = Bindings(b"k" * 32, HERE)
UNPROVEN = Bindings(None, HERE)
SOURCES = Sources((SOURCE,))
LETTERS = string.ascii_letters + string.digits
users = st.text(LETTERS + "-_.!~*'()&=+$,;?/%", min_size=1, max_size=40).filter(lambda u: "%" not in u)
hosts = st.one_of(
    st.just("127.0.0.2"),
    st.ip_addresses(v=4).map(str),
    st.ip_addresses(v=6).map(lambda ip: f"[{ip}]"),
    st.text(string.ascii_lowercase, min_size=1, max_size=20).map(lambda t: f"{t}.example"),
)
ports = st.one_of(st.just(""), st.integers(1, 65_535).map(lambda p: f":{p}"))
params = st.lists(
    st.sampled_from(
        [";transport=udp", ";transport=tcp", ";ob", ";user=phone", ";bnc", ";x=%41b", ";lr", ";maddr=10.0.0.1"]
    ),
    max_size=4,
    unique=True,
).map("".join)


def outward(uri: str, arrived: Flow = UP) -> bytes:
    """The URI that stands in the registrar."""
    m = parse(request("REGISTER", "sip:op.example", contact=f"<{uri}>;expires=60"))
    ((start, end, new),) = BINDINGS.outward(m, SOURCE, SOURCES, arrived, DOWN)
    assert m.data[start:end] == uri.encode()
    return new


@settings(max_examples=300, deadline=None)
@given(users, hosts, ports, params)
def test_what_is_written_comes_back(user: str, host: str, port: str, more: str) -> None:
    uri = f"sip:{user}@{host}{port}{more}"
    ours = outward(uri)
    parsed = parse_uri(ours)
    assert (parsed.host, parsed.port) == GUARD
    assert parsed.user == user.encode()
    for bindings in (BINDINGS, UNPROVEN):
        bound = bindings.read(ours)
        assert bound is not None
        assert bound.uri == uri.encode()
        named = target_of(uri.encode())
        of_source = named is not None and named[1] == PBX[0]
        assert bound.target == (named if of_source else ("udp", *PBX))


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_nothing_that_others_write_is_read(token: bytes) -> None:
    assert BINDINGS.read(b"sip:a@127.0.0.1:5060" + MARK + token) is None
    found = UNPROVEN.read(b"sip:a@127.0.0.1:5060" + MARK + token)
    assert found is None or SOURCES.find(found.target[1]) is None or found.target[1] == PBX[0]


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=80))
def test_not_even_unproven_does_a_payload_hurt(payload: bytes) -> None:
    token = b32encode(b"0" * 10 + payload).rstrip(b"=").lower()
    found = UNPROVEN.read(b"sip:a@127.0.0.1:5060" + MARK + token)
    assert found is None or SOURCES.find(found.target[1]) in {None, SOURCE}


def test_a_user_part_that_looks_like_one_is_a_user_part() -> None:
    uri = "sip:a;guard=aaaa@127.0.0.2:5070"
    bound = BINDINGS.read(outward(uri))
    assert bound is not None
    assert bound.uri == uri.encode()


def test_the_longest_one_can_be_read_again() -> None:
    host = "h" * (MAX_HOST_PART - len(".example"))
    far = Flow("tcp", GUARD, ("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", 65_535), 1)
    ours = outward(f"sip:a@{host}.example", far)
    assert len(ours.partition(MARK)[2]) <= MAX_TOKEN
    assert BINDINGS.read(ours) is not None


@pytest.mark.parametrize(
    "uri", [b"", b"tel:+331;guard=aa", b"sip:a@h", b"sip:a@h;guard=", b"sip:a@h;guard=" + b"a" * 2_000]
)
def test_other_uris_are_not_read(uri: bytes) -> None:
    assert BINDINGS.read(uri) is None
    assert UNPROVEN.read(uri) is None


def test_two_guards_one_behind_the_other() -> None:
    """What one wrote is a contact like any other to the next: each reads its own again."""
    near = Here(CoreSettings(listens=(("udp", "127.0.0.2", 5060),), token="x"))
    first = Bindings(b"n" * 32, near)
    phone = Source(name="phone", networks=(ip_network("127.0.0.9/32"),), trunk="guard")
    m = parse(request("REGISTER", "sip:op.example", contact="<sip:a@127.0.0.9:5062;transport=udp>"))
    there = Flow("udp", ("127.0.0.2", 5060), ("127.0.0.9", 5062))
    ((_, _, middle),) = first.outward(m, phone, Sources((phone,)), there, Flow("udp", ("127.0.0.2", 5060), GUARD))
    outer = outward(middle.decode())
    bound = BINDINGS.read(outer)
    assert bound is not None
    assert (bound.uri, bound.target) == (middle, ("udp", *PBX))
    inner = first.read(bound.uri)
    assert inner is not None
    assert inner.uri == b"sip:a@127.0.0.9:5062;transport=udp"


def test_a_network_of_a_source_is_its_own() -> None:
    """A Contact may name any address of the source: one machine registers, another takes the calls."""
    pair = Source(name="pair", networks=(ip_network("127.0.0.0/29"),), trunk="operator")
    m = parse(request("REGISTER", "sip:op.example", contact="<sip:a@127.0.0.5:5070>"))
    ((_, _, new),) = BINDINGS.outward(m, pair, Sources((pair,)), UP, DOWN)
    bound = BINDINGS.read(new)
    assert bound is not None
    assert bound.target == ("udp", "127.0.0.5", 5070)
