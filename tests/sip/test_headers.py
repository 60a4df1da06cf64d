"""Via and everything of the form of a name-addr: what is read, what is refused, and where it stands."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sip import grammar
from guard.sip.fields import field_of
from guard.sip.grammar import closing_quote, find_outside, parse_params, split_values, trim
from guard.sip.headers import BadHeader, NameAddr, Via, parse_name_addr, parse_via, quote_text
from tests.sip.making import SOUP, made


def via(value: bytes) -> Via:
    return parse_via(value, 0, len(value))


def addr(value: bytes) -> NameAddr:
    return parse_name_addr(value, *trim(value, 0, len(value)), "From")


# ---- Via -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "transport", "host", "port", "branch", "received", "rport"),
    [
        (b"SIP/2.0/UDP a.b:5060;branch=z9hG4bK1", b"UDP", "a.b", 5060, b"z9hG4bK1", None, None),
        (b"SIP/2.0/udp A.b;Branch=x", b"UDP", "a.b", None, b"x", None, None),
        (b"SIP/2.0/TCP 1.2.3.4;rport;branch=x", b"TCP", "1.2.3.4", None, b"x", None, b""),
        (b"SIP/2.0/TCP 1.2.3.4;rport=1;received=5.6.7.8;branch=x", b"TCP", "1.2.3.4", None, b"x", b"5.6.7.8", b"1"),
        (b"SIP/2.0/UDP [2001:DB8::1]:7;branch=x", b"UDP", "[2001:db8::1]", 7, b"x", None, None),
        (b"SIP/2.0/UDP [::1];received=[::2];branch=x", b"UDP", "[::1]", None, b"x", b"[::2]", None),
        (b"SIP/2.0/UDP [::1];received=::2", b"UDP", "[::1]", None, None, b"::2", None),
        (b"sip / 2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw", b"UDP", "192.0.2.2", None, b"390skdjuw", None, None),
        (b"SIP  /    2.0   / UDP  a   ; branch=\r\n z9hG4bK30239", b"UDP", "a", None, b"z9hG4bK30239", None, None),
        (b"SIP/2.0/UDP a : 7 ;branch=x", b"UDP", "a", 7, b"x", None, None),
        (b"SIP/7.0/UDP a", b"UDP", "a", None, None, None, None),
        (b"SIP/2.0/UDP under_score.lan;branch=x", b"UDP", "under_score.lan", None, b"x", None, None),
        (b"SIP/2.0/UNKNOWN a;x=\";branch=no\";branch=yes", b"UNKNOWN", "a", None, b"yes", None, None),
        (b"SIP/2.0/UDP a;;,", b"UDP", "a", None, None, None, None),
        (b"SIP/2.0/UDP a;branch=;branch=x", b"UDP", "a", None, b"", None, None),
        (b"SIP/2.0/UDP a;branch=x;branch=y", b"UDP", "a", None, b"x", None, None),
        (b"SIP/2.0/UDP a;xbranch=no", b"UDP", "a", None, None, None, None),
        (b"SIP/2.0/UDP a;ruri=1;branch=x", b"UDP", "a", None, b"x", None, None),
    ],
)  # fmt: skip
def test_via(
    value: bytes, transport: bytes, host: str, port: int | None, branch: bytes | None, received: bytes | None,
    rport: bytes | None,
) -> None:  # fmt: skip
    v = via(value)
    assert (v.transport, v.host, v.port) == (transport, host, port)
    assert (v.branch, v.received, v.rport) == (branch, received, rport)
    assert v.sent_by == host.encode() + (b":%d" % port if port else b"")


@pytest.mark.parametrize(
    "value",
    [b"", b"SIP/2.0/UDP", b"SIP/2.0/UDP ", b"SIP/2.0 a", b"UDP a", b"SIP/2.0/UDP a:0", b"SIP/2.0/UDP a:65536",
     b"SIP/2.0/UDP a:123456", b"SIP/2.0/UDP a:x", b"SIP/2.0/UDP a b", b"SIP/2.0/UDP 2001:db8::1", b"SIP/2.0/UDP [::1",
     b"SIP/2.0/UDP caf\xc3\xa9", b"SIP/2.0/U DP a", b"SIP/2/UDP a", b"SIP/2.0/UDP a@b", b"SIP/2.0/UDP <a>"],
)  # fmt: skip
def test_bad_via(value: bytes) -> None:
    with pytest.raises(BadHeader, match="Via"):
        via(value)


@given(
    st.sampled_from([b"a.example", b"192.0.2.1", b"x:5070"]),
    st.lists(
        st.sampled_from(
            [b"branch=z9hG4bK1", b"branch=", b"branch", b"alias", b"x=1", b"xbranch=no", b"ttl=1", b"x=a:b"]
        ),
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None)
def test_the_usual_via_is_read_as_any_other(host: bytes, params: list[bytes]) -> None:
    """One match reads the form that nearly all have; an empty parameter in front makes it take the long way."""
    tail = b"".join(b";" + p for p in params)
    short, long = via(b"SIP/2.0/UDP " + host + tail), via(b"SIP/2.0/UDP " + host + b" ;" + tail)
    for name in ("transport", "host", "port", "sent_by", "branch", "received", "rport", "params"):
        assert getattr(short, name) == getattr(long, name)


# ---- name-addr -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "display", "uri", "tag"),
    [
        (b"<sip:a@b>;tag=1", b"", b"sip:a@b", b"1"),
        (b"<sip:a@b>", b"", b"sip:a@b", None),
        (b"sip:a@b;tag=1", b"", b"sip:a@b", b"1"),
        (b"sip:a@b ;\r\n tag   = 1", b"", b"sip:a@b", b"1"),
        (b"sip:a@b", b"", b"sip:a@b", None),
        (b"Bob <sip:a@b;user=phone>;x=1;TAG=2", b"Bob", b"sip:a@b;user=phone", b"2"),
        (b"Bob van der Berg\r\n <sip:a@b>", b"Bob van der Berg", b"sip:a@b", None),
        (b"caller<sip:a@b>;tag=323", b"caller", b"sip:a@b", b"323"),
        (b'"Bob" <sip:a@b>', b'"Bob"', b"sip:a@b", None),
        (b'"Bob"<sip:a@b>;tag=1', b'"Bob"', b"sip:a@b", b"1"),
        (b'"a, b; <c> \\" \\\\" <sip:a@b>;tag=1', b'"a, b; <c> \\" \\\\"', b"sip:a@b", b"1"),
        (b'"" <sip:a@b>', b'""', b"sip:a@b", None),
        (b"\xc3\xa9 <sip:a@b>", b"\xc3\xa9", b"sip:a@b", None),
        (b"<sip:a,b;c=<d@b>;tag=1", b"", b"sip:a,b;c=<d@b", b"1"),
        (b"<tel:+33140000000>;tag=1", b"", b"tel:+33140000000", b"1"),
        (b"tel:+33140000000;tag=1", b"", b"tel:+33140000000", b"1"),
        (b"<sip:a@b>;tag=", b"", b"sip:a@b", None),  # an empty tag is none
        (b"<sip:a@b>;tag", b"", b"sip:a@b", None),
        (b"<sip:a@b>;tag=;tag=2", b"", b"sip:a@b", None),
        (b"<sip:a@b;tag=no>", b"", b"sip:a@b;tag=no", None),
        (b'<sip:a@b>;x=";tag=no";tag=yes', b"", b"sip:a@b", b"yes"),
        (b'<sip:a@b>;tag="quoted"', b"", b"sip:a@b", b"quoted"),
        (b"<sip:a@b>;xtag=1", b"", b"sip:a@b", None),
    ],
)
def test_name_addr(value: bytes, display: bytes, uri: bytes, tag: bytes | None) -> None:
    for around in (b"", b" ", b"\r\n\t"):
        text = around + value + around
        a = addr(text)
        assert (a.display, a.uri, a.tag) == (display, uri, tag)
        assert text[a.uri_start : a.uri_end] == uri
        assert text[a.start : a.end] == value
        assert text[a.params_start : a.end] in {value[value.find(b">;") + 1 :], value[value.find(b";") :], b""}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "no URI"),
        (b"<>", "no URI"),
        (b";tag=1", "no URI"),
        (b'"Bob <sip:a@b>', "quote"),
        (b'"Bob\\" <sip:a@b>', "quote"),
        (b'"Bob" sip:a@b', "no <address>"),
        (b'"Bob"', "no <address>"),
        (b"<sip:a@b", "bracket"),
        (b"< sip:a@b >", "white space"),
        (b"<sip:a@b\t>", "white space"),
        (b"sip:a @b", "white space"),
        (b"sip:a@b\r\n c", "white space"),
        (b"Bell, Alexander <sip:a@b>", "quotes"),
        (b"sip:evil@x;y=1 <sip:a@b>", "quotes"),
        (b'x "<sip:+33145678900@h>" <sip:+33899123456@h>', "needs quotes"),  # two readers, two addresses
        (b'sip:a@b "<sip:c@d>"', "needs quotes"),
        (b': : "Mr. J. User <sip:j.user@example.com>', "needs quotes"),  # found by comparing with tshark
    ],
)
def test_bad_name_addr(value: bytes, why: str) -> None:
    with pytest.raises(BadHeader, match=why):
        addr(value)


@given(SOUP)
@settings(max_examples=200, deadline=None)
def test_nothing_but_bad_header_comes_of_any_value(value: bytes) -> None:
    for read in (via, addr):
        try:
            got = read(value)
        except BadHeader:
            continue
        assert got.start <= got.params_start <= got.end <= len(value)
        assert isinstance(got.params, dict)


def test_values_are_split_outside_quotes_and_brackets() -> None:
    m = made(b'Route: "a, b" <sip:a,b@x;c=d> ,<sip:c>\r\n , sip:d;lr')
    assert [r.uri for r in m.routes()] == [b"sip:a,b@x;c=d", b"sip:c", b"sip:d"]
    with pytest.raises(BadHeader, match="route"):
        made(b"Route: <sip:a>, , <sip:b>").routes()


# ---- the pieces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "params"),
    [
        (b"", {}),
        (b";a;b=1;C = 2 ;d=\r\n 3", {"a": None, "b": b"1", "c": b"2", "d": b"3"}),
        (b";;;a;", {"a": None}),
        (b";a=1;A=2", {"a": b"1"}),
        (b';a="x;y=z";b="\\";c"', {"a": b"x;y=z", "b": b'\\";c'}),
        (b';a="unclosed;b=1', {"a": b'"unclosed;b=1'}),
        (b";=1", {}),
        (b";a==1", {"a": b"=1"}),
        (b";caf\xe9=1", {"caf\xe9": b"1"}),
    ],
)
def test_params(raw: bytes, params: dict[str, bytes | None]) -> None:
    assert parse_params(raw) == params


@pytest.mark.parametrize(
    ("data", "at"),
    [(b'""', 1), (b'"a"b"', 2), (b'"\\""', 3), (b'"\\\\"', 3), (b'"', -1), (b'"\\"', -1), (b'"abc', -1)],
)
def test_closing_quote(data: bytes, at: int) -> None:
    assert closing_quote(data, 0, len(data)) == at


def test_nothing_is_found_behind_what_is_not_closed() -> None:
    assert find_outside(b'"a,b', b",", 0, 4) == 4
    assert find_outside(b"<a,b", b",", 0, 4) == 4
    assert find_outside(b"a,b", b",", 0, 3) == 1
    assert find_outside(b"a,b", b",", 0, 1) == 1
    assert split_values(b"", 0, 0) == [(0, 0)]
    assert split_values(b" a , ", 0, 5) == [(1, 2), (5, 5)]


@pytest.mark.parametrize(
    ("raw", "value"),
    [(b" a \r\n", b"a"), (b"\r\n a\r\n\t b\r\n", b"a b"), (b"a  b\r\n", b"a  b"), (b"\r\n \r\n", b"")],
)
def test_a_fold_is_one_space(raw: bytes, value: bytes) -> None:
    field = field_of(b"X:" + raw)
    assert field is not None
    assert field.value == value


@given(st.text(max_size=40))
@settings(max_examples=100, deadline=None)
def test_quoted_text_stays_within_its_quotes(text: str) -> None:
    quoted = quote_text(text)
    assert closing_quote(quoted, 0, len(quoted)) == len(quoted) - 1
    assert b"\r" not in quoted
    assert b"\n" not in quoted
    assert quoted.isascii()


def test_quoted_sentences_stay_legible() -> None:
    assert quote_text("present one as +33…: “it’s” 5 € – é") == b'"present one as +33...: \\"it\'s\\" 5 EUR - ?"'


@settings(max_examples=500)
@given(st.lists(st.sampled_from([b'"', b";", b"<", b">", b"\\", b"a", b"=", b"\n"]), max_size=14).map(b"".join))
def test_parameters_are_told_apart_in_one_go_as_they_are_one_by_one(raw: bytes) -> None:
    """The expression that splits them, against `find_outside`, which knows quotes, escapes and brackets."""
    pieces, at = [], 0
    while at <= len(raw):
        semicolon = find_outside(raw, b";", at, len(raw))
        pieces.append(raw[at:semicolon])
        at = semicolon + 1
    assert [p for p in grammar._PIECE.findall(raw) if p] == [p for p in pieces if p]


def test_a_row_of_semicolons_holds_no_parameter() -> None:
    assert parse_params(b";;;a=1;;b;" + b";" * 1_000 + b'c="x;y"') == {"a": b"1", "b": None, "c": b"x;y"}
