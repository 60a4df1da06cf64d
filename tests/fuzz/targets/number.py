"""URIs, and the telephone numbers in them."""

from __future__ import annotations

import re
from typing import Final

from guard.numbering.number import EMERGENCY, MAX_RAW, Dial, emergency_of, normalise
from guard.sip.uri import BadUri, _read, _usual, parse_uri, unescape
from tests.fuzz.targets import Target

LONGEST: Final = 96
DIALS: Final = (Dial(), Dial(strip="0"), Dial(international="", national=""), Dial(international="011", strip="9"))
E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")


def seeds() -> list[bytes]:
    """URIs and numbers as IPBXs write them."""
    return [
        b"sip:+33145678900@192.0.2.1:5060;transport=udp;lr",
        b"sips:0145678900;phone-context=+33@[2001:db8::1%eth0]:5061",
        b"tel:+33-1-45-67-89-00;phone-context=example.com",
        b"tel:112;phone-context=+33",
        b"urn:service:sos.fire",
        b"sip:0033145678900@host.example;user=phone?Replaces=x",
        b"sip:%30145678900:pass@h",
        b"sip:3651#@h",
        b"#31#0145678900",
        b"00590590123456",
        b"+330145678900",
        b"0269612345",
        b"+508412345",
        b"112",
        b"0112",
        b"anonymous",
        b"33145678900",
        b"+33 (0)1 45.67.89.00",
        b"sip:anonymous@anonymous.invalid",
        b"118218",
        b"+116000",
    ]


def check(data: bytes) -> None:
    """As a URI, then its user part and the bytes themselves as a number."""
    try:
        uri = parse_uri(data)
    except BadUri:
        uri = None
    usual = _usual(data)
    if usual is not None:
        assert usual == _read(data), "the quick reading of a URI differs from the slow one"
    number(data.decode("latin-1"), "sip")
    if uri is not None:
        assert uri.port is None or 0 < uri.port < 65_536
        assert uri.scheme == uri.scheme.lower()
        if uri.user is not None:
            number(unescape(uri.user).decode("utf-8", "replace"), uri.scheme)


def number(raw: str, scheme: str) -> None:
    """What a number means, for a caller and for a callee, under one way of dialling: which, its length says."""
    dial = DIALS[len(raw) % len(DIALS)]
    for callee in (False, True):
        found = normalise(raw, dial, scheme=scheme, callee=callee)
        assert len(found.raw) <= MAX_RAW
        if found.kind == "e164":
            assert E164.fullmatch(found.value), found
            again = normalise(found.value, dial)
            assert (again.kind, again.value) == ("e164", found.value), "a number in E.164 means another one"
        elif found.kind == "short":
            assert found.value.isdigit(), found
            assert len(found.value) <= 6
        else:
            assert found.value == ""
            assert (found.kind == "malformed") == bool(found.reason)
    sos = emergency_of(raw, dial, scheme=scheme)
    assert sos == "" or sos in EMERGENCY
    if sos:
        called = normalise(raw, dial, scheme=scheme, callee=True)
        assert called.kind == "e164" or called.value == sos, "an emergency call that is called something else"


TARGET: Final = Target(
    invariant="Any bytes are a URI or a named error, read alike by the quick and the slow reader; any text is a number "
    "in E.164 that means itself, a short one, or a named reason; whatever is an emergency call is called so.",
    longest=LONGEST,
    seeds=seeds,
    words=(
        b"sip:",
        b"sips:",
        b"tel:",
        b"urn:service:sos",
        b"+33",
        b"0033",
        b"00",
        b"011",
        b"112",
        b"116117",
        b"#31#",
        b"3651",
        b";phone-context=+33",
        b";lr",
        b";user=phone",
        b"[::1]",
        b":5060",
        b"%2B",
        b"@",
        b"262",
        b"508",
        b"590",
    ),
    check=check,
)
