"""SIP to the words of the domain: the only bridge between the wire and the law.

Everything here is total: whatever a header holds, it becomes a value (a malformed number, an empty text) and never an
exception, so that no caller can stop a decision. Texts are cut to stated lengths.
"""

from __future__ import annotations

from typing import Final

from guard.model import CallAttempt, Direction, Header, Identity, Usage
from guard.numbering.number import MAX_RAW, NONE, Dial, Number, emergency_of, normalise
from guard.sip.headers import BadHeader, NameAddr
from guard.sip.message import Message
from guard.sip.remember import Table, keep
from guard.sip.uri import BadUri, parse_uri, unescape
from guard.sources import Source, usage_of

MAX_TEXT: Final = 256  # characters kept of a Call-ID, tag, line or User-Agent: records must not grow with the sender
MAX_IDENTITIES: Final = 16  # identity values looked at; one more is a malformed identity, so that none hides behind
WITHHELD: Final = frozenset({b"id", b"user", b"header", b"full"})  # privacy values that ask to hide (RFC 3323, 3325)

_IDENTITY_HEADERS: Final[tuple[tuple[bytes, Header], ...]] = (
    (b"p-asserted-identity", "pai"),
    (b"p-preferred-identity", "ppi"),
    (b"remote-party-id", "rpid"),
)
_JUDGED: Final = (
    b"from", b"p-asserted-identity", b"p-preferred-identity", b"remote-party-id", b"diversion", b"history-info",
    b"privacy",
)  # fmt: skip
PLAIN_DIAL: Final = Dial()  # how a stranger is taken to dial
_UNREADABLE: Final = Number("", "malformed", "", "not-digits")


def text(raw: bytes | None) -> str:
    """A header value as text, cut to `MAX_TEXT` characters."""
    return raw[: MAX_TEXT * 4].decode("utf-8", "replace")[:MAX_TEXT] if raw else ""


_numbers: Final[Table[bytes, tuple[str, str]]] = Table()  # what was dialled, by URI
_urgent: Final[Table[tuple[bytes, Dial], str]] = Table()  # which emergency number that is, "" for none


def _dialled(raw: bytes) -> tuple[str, str]:
    """The scheme of a URI and what stands for a number in it (tel: with its parameters, sip: the user part)."""
    found = _numbers.known.get(raw)
    return found if found is not None else keep(_numbers, raw, raw, _read(raw))


def _read(raw: bytes) -> tuple[str, str]:
    try:
        uri = parse_uri(raw)
    except BadUri:
        scheme, colon, rest = raw[:MAX_TEXT].partition(b":")
        kind = scheme.strip().lower()
        if colon and kind in {b"tel", b"urn"}:
            return kind.decode(), text(rest)
        return "sip", text(_user_part(rest.partition(b"@")[0]) if colon else raw)
    if uri.scheme in {"tel", "urn"}:
        return uri.scheme, text(unescape(raw.partition(b":")[2]))
    return uri.scheme, text(unescape(_user_part(uri.user))) if uri.user else ""


def _user_part(raw: bytes) -> bytes:
    """A user part without its password (RFC 3261 25.1: the user itself holds no colon)."""
    return raw.partition(b":")[0]


def emergency(raw_uri: bytes, dial: Dial) -> str:
    """The emergency number that a Request-URI calls, in its plain form, or ""."""
    key = raw_uri, dial
    found = _urgent.known.get(key)
    if found is not None:
        return found
    scheme, number = _dialled(raw_uri)
    return keep(_urgent, key, raw_uri, emergency_of(number, dial, scheme=scheme))


def number_of(raw_uri: bytes, dial: Dial, *, callee: bool = False) -> Number:
    """The number that a URI names; one without a user part presents none."""
    scheme, number = _dialled(raw_uri)
    if not number and not callee:
        return NONE
    return normalise(number, dial, scheme=scheme, callee=callee)


def fingerprint(m: Message) -> bytes:
    """What a decision rests on in a first INVITE, raw: a repetition with the same is the same, anything else is judged
    anew."""
    parts = [m.uri]
    for name in _JUDGED:
        if name in m.index:
            parts += m.all(name)
    return b"\0".join(parts)


def _name_addrs(m: Message, name: bytes) -> list[NameAddr] | None:
    """All values of a header, None where they cannot be read."""
    if name not in m.index:
        return []
    try:
        return m.routes(name)
    except BadHeader:
        return None


def _identities(m: Message, dial: Dial) -> tuple[Identity, ...]:
    out: list[Identity] = []
    for name, header in _IDENTITY_HEADERS:
        if name not in m.index:
            continue
        values = _name_addrs(m, name)
        if values is None:
            out.append(Identity(header, _UNREADABLE))
            continue
        for value in values:
            if len(out) >= MAX_IDENTITIES:
                out.append(Identity(header, _UNREADABLE))
                return tuple(out)
            number = number_of(value.uri, dial)
            if number.kind != "none":
                out.append(Identity(header, number))
    return tuple(out)


