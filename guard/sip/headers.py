"""Header values that a proxy reads: Via, and whatever has the form of a name-addr (RFC 3261 20.10, 20.42, 25.1).

Offsets are into the bytes that they were read from, so that a value can be edited where it stands.
"""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from guard.sip.grammar import COMMA, CR, SPACE, TAB, WHITE, closing_quote, find_outside, parse_params, quote_text
from guard.sip.remember import Table, keep

__all__ = ["BadHeader", "NameAddr", "Via", "parse_name_addr", "parse_via", "quote_text", "usual_name_addr", "usual_via"]

_TAG: Final = re.compile(rb";tag=([A-Za-z0-9\-.!%*_+`'~]+)")
_VIA: Final = re.compile(
    rb"SIP\s*/\s*(\d\.\d)\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_\-.]+)\s*+(?::\s*+(\d{1,5})\s*+)?(?=;|$)",
    re.IGNORECASE,
)
# The forms that nearly every peer writes, as a whole field's value: they need no splitting. Whatever else the grammar
# allows is read piece by piece, and means the same where both can read it (tests/sip/test_usual.py).
_USUAL_HEAD: Final = re.compile(rb" ?(SIP/2\.0/([A-Z]+) (([a-z0-9.\-]+)(?::(\d{1,5}))?))((?:;rport)?)")
_USUAL_TAIL: Final = re.compile(rb"((?:;rport(?:=\d*)?)?)(?:;received=([0-9A-Fa-f.:]+))?((?:;rport(?:=\d*)?)?)")
_BRANCH: Final = b";branch="
_IN_BRANCH: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-.!%*_+`'~:"
MAX_USUAL: Final = 64  # Vias in one field that is read so: a loop has been through fewer proxies
_USUAL_ADDR: Final = re.compile(
    rb" ?((?:\"[^\"\\\r\n]*\" ?|[^\"<>,;\r\n \t][^\"<>,;\r\n]*)?<([^> \t\r\n]+)>)"
    rb"(?:;tag=([A-Za-z0-9\-.!%*_+`'~]+))?"
)


