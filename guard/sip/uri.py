"""URIs (RFC 3261 19.1, RFC 3966): scheme, user, host, port, parameters; nothing is unescaped that was not asked for."""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from guard.sip.grammar import PERCENT
from guard.sip.remember import Table

MAX_URI: Final = 4096  # bytes; longer than any phone or SBC writes, shorter than an attack
KNOWN: Final = 8192  # parsed URIs remembered: those of a busy site's lines and peers

_SCHEME: Final = re.compile(rb"[A-Za-z][A-Za-z0-9+.\-]*")
_HOST: Final = re.compile(rb"[A-Za-z0-9_\-.]+")
_IPV6: Final = re.compile(rb"\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._\-]+)?\]")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
# What nearly everybody calls, and calls from; any other URI is read piece by piece.
_USUAL: Final = re.compile(
    rb"(sips?):(?:([^@\x00-\x20<>\"\x7f]+)@)?([a-z0-9.\-]+)(?::(\d{1,5}))?(;user=phone|;lr|;transport=udp)?"
)
_FORBIDDEN: Final = re.compile(rb"[\x00-\x20<>\"\x7f]")


_USUAL_PARAMS: Final[dict[bytes | None, dict[str, str | None]]] = {
    None: {},
    b";user=phone": {"user": "phone"},
    b";lr": {"lr": None},
    b";transport=udp": {"transport": "udp"},
}
_known: Final[Table[bytes, Uri]] = Table(KNOWN)


class BadUri(ValueError):
    """A URI that cannot be read. `scheme` is set (lower case) where only that could be read."""

    def __init__(self, reason: str, scheme: str = "") -> None:
        super().__init__(reason)
        self.scheme = scheme


@mypyc_attr(acyclic=True)
class Uri:  # noqa: PLW1641 - nothing is looked up by one, and `params` could not be
    """One URI. `user` is still escaped, and keeps a password or parameters of its own; `host` is lower case, IPv6 in
    brackets; `params`, which nobody changes, maps lower-case names to values (None: without); `headers` is what stands
    after `?`.

    Of a scheme other than sip and sips only `scheme` is read, and `user` holds the rest.
    """

    __slots__ = ("headers", "host", "params", "port", "scheme", "user")

    def __init__(
        self, scheme: str, user: bytes | None, host: str, port: int | None, params: dict[str, str | None],
        headers: bytes = b"",
    ) -> None:  # fmt: skip
        self.scheme = scheme
        self.user = user
        self.host = host
        self.port = port
        self.params = params
        self.headers = headers

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Uri):
            return NotImplemented
        return self._parts() == other._parts()

    def _parts(self) -> tuple[object, ...]:
        return self.scheme, self.user, self.host, self.port, self.params, self.headers


def unescape(raw: bytes) -> bytes:
    """Percent escapes resolved, once (RFC 3261 19.1.4); what is no escape stays as it is."""
    return _ESCAPE.sub(lambda m: bytes((int(m.group(1), 16),)), raw) if PERCENT in raw else raw


def parse_uri(raw: bytes) -> Uri:
    """Read one URI. Raises BadUri."""
    found = _known.known.get(raw)
    if found is not None:
        return found
    if len(raw) > MAX_URI:
        raise BadUri("URI too long")
    found = _usual(raw) or _read(raw)
    _known.put(raw, found)
    return found


def _usual(raw: bytes) -> Uri | None:
    """A URI in one of the usual forms, None for any other."""
    found = _USUAL.fullmatch(raw)
    if found is None:
        return None
    scheme, user, host, digits, parameter = found.group(1, 2, 3, 4, 5)
    port = int(digits) if digits else None
    if port is not None and not 0 < port < 65536:
        return None
    return Uri(scheme.decode(), user, host.decode(), port, _USUAL_PARAMS[parameter])


def _read(raw: bytes) -> Uri:
    """Any URI, piece by piece. Raises BadUri."""
    if _FORBIDDEN.search(raw):
        raise BadUri("white space or brackets in URI")
    name, colon, rest = raw.partition(b":")
    if not colon or not _SCHEME.fullmatch(name):
        raise BadUri("no scheme")
    scheme = name.decode().lower()
    if scheme not in {"sip", "sips"}:
        return Uri(scheme, rest, "", None, {})
    # A user part may hold ; and ? but no unescaped @ (RFC 3261 25.1).
    user: bytes | None
    user, at, where = rest.rpartition(b"@")
    if not at:
        user = None
    elif not user:
        raise BadUri("empty user", scheme)
    elif (
        user.find(b"@") >= 0
    ):  # others may take the first for the end of the user: what we judge must be what they call
        raise BadUri("two @", scheme)
    where, _, headers = where.partition(b"?")
    hostport, *pieces = where.split(b";")
    host, port = _hostport(hostport, scheme)
    params: dict[str, str | None] = {}
    for piece in pieces:
        key, equals, value = piece.partition(b"=")
        if key:
            params.setdefault(unescape(key).decode("latin-1").lower(), value.decode("latin-1") if equals else None)
    return Uri(scheme, user, host, port, params, headers)


def _hostport(raw: bytes, scheme: str) -> tuple[str, int | None]:
    ipv6 = _IPV6.match(raw)
    found = ipv6 or _HOST.match(raw)
    if found is None:
        raise BadUri("no host", scheme)
    host, rest = found.group().decode().lower(), raw[found.end() :]
    if not rest:
        return host, None
    if rest[:1] != b":" or not rest[1:].isdigit() or len(rest) > 6 or not 0 < int(rest[1:]) < 65536:
        raise BadUri("bad port", scheme)
    return host, int(rest[1:])