def _diversions(m: Message, dial: Dial) -> tuple[Identity, ...]:
    """Who forwarded the call: every Diversion (RFC 5806), and of History-Info (RFC 7044) all but the last entry, which
    is the present target."""
    out = [Identity("diversion", number_of(v.uri, dial)) for v in (_name_addrs(m, b"diversion") or [])[:MAX_IDENTITIES]]
    history = (_name_addrs(m, b"history-info") or [])[:MAX_IDENTITIES]
    out += [Identity("history-info", number_of(v.uri.partition(b"?")[0], dial)) for v in history[:-1]]
    return tuple(i for i in out if i.number.kind != "none")


def _user(m: Message, name: bytes) -> str:
    values = _name_addrs(m, name)
    return _dialled(values[0].uri)[1] if values else ""


def _auth_user(m: Message) -> str:
    """The username of digest credentials (RFC 3261 22.4)."""
    for name in (b"proxy-authorization", b"authorization"):
        value = m.first(name) or b""
        at = value.lower().find(b"username=")
        if at >= 0:
            return text(value[at + 9 :].split(b",", 1)[0].strip().strip(b'"'))
    return ""


def line_of(m: Message, source: Source, from_user: str) -> str:
    """The line that a call comes from, by the header that the source's `line_from` names."""
    where = source.line_from
    if where == "from":
        return from_user
    if where == "pai":
        return _user(m, b"p-asserted-identity")
    if where == "ppi":
        return _user(m, b"p-preferred-identity")
    if where == "contact":
        return _user(m, b"contact")
    if where == "auth":
        return _auth_user(m)
    return text(m.first(where.partition(":")[2].lower().encode()))


def called_from_outside(m: Message, dial: Dial) -> Number:
    """Whom a call from the operator is for. Where its Request-URI names an account that was registered, To names the
    number, if anything does."""
    callee = number_of(m.uri, dial, callee=True)
    if callee.kind == "e164":
        return callee
    try:
        named = number_of(m.to().uri, PLAIN_DIAL)
    except BadHeader:
        return callee
    return named if named.kind == "e164" else callee


def plain(
    m: Message,
    source: Source | None,
    address: str,
    at: int,
    *,
    trunk: str = "",
    direction: Direction = "outbound",
    emergency: str = "",
) -> CallAttempt:
    """A call of which `attempt` could not be made, for a fault of ours: only what cannot fail, for the record. Its
    numbers are none, and not malformed: no rule is to speak of them."""
    return CallAttempt(
        call_id=text(m.first(b"call-id")),
        from_tag="",
        at=at,
        source=source.name if source is not None else "",
        source_address=address,
        trunk=source.trunk if source is not None else trunk,
        line="",
        callee=Number("", "none", text(m.uri)[:MAX_RAW]),
        direction=direction,
        emergency=emergency,
    )


def attempt(
    m: Message, source: Source | None, address: str, at: int, *, trunk: str = "", direction: Direction = "outbound"
) -> CallAttempt:
    """What the rules see of a first INVITE that came from `address` at `at` (wall clock, µs).

    `source` is None for a stranger, whose call belongs to no trunk but the one given.
    """
    dial = source.dial if source is not None else PLAIN_DIAL
    from_uri, from_tag = b"", b""
    readable = True
    try:
        sender = m.from_()
        from_uri, from_tag = sender.uri, sender.tag or b""
    except BadHeader:
        readable = False
    callee = called_from_outside(m, dial) if direction == "inbound" else number_of(m.uri, dial, callee=True)
    scheme, from_user = _dialled(from_uri) if from_uri else ("sip", "")
    if not readable:
        caller = _UNREADABLE
    elif from_user:
        caller = normalise(from_user, dial, scheme=scheme)
    else:
        caller = NONE
    line = from_user
    usage: tuple[Usage, ...] = ("human",)
    if source is not None:
        line = line_of(m, source, from_user)
        usage = source.usage
        if source.usages:
            usage = usage_of(source, line, caller.value, lambda name: text(m.first(name.lower().encode())))
    privacy = m.first(b"privacy")
    return CallAttempt(
        call_id=text(m.first(b"call-id")),
        from_tag=text(from_tag),
        at=at,
        source=source.name if source is not None else "",
        source_address=address,
        trunk=source.trunk if source is not None else trunk,
        line=line,
        callee=callee,
        direction=direction,
        usage=usage,
        country=source.country if source is not None else "FR",
        forwarded=source.forwarded if source is not None else "trust-diversion",
        caller=caller,
        identities=_identities(m, dial),
        diversions=_diversions(m, dial) if b"diversion" in m.index or b"history-info" in m.index else (),
        emergency=emergency(m.uri, dial),
        privacy=privacy is not None and not WITHHELD.isdisjoint(privacy.lower().replace(b" ", b"").split(b";")),
        user_agent=text(m.first(b"user-agent")),
        headers=tuple((n, text(m.first(n.encode()))) for n in source.headers if m.count(n.encode()))
        if source is not None and source.headers
        else (),
    )