class BadHeader(ValueError):
    """One header that cannot be read. The read fails, not the message."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


@mypyc_attr(acyclic=True)
class Via:
    """One Via value. `rport` is None where the parameter is absent, b"" where it is empty; `received` likewise.

    `start` and `end` are its offsets; `more` tells that others follow in that field, and `next` where the first of them
    starts. `rport_start` and `rport_end` are where the parameter stands with its semicolon, 0 where that was not noted.
    """

    __slots__ = (
        "_data", "_params", "branch", "end", "host", "more", "next", "params_start", "port", "received",
        "rport", "rport_end", "rport_start", "sent_by", "start", "transport", "version",
    )  # fmt: skip

    def __init__(
        self, data: bytes, start: int, end: int, params_start: int, protocol: tuple[bytes, bytes], host: str,
        port: int | None, sent_by: bytes,
    ) -> None:  # fmt: skip
        self._data = data
        self._params: dict[str, bytes | None] | None = None
        self.start = start
        self.end = self.next = end
        self.params_start = params_start
        self.more = False
        self.version, self.transport = protocol
        self.host = host
        self.port = port
        self.sent_by = sent_by
        self.branch: bytes | None = None
        self.received: bytes | None = None
        self.rport: bytes | None = None
        self.rport_start = self.rport_end = 0

    @property
    def params(self) -> dict[str, bytes | None]:
        """All parameters, by lower-case name."""
        if self._params is None:
            self._params = parse_params(self._data[self.params_start : self.end])
        return self._params


def _port(raw: bytes | None) -> int | None:
    """A port from its digits. Raises BadHeader."""
    if not raw:
        return None
    port = int(raw)
    if not 0 < port < 65536:
        raise BadHeader("Via", "bad port")
    return port


def parse_via(data: bytes, start: int, end: int) -> Via:
    """The Via value at these offsets. Raises BadHeader."""
    found = _VIA.match(data, start, end)
    if found is None:
        raise BadHeader("Via", "not SIP/2.0/transport host")
    version, transport, host, port = found.group(1, 2, 3, 4)
    sent_by = host.lower() + (b":" + port if port else b"")
    via = Via(data, start, end, found.end(), (version, transport.upper()), host.decode().lower(), _port(port), sent_by)
    params = via.params
    via.branch = params.get("branch")
    via.received = params.get("received")
    via.rport = (params["rport"] or b"") if "rport" in params else None
    return via


class _Head:
    """What stands before the branch of a Via, and is the same in every message of one peer."""

    __slots__ = ("from_", "host", "port", "protocol", "rport", "sent_by", "to")

    def __init__(self, found: re.Match[bytes]) -> None:
        transport, self.sent_by, host, port, rport = found.group(2, 3, 4, 5, 6)
        self.protocol = (b"2.0", transport)
        self.host: str = host.decode()
        self.port = _port(port)
        self.rport: bytes = rport
        self.from_, self.to = found.span(1)


class _Tail:
    """What stands behind the branch of a Via, and is the same in every answer of one peer."""

    __slots__ = ("at", "received", "rport", "size")

    def __init__(self, received: bytes | None, rport: bytes, at: int) -> None:
        self.received = received
        self.rport = rport
        self.at, self.size = at, len(rport)  # of rport, from the beginning of the tail


_heads: Final[Table[bytes, _Head]] = Table()
_tails: Final[Table[bytes, _Tail]] = Table()


def _head(text: bytes) -> _Head | None:
    """As it was read before, or anew; None where it has another form. Raises BadHeader."""
    known = _heads.known.get(text)
    if known is not None:
        return known
    found = _USUAL_HEAD.fullmatch(text)
    if found is None:
        return None
    return keep(_heads, text, text, _Head(found))


def _tail(text: bytes) -> _Tail | None:
    """As it was read before, or anew; None where it has another form."""
    known = _tails.known.get(text)
    if known is not None:
        return known
    found = _USUAL_TAIL.fullmatch(text)
    if found is None:
        return None
    before, received, last = found.group(1, 2, 3)  # where it is said twice, the first counts
    return keep(_tails, text, text, _Tail(received, before or last, 0 if before else found.start(3)))


def usual_via(data: bytes, start: int) -> Via | None:
    """The Via that stands from `start` to the end, in one of the usual forms, or the first where another follows a
    comma; None for any other. Raises BadHeader."""
    cut = data.find(_BRANCH, start)
    if cut < 0:
        return None
    head = _head(data[start:cut])
    if head is None:
        return None
    first = cut + len(_BRANCH)
    comma = data.find(b",", first) if COMMA in data else -1
    end = len(data) if comma < 0 else comma
    stop = data.find(b";", first, end)
    branch = data[first : end if stop < 0 else stop]
    if not branch or branch.translate(None, _IN_BRANCH):
        return None
    tail = None
    if stop >= 0:
        tail = _tail(data[stop:end])
        if tail is None:
            return None
    via = Via(data, start + head.from_, end, start + head.to, head.protocol, head.host, head.port, head.sent_by)
    if comma >= 0:
        follows = comma + 2 if data[comma + 1 : comma + 2] == b" " else comma + 1
        if not data.startswith(b"SIP/", follows) or data.count(b",", comma) > MAX_USUAL:
            return None
        via.more, via.next = True, follows
    via.branch = branch
    if tail is not None:
        via.received = tail.received
    if head.rport:
        via.rport, via.rport_start, via.rport_end = b"", cut - len(head.rport), cut
    elif tail is not None and tail.rport:
        via.rport, via.rport_start = tail.rport[7:], stop + tail.at
        via.rport_end = via.rport_start + tail.size
    return via


@mypyc_attr(acyclic=True)
class NameAddr:
    """A name-addr or addr-spec with its parameters: From, To, Contact, Route, the identity headers.

    `start` to `params_start` is the address itself (display name and URI), `uri_start` to `uri_end` the URI alone,
    `params_start` to `end` the parameters with their semicolon.
    """

    __slots__ = ("_data", "_params", "_tag", "bracketed", "end", "params_start", "start", "uri", "uri_end", "uri_start")

    def __init__(
        self, data: bytes, start: int, end: int, uri: tuple[int, int], params_start: int, *, bracketed: bool
    ) -> None:
        self._data = data
        self._params: dict[str, bytes | None] | None = None
        self._tag: bytes | None = None  # where it was seen already
        self.start = start
        self.end = end
        self.uri_start, self.uri_end = uri
        self.uri = data[self.uri_start : self.uri_end]
        self.params_start = params_start
        self.bracketed = bracketed

    @property
    def params(self) -> dict[str, bytes | None]:
        """The header's parameters, by lower-case name."""
        if self._params is None:
            self._params = parse_params(self._data[self.params_start : self.end])
        return self._params

    @property
    def tag(self) -> bytes | None:
        """The tag parameter; an empty one is none, so that nothing passes for a dialog by it."""
        if self._tag is None and self.params_start < self.end:
            found = _TAG.fullmatch(self._data, self.params_start, self.end)
            self._tag = found.group(1) if found is not None else self.params.get("tag") or None
        return self._tag

    @property
    def text(self) -> bytes:
        """The whole value, as it stands."""
        return self._data[self.start : self.end]

    @property
    def address(self) -> bytes:
        """The address itself, display name and all, without parameters."""
        return self._data[self.start : self.params_start]

    @property
    def display(self) -> bytes:
        """What stands before the address, as it stands, quotes included; b"" where nothing does."""
        return self._data[self.start : self.uri_start - 1].strip(WHITE) if self.bracketed else b""


