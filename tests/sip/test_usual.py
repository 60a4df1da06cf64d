"""The quick ways to read what nearly every peer writes say the same as the long ones, wherever they say anything."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guard.sip import uri
from guard.sip.check import SINGLE, check_request
from guard.sip.fields import MAX_DIGITS
from guard.sip.grammar import split_values, trim
from guard.sip.headers import BadHeader, NameAddr, Via, parse_name_addr, parse_via, usual_name_addr, usual_via
from guard.sip.message import BadMessage, parse
from tests.sip.making import made

PIECES = st.sampled_from(
    [";rport", ";rport=", ";rport=5060", ";RPORT", ";rport=x", ";branch=z9hG4bK-1", ";branch=Z9HG4BK2", ";branch=",
     ";branch", ";Branch=b", ";received=192.0.2.1", ";received=2001:db8::1", ";received=", ";received=[::1]", ";ttl=1",
     ";alias", ";maddr=10.0.0.1", " ;rport", "; branch=b", ",", ", SIP/2.0/UDP b;branch=c", ",SIP/2.0/UDP d;branch=e",
     ",  SIP/2.0/UDP f;branch=g", " ", "\r\n ;rport", ";",
     "\t"]
)  # fmt: skip
HOSTS = st.sampled_from(["192.0.2.5", "pbx.example", "PBX.example", "[2001:db8::5]", "a_b", "a:99999", "a:0", "a:5060"])
PROTOCOLS = st.sampled_from(
    ["SIP/2.0/UDP ", "SIP/2.0/TCP ", "sip/2.0/udp ", "SIP / 2.0 / UDP ", "SIP/3.0/UDP ", "SIP/2.0/udp "]
)
LEADS = st.sampled_from(["", " ", "  ", "\t", "\r\n "])


def via_of(read: Via | None) -> tuple[object, ...] | None:
    """What a Via was read as."""
    if read is None:
        return None
    return (
        read.version, read.transport, read.host, read.port, read.sent_by, read.branch, read.received, read.rport,
        read.start, read.end, read.next, read.params_start, read.params,
    )  # fmt: skip


def same_via(value: str) -> None:
    """Both ways to read a Via line agree, where the quick one reads it at all."""
    data = f"Via:{value}".encode()
    spans = split_values(data, 4, len(data))
    try:
        quick = usual_via(data, 4)
    except BadHeader:
        with pytest.raises(BadHeader):
            parse_via(data, *spans[0])
        return
    if quick is not None:
        slow = parse_via(data, *spans[0])
        others = [first for first, past in spans[1:] if first < past]
        if others:
            slow.more, slow.next = True, others[0]
        assert (quick.more, via_of(quick)) == (slow.more, via_of(slow))


@given(LEADS, PROTOCOLS, HOSTS, st.lists(PIECES, max_size=5))
def test_a_usual_via_is_what_it_is_when_it_is_split(lead: str, protocol: str, host: str, pieces: list[str]) -> None:
    same_via(f"{lead}{protocol}{host}{''.join(pieces)}")


def test_the_usual_parameters_in_every_order() -> None:
    usual = (";rport", ";rport=", ";rport=5060", ";branch=z9hG4bK-1", ";received=192.0.2.1")
    for count in range(5):
        for pieces in product(usual, repeat=count):
            same_via(f" SIP/2.0/UDP 192.0.2.5:5060{''.join(pieces)}")


@pytest.mark.parametrize(
    "value",
    [
        "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1",
        "SIP/2.0/UDP 192.0.2.5:5060;rport;branch=z9hG4bK1",
        "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1;rport",
        "SIP/2.0/TCP pbx.example;branch=z9hG4bK1;rport=5060;received=192.0.2.1",
        "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1;received=2001:db8::1;rport=5060",
        "SIP/2.0/UDP 192.0.2.5:5060;branch=z9hG4bK1,SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bK2",
        "SIP/2.0/UDP 192.0.2.5;branch=z9hG4bK1;received=192.0.2.1, SIP/2.0/UDP 192.0.2.6:5060;branch=z9hG4bK2",
    ],
)
def test_these_are_usual_vias(value: str) -> None:
    assert usual_via(f"Via: {value}".encode(), 4) is not None


DISPLAYS = st.sampled_from(
    ["", '"Alice" ', '"Alice"', "Alice ", "A B ", 'a"b ', '"a\\"b" ', "a,b ", " Al ", '"a', "é "]
)
ADDRESSES = st.sampled_from(
    [
        "<sip:a@b>",
        "<sip:a@b;user=phone>",
        "<tel:+331>",
        "sip:a@b",
        "<sip:a b>",
        "<>",
        "<sip:a",
        "<sip:<a@b>",
        "<sip:a,b@c>",
    ]
)
TAILS = st.sampled_from(
    [
        "",
        ";tag=a1",
        ";tag=",
        ";tag",
        ";TAG=a",
        ";tag=a;x=1",
        ";x=1;tag=b",
        " ;tag=a",
        '; tag="q"',
        ", <sip:c@d>",
        " ",
        ">",
    ]
)


def addr_of(read: NameAddr) -> tuple[object, ...]:
    """What a name-addr was read as."""
    return (
        read.uri, read.tag, read.display, read.params, read.bracketed, read.start, read.end, read.uri_start,
        read.uri_end, read.params_start,
    )  # fmt: skip


@given(LEADS, DISPLAYS, ADDRESSES, TAILS)
def test_a_usual_address_is_what_it_is_when_it_is_split(lead: str, display: str, address: str, tail: str) -> None:
    data = f"From:{lead}{display}{address}{tail}".encode()
    quick = usual_name_addr(data, 5)
    if quick is not None:
        span = trim(data, 5, len(data))
        assert split_values(data, 5, len(data)) == [span]
        assert addr_of(quick) == addr_of(parse_name_addr(data, *span, "From"))


@pytest.mark.parametrize(
    "value", ["<sip:a@b>", "<sip:a@b>;tag=1", '"A B" <sip:a@b>;tag=1', "Al <tel:+331>", '"A"<sip:a@b>']
)
def test_these_are_usual_addresses(value: str) -> None:
    assert usual_name_addr(f"From: {value}".encode(), 5) is not None


@pytest.mark.parametrize(
    ("line", "read"),
    [
        ("CSeq: 1 INVITE", (1, b"INVITE")),
        ("CSeq:1 INVITE", (1, b"INVITE")),
        ("CSeq:  0001  INVITE", (1, b"INVITE")),
        ("CSeq: 4294967295 INVITE", (2**32 - 1, b"INVITE")),
        ("CSeq: 1\r\n INVITE", (1, b"INVITE")),
        ("CSeq: 1 x-y", (1, b"x-y")),
        ("CSeq: 4294967296 INVITE", None),
        ("CSeq: 1INVITE", None),
        ("CSeq: INVITE", None),
    ],
)
def test_cseq_in_every_form(line: str, read: tuple[int, bytes] | None) -> None:
    m = made(line.encode(), start=b"INVITE sip:b@y SIP/2.0")
    if read is None:
        with pytest.raises(BadHeader):
            m.cseq()
    else:
        assert m.cseq() == read


@pytest.mark.parametrize(("digits", "good"), [(MAX_DIGITS, True), (MAX_DIGITS + 1, False)])
def test_a_number_has_so_many_digits(digits: int, good: bool) -> None:
    m = made(b"Max-Forwards: " + b"0" * (digits - 1) + b"7")
    if good:
        assert m.max_forwards() == 7
    else:
        with pytest.raises(BadHeader):
            m.max_forwards()


@pytest.mark.parametrize(
    "line", ["INVITE sip:a@b SIP/2.0", "REGISTER sip:a SIP/2.0", "x-y sip:a SIP/2.0", "INVITE sip:a sip/2.0"]
)
def test_request_lines(line: str) -> None:
    m = parse(line.encode() + b"\r\nVia: x\r\n\r\n")
    assert (m.method, m.uri, m.version) == tuple(line.encode().split())


@pytest.mark.parametrize(
    "line", ["SIP/2.0 200 OK", "SIP/2.0 200 ", "SIP/2.0 200", "sip/2.0 486 Busy  Here", "SIP/2.0 699 \xff"]
)
def test_status_lines(line: str) -> None:
    m = parse(line.encode("latin-1") + b"\r\nVia: x\r\n\r\n")
    assert not m.is_request
    assert m.status == int(line[8:11])
    assert m.reason == line[12:].encode("latin-1")


@given(
    st.lists(st.sampled_from(["To", "t", "From", "Via", "v", "Contact", "Call-ID", "i", "X-a", "Route"]), max_size=8)
)
def test_what_is_there_more_than_once(names: list[str]) -> None:
    m = parse(b"INVITE sip:a SIP/2.0\r\n" + b"".join(f"{n}: {i}\r\n".encode() for i, n in enumerate(names)) + b"\r\n")
    for name in {line[0] for line in m.lines} | {b"subject"}:
        values = [m.data[s:e].strip() for n, _, s, e in m.lines if n == name]
        assert m.all(name) == values
        assert m.count(name) == len(values)
        assert m.first(name) == (values[0] if values else None)
        assert (name in m.repeated) == (len(values) > 1)
    if any(m.count(n) > 1 for n in SINGLE):
        with pytest.raises(BadMessage, match="two "):
            check_request(m)


USERS = st.sampled_from(
    [
        "",
        "a@",
        "+33145678901@",
        "0612345678@",
        "a:b@",
        "@",
        "a@b@",
        "%41@",
        "a;x=1@",
        "a?b@",
        "*72@",
        "A b@",
        '"@',
        "é@",
    ]
)
PLACES = st.sampled_from(
    ["192.0.2.5", "pbx.example", "PBX.example", "[2001:db8::5]", "a_b", "", "a:5060", "a:0", "a:65535", "a:65536",
     "a:123456", "a:", "5060", "a..b", "-"]
)  # fmt: skip
MORE = st.sampled_from(
    ["", ";user=phone", ";lr", ";transport=udp", ";transport=tcp", ";LR", ";lr=on", ";user=phone;lr", ";", "?a=b",
     ";lr?a", ">", " "]
)  # fmt: skip


@given(st.sampled_from(["sip:", "sips:", "SIP:", "tel:", "sip", "", "urn:"]), USERS, PLACES, MORE)
def test_a_usual_uri_is_what_it_is_when_it_is_split(scheme: str, user: str, place: str, more: str) -> None:
    raw = f"{scheme}{user}{place}{more}".encode()
    quick = uri._usual(raw)
    if quick is not None:
        assert quick == uri._read(raw)


@pytest.mark.parametrize(
    "raw", ["sip:+331@192.0.2.5;user=phone", "sip:192.0.2.5:5060;lr", "sips:a@b.example:5061", "sip:a"]
)
def test_these_are_usual_uris(raw: str) -> None:
    assert uri._usual(raw.encode()) is not None
