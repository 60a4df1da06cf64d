"""What is refused for its form, and what is only odd."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

from guard.sip.check import SINGLE, check_request, check_response
from guard.sip.message import BadMessage, Message, parse
from tests.sip.making import ANYTHING, BASE, based, made, wire


def refused(m: Message) -> BadMessage:
    with pytest.raises(BadMessage) as caught:
        check_request(m)
    return caught.value


@pytest.mark.parametrize("missing", [b"From", b"To", b"Call-ID", b"CSeq"])
def test_what_every_request_needs(missing: bytes) -> None:
    error = refused(parse(wire(*(line for line in BASE if not line.startswith(missing + b":")))))
    assert (error.status, error.reason) == (400, f"no {missing.decode().lower()} header")
    assert error.message is not None


def test_a_plain_request_passes() -> None:
    check_request(made())
    check_request(parse(wire(*BASE[:-1])))  # without Max-Forwards
    check_request(parse(wire(*BASE[1:])))  # Via is read before, by whoever has to answer


@pytest.mark.parametrize("name", sorted(SINGLE))
def test_what_may_stand_once_only(name: bytes) -> None:
    line = next(b for b in BASE if b.lower().startswith(name + b":"))
    error = refused(parse(wire(*BASE, line)))
    assert (error.status, error.reason) == (400, f"two {name.decode()} headers")


@pytest.mark.parametrize(("short", "line"), [(b"i", b"i: c"), (b"f", b"f: <sip:a@x>;tag=1"), (b"t", b"T: <sip:b@y>")])
def test_compact_forms_are_no_way_to_say_it_twice(short: bytes, line: bytes) -> None:
    assert short in line.lower()
    assert refused(parse(wire(*BASE, line))).reason.startswith("two ")


@pytest.mark.parametrize(
    ("lines", "status", "why"),
    [
        ((b"CSeq: 1 INVITE",), 400, "another method"),
        ((b"CSeq: 1 options",), 400, "another method"),
        ((b"CSeq: x",), 400, "CSeq"),
        ((b"CSeq: 4294967296 OPTIONS",), 400, "CSeq"),
        ((b"Call-ID:",), 400, "empty call-id"),
        ((b"Max-Forwards: 0",), 483, "Max-Forwards is 0"),
        ((b"Max-Forwards: 00",), 483, "Max-Forwards is 0"),
        ((b"Max-Forwards: x",), 400, "Max-Forwards"),
        ((b"From: sip:a b",), 400, "From"),
        ((b'To: "x <sip:a@b>',), 400, "To"),
        ((b"Route: <sip:a",), 400, "route"),
        ((b"Route: <sip:a>,,<sip:b>",), 400, "route"),
        ((b"Via: SIP/2.0/UDP a;;branch=x,SIP/2.0/UDP b",), 400, "empty value in via"),
        ((b"Via: SIP/2.0/UDP a,",), 400, "empty value in via"),
        ((b"Contact: <sip:a@b>;;;;",), 400, "empty value in contact"),
        ((b"Contact: <sip:a@b> , , <sip:c@d>",), 400, "empty value in contact"),
        ((b"m: sip:a@b?Route=x",), 400, "Contact with headers"),
        ((b"Proxy-Require: a", b"Proxy-Require: b, c"), 420, "no extension"),
    ],
)
def test_refusals(lines: tuple[bytes, ...], status: int, why: str) -> None:
    error = refused(made(*lines))
    assert error.status == status
    assert why in error.reason
    assert not error.fatal


@pytest.mark.parametrize(
    "lines",
    [
        (b"CSeq: 0 OPTIONS",),
        (b"CSeq: 4294967295\tOPTIONS",),
        (b"Max-Forwards: 1",),
        (b"Max-Forwards: 300",),
        (b"From: sip:a@b",),  # RFC 2543: without a tag
        (b"Via: SIP/2.0/UDP a;branch=x , SIP/2.0/UDP b",),
        (b"Contact: *",),
        (b"Contact: <sip:a@b?Route=x>",),
        (b"Contact: <sip:1;,2@b>, <sip:c;;d@e>",),  # they may stand in a user part
        (b'Contact: "a,, b;;" <sip:a@b>',),
        (b"Contact: <sip:a@b>;x=1;y",),
        (b"Route: <sip:a>, <sip:b;lr>",),
        (b"Require: whatever",),  # for the other end, not for a proxy
        (b"Contact: sip:a@b", b"Contact: sip:c@d"),
        (b"Warning: ,,;;", b"X-Odd: ;;,,;,;"),
        (b"To: <urn:service:sos>",),
        (b"To: isbn:2983792873", b"From: <http://www.example.com>;tag=1"),
    ],
)
def test_near_misses(lines: tuple[bytes, ...]) -> None:
    check_request(made(*lines))


@pytest.mark.parametrize(
    ("uri", "status"),
    [
        (b"<sip:a@b>", 400),
        (b"sip:a@b?x=y", 400),
        (b"sip:2001:db8::10", 400),
        (b"sip:@b", 400),
        (b"b", 400),
        (b"sip:" + b"a" * 5000, 400),
        (b"http://b", 416),
        (b"nobodyKnowsThisScheme:x", 416),
        (b"cid:x@y", 416),
    ],
)
def test_request_uris(uri: bytes, status: int) -> None:
    assert refused(made(start=b"OPTIONS " + uri + b" SIP/2.0")).status == status


@pytest.mark.parametrize("uri", [b"sip:a@b", b"SIPS:b", b"tel:112", b"urn:service:sos.fire", b"sip:a@[::1]:5061;x"])
def test_good_request_uris(uri: bytes) -> None:
    check_request(made(start=b"OPTIONS " + uri + b" SIP/2.0"))


@pytest.mark.parametrize("version", [b"SIP/3.0", b"SIP/7.0", b"SIP/", b"SIP/2.00"])
def test_other_versions(version: bytes) -> None:
    assert refused(made(start=b"OPTIONS sip:a " + version)).status == 505


def test_the_extensions_that_are_refused_are_named() -> None:
    error = refused(made(b"Proxy-Require: a", b"Proxy-Require: b, c"))
    assert error.headers == (b"Unsupported: a, b, c\r\n",)


@pytest.mark.parametrize(
    "lines", [(b"Via: x",), (b"CSeq: x",), (b"CSeq: 9999999999 OPTIONS",), (b"From: <",), (b"To: <>",)]
)
def test_bad_responses_are_dropped(lines: tuple[bytes, ...]) -> None:
    with pytest.raises(BadMessage) as caught:
        check_response(made(*lines, start=b"SIP/2.0 200 OK"))
    assert caught.value.fatal


def test_good_responses() -> None:
    check_response(made(start=b"SIP/2.0 200 OK"))
    check_response(made(b"Call-ID:", b"Max-Forwards: x", b"Contact: ,,", start=b"SIP/2.0 200 OK"))


@given(ANYTHING)
@settings(max_examples=300, deadline=None)
def test_nothing_but_bad_message_comes_of_a_check(data: bytes) -> None:
    try:
        m = parse(data)
        (check_request if m.is_request else check_response)(m)
    except BadMessage as caught:
        error = caught
    else:
        if m.is_request:  # what passed can be routed without another look
            assert m.from_().uri
            assert m.cseq()[1] == m.method
            assert m.max_forwards() != 0
            assert isinstance(m.routes(), list)
        return
    assert 400 <= error.status <= 505
    assert error.reason.isascii()


def test_based_is_what_the_tables_say() -> None:
    assert based(b"CSeq: x").count(b"CSeq") == 1