def parse_name_addr(data: bytes, start: int, end: int, name: str) -> NameAddr:
    """The value at these offsets (white space around it already left out). Raises BadHeader."""
    i = start
    if data[i : i + 1] == b'"':
        close = closing_quote(data, i, end)
        if close < 0:
            raise BadHeader(name, "a quote is not closed")
        i = close + 1
        while i < end and data[i] in WHITE:
            i += 1
        if data[i : i + 1] != b"<":
            raise BadHeader(name, "no <address> after the display name")
    less = data.find(b"<", i, end)
    if less >= 0:
        # Who honours a quote that stands there reads another address than who does not.
        if find_outside(data, b",;", i, less) < less or data.find(b'"', i, less) >= 0:
            raise BadHeader(name, "the display name needs quotes")
        uri_start = less + 1
        uri_end = data.find(b">", less, end)
        if uri_end < 0:
            raise BadHeader(name, "a bracket is not closed")
        params_start = uri_end + 1
    else:
        uri_start = i
        semicolon = data.find(b";", i, end)
        uri_end = params_start = semicolon if semicolon >= 0 else end
        while uri_end > i and data[uri_end - 1] in WHITE:
            uri_end -= 1
    found = NameAddr(data, start, end, (uri_start, uri_end), params_start, bracketed=less >= 0)
    uri = found.uri
    if not uri or SPACE in uri or CR in uri or TAB in uri:
        raise BadHeader(name, "no URI" if not uri else "white space in the URI")
    return found


def usual_name_addr(data: bytes, start: int) -> NameAddr | None:
    """What stands from `start` to the end, in its usual form: an address in brackets, and at most a tag behind it.
    None for any other."""
    found = _USUAL_ADDR.fullmatch(data, start)
    if found is None:
        return None
    begin, params_start = found.span(1)
    addr = NameAddr(data, begin, len(data), found.span(2), params_start, bracketed=True)
    addr._tag = found.group(3)
    return addr
