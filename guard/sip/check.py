"""What a proxy refuses, or drops, for its form (RFC 3261 16.3; RFC 4475)."""

from __future__ import annotations

import re
from typing import Final

from guard.sip.fields import Field
from guard.sip.grammar import COMMA, LESS, QUESTION
from guard.sip.headers import BadHeader
from guard.sip.message import BadMessage, Message
from guard.sip.uri import BadUri, parse_uri

SINGLE: Final = frozenset({b"call-id", b"cseq", b"from", b"to", b"max-forwards"})
SCHEMES: Final = frozenset({"sip", "sips", "tel", "urn"})  # tel and urn:service:sos are routed by the guard's own trunk
_STRAY: Final = re.compile(rb"[;,]\s*(?:[;,]|$)")
_BRACKETS: Final = re.compile(rb"<[^<>]*>")  # not beyond another <: a line of them would take its square


def check_request(m: Message) -> None:
    """Raise BadMessage for a request that a proxy may not pass on; its `status` says why."""
    if m.version != b"SIP/2.0" and m.version.upper() != b"SIP/2.0":
        raise BadMessage(505, "only SIP/2.0 is spoken here", message=m)
    if m.repeated and not SINGLE.isdisjoint(m.repeated):
        name = next(field.name for field in m.fields if field.name in SINGLE and field.name in m.repeated)
        raise BadMessage(400, f"two {name.decode()} headers", message=m)
    for name in (b"via", b"contact"):
        if name in m.repeated:
            for field in m.fields:
                if field.name == name:
                    _no_strays(m, field)
        elif name in m.index:
            _no_strays(m, m.fields[m.index[name]])
    try:
        _mandatory(m)
        if m.max_forwards() == 0:
            raise BadMessage(483, "Max-Forwards is 0", message=m)
    except BadHeader as error:
        raise BadMessage(400, f"{error.name}: {error.reason}", message=m) from error
    _request_uri(m)
    if b"proxy-require" in m.index:
        tags = b", ".join(m.all(b"proxy-require"))
        raise BadMessage(420, "no extension is supported here", message=m, headers=(b"Unsupported: " + tags + b"\r\n",))


def _mandatory(m: Message) -> None:
    for name in (b"call-id", b"cseq", b"from", b"to"):
        if name not in m.index:
            raise BadMessage(400, f"no {name.decode()} header", message=m)
    m.from_()
    m.to()
    if b"route" in m.index:
        m.routes()
    if not m.first(b"call-id"):
        raise BadMessage(400, "empty call-id header", message=m)
    if m.cseq()[1] != m.method:
        raise BadMessage(400, "CSeq names another method", message=m)


def _request_uri(m: Message) -> None:
    raw = m.uri
    if raw[:1] == b"<":
        raise BadMessage(400, "brackets around the Request-URI", message=m)
    try:
        uri = parse_uri(raw)
    except BadUri as error:
        raise BadMessage(400, f"Request-URI: {error}", message=m) from error
    if uri.scheme not in SCHEMES:
        raise BadMessage(416, f"scheme {uri.scheme[:20]} is not spoken here", message=m)
    if uri.headers:
        raise BadMessage(400, "headers in the Request-URI", message=m)


def _no_strays(m: Message, field: Field) -> None:
    """Empty values and parameters, and a Contact that hides headers outside of brackets."""
    value = field.value
    if COMMA not in value and value.find(b";;") < 0:
        if field.name == b"contact" and QUESTION in value and LESS not in value:
            raise BadMessage(400, "Contact with headers needs brackets", message=m)
        return
    if b'"' not in value and _STRAY.search(_BRACKETS.sub(b"<>", value)):
        raise BadMessage(400, f"empty value in {field.name.decode()}", message=m)


def check_response(m: Message) -> None:
    """Raise BadMessage for a response that is to be dropped."""
    try:
        m.via()
        m.cseq()
        m.from_()  # read here, once: nothing behind this point may find them broken
        m.to()
    except BadHeader as error:
        raise BadMessage(400, f"{error.name}: {error.reason}", fatal=True) from error
