"""URIs: what is read of them, and which are none."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from guard.sip import uri
from guard.sip.uri import KNOWN, MAX_URI, BadUri, Uri, parse_uri, unescape
from tests.sip.making import SOUP


@pytest.mark.parametrize(
    ("raw", "uri"),
    [
        (b"sip:a@b", Uri("sip", b"a", "b", None, {})),
        (b"SIPS:a@B.Example:5061", Uri("sips", b"a", "b.example", 5061, {})),
        (b"sip:b", Uri("sip", None, "b", None, {})),
        (b"sip:b;lr", Uri("sip", None, "b", None, {"lr": None})),
        (b"sip:a:secret@b", Uri("sip", b"a:secret", "b", None, {})),
        (b"sip:a@b;LR;x=1;x=2;;y=", Uri("sip", b"a", "b", None, {"lr": None, "x": "1", "y": ""})),
        (b"sip:a@b;%6C%72;n%61me=v%61l", Uri("sip", b"a", "b", None, {"lr": None, "name": "v%61l"})),
        (b"sip:a@b?x=y&z=1", Uri("sip", b"a", "b", None, {}, b"x=y&z=1")),
        (b"sip:a@b;c?Route=%3Cx%3E", Uri("sip", b"a", "b", None, {"c": None}, b"Route=%3Cx%3E")),
        (b"sip:+33145678901;phone-context=x@b", Uri("sip", b"+33145678901;phone-context=x", "b", None, {})),
        (b"sip:user;par=u%40example.net@example.com", Uri("sip", b"user;par=u%40example.net", "example.com", None, {})),
        (
            b"sip:sips%3Auser%40example.com@example.net",
            Uri("sip", b"sips%3Auser%40example.com", "example.net", None, {}),
        ),
        (b"sip:a?b/c@d", Uri("sip", b"a?b/c", "d", None, {})),
        (b"sip:[2001:DB8::10]", Uri("sip", None, "[2001:db8::10]", None, {})),
        (b"sip:a@[2001:db8::10]:5070;x", Uri("sip", b"a", "[2001:db8::10]", 5070, {"x": None})),
        (b"sip:[2001:db8::10:5070]", Uri("sip", None, "[2001:db8::10:5070]", None, {})),
        (b"sip:a@[2001:db8:::192.0.2.1]", Uri("sip", b"a", "[2001:db8:::192.0.2.1]", None, {})),
        (b"sip:a@[fe80::1%eth0]", Uri("sip", b"a", "[fe80::1%eth0]", None, {})),
        (b"sip:a@under_score", Uri("sip", b"a", "under_score", None, {})),
        (b"tel:+33145678901;ext=1", Uri("tel", b"+33145678901;ext=1", "", None, {})),
        (b"urn:service:sos.fire", Uri("urn", b"service:sos.fire", "", None, {})),
        (b"soap.beep://192.0.2.103:3002", Uri("soap.beep", b"//192.0.2.103:3002", "", None, {})),
        (b"x:", Uri("x", b"", "", None, {})),
    ],
)
def test_uris(raw: bytes, uri: Uri) -> None:
    assert parse_uri(raw) == uri


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "no scheme"),
        (b"a@b", "no scheme"),
        (b":a@b", "no scheme"),
        (b"1sip:a", "no scheme"),
        (b"s ip:a", "white space"),
        (b"sip:", "no host"),
        (b"sip:@b", "empty user"),
        (b"sip:+33899123456@x@b", "two @"),
        (b"sip:a@", "no host"),
        (b"sip:a@;x", "no host"),
        (b"sip:a@b:", "bad port"),
        (b"sip:a@b:0", "bad port"),
        (b"sip:a@b:65536", "bad port"),
        (b"sip:a@b:+1", "bad port"),
        (b"sip:a@b:000005060", "bad port"),
        (b"sip:2001:db8::10", "bad port"),
        (b"sip:a@b/c", "bad port"),
        (b"sip:[::1", "no host"),
        (b"sip:[]", "no host"),
        (b"sip:[::1]x", "bad port"),
        (b"sip:a b@c", "white space"),
        (b"sip:a@b\r\nVia: x", "white space"),
        (b"sip:a\x00@b", "white space"),
        (b"sip:a\x7f@b", "white space"),
        (b"<sip:a@b>", "white space"),
        (b'sip:"a"@b', "white space"),
        (b"sip:a@caf\xc3\xa9", "bad port"),
    ],
)
def test_what_is_no_uri(raw: bytes, why: str) -> None:
    with pytest.raises(BadUri, match=why):
        parse_uri(raw)


def test_the_scheme_is_told_where_only_that_could_be_read() -> None:
    with pytest.raises(BadUri) as caught:
        parse_uri(b"SIP:a@")
    assert caught.value.scheme == "sip"


def test_too_long() -> None:
    head = b"sip:a@"
    assert parse_uri(head + b"b" * (MAX_URI - len(head))).user == b"a"
    with pytest.raises(BadUri, match="too long"):
        parse_uri(head + b"b" * (MAX_URI - len(head) + 1))


def test_only_so_many_are_remembered() -> None:
    uri._known.clear()
    for i in range(KNOWN):
        parse_uri(b"sip:%d@b" % i)
    assert len(uri._known.known) == KNOWN
    assert parse_uri(b"sip:0@b") == Uri("sip", b"0", "b", None, {})
    parse_uri(b"sip:another@b")
    assert len(uri._known.known) > KNOWN * 9 // 10
    assert b"sip:0@b" not in uri._known.known
    assert list(uri._known.known)[-2:] == [b"sip:%d@b" % (KNOWN - 1), b"sip:another@b"]


@pytest.mark.parametrize(
    ("raw", "out"),
    [(b"a", b"a"), (b"%41", b"A"), (b"%00", b"\x00"), (b"value%25%34%31", b"value%41"), (b"%", b"%"), (b"%4", b"%4"),
     (b"%zz%41", b"%zzA"), (b"%c3%A9", b"\xc3\xa9")],
)  # fmt: skip
def test_unescaping_once(raw: bytes, out: bytes) -> None:
    assert unescape(raw) == out


@given(st.one_of(st.binary(max_size=60), SOUP, SOUP.map(lambda s: b"sip:" + s)))
@settings(max_examples=300, deadline=None)
def test_nothing_but_bad_uri_comes_of_any_bytes(raw: bytes) -> None:
    try:
        uri = parse_uri(raw)
    except BadUri:
        return
    assert uri.scheme == uri.scheme.lower()
    assert uri.host.isascii()
    assert uri.port is None or 0 < uri.port < 65536
    assert uri.user is None or uri.user in raw
