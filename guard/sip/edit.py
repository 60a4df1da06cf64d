"""New bytes from old: a message with a few slices replaced, and responses copied from their request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from mypy_extensions import mypyc_attr

from guard.sip.fields import Field
from guard.sip.headers import BadHeader, Via
from guard.sip.message import Message

_RPORT: Final = re.compile(rb";\s*rport\s*(?==|;|$)(?:=\s*[^;,\s]*)?", re.IGNORECASE)
_RECEIVED: Final = re.compile(rb";\s*received\s*=\s*[^;,\s]*", re.IGNORECASE)
_ORDER: Final = itemgetter(0, 1)  # what is put in at a place stands before what replaces something there

_ECHOED: Final = frozenset({b"via", b"from", b"to", b"call-id", b"cseq"})  # RFC 3261 8.2.6.2
_ECHOED_100: Final = _ECHOED | {b"timestamp"}  # RFC 3261 8.2.6.1

Slice = tuple[int, int, bytes]


def received_marks(m: Message, host: str, port: int) -> list[Slice]:
    """The edits of the top Via's field that write into it where the request really came from (RFC 3261 18.2.1, RFC 3581
    4). One that cannot be read goes as it came: there is nothing better to say, and only an emergency call comes so far
    with it."""
    try:
        via = m.via()
    except BadHeader:
        return []
    shown = host.encode()
    wanted = via.rport is not None
    if not wanted and via.received is None and via.host.strip("[]") == host:
        return []
    raw = m.fields[m.index[b"via"]].raw
    out: list[Slice] = []
    if via.rport_end:
        out.append((via.rport_start, via.rport_end, b";rport=%d" % port))
    elif wanted and (found := _RPORT.search(raw, via.start, via.end)) is not None:
        out.append((found.start(), found.end(), b";rport=%d" % port))
    if via.received is not None and (old := _RECEIVED.search(raw, via.start, via.end)) is not None:
        out.append((old.start(), old.end(), b";received=" + shown))
    else:
        out.append((via.end, via.end, b";received=" + shown))
    return out


@mypyc_attr(acyclic=True)
class Edit:
    """Edits of one message, rendered at once. Slices must not overlap."""

    __slots__ = ("_m", "_slices", "_top", "_uri")

    def __init__(self, m: Message) -> None:
        self._m = m
        self._slices: list[Slice] = []
        self._top = b""
        self._uri: bytes | None = None

    def insert_top(self, lines: bytes) -> None:
        """Header lines (with their CRLF) before all others; the one inserted last stands first."""
        self._top = lines + self._top

    def replace(self, start: int, end: int, data: bytes) -> None:
        """Other bytes for those from `start` to `end` of the original."""
        self._slices.append((start, end, data))

    def replace_in(self, name: bytes, start: int, end: int, data: bytes) -> None:
        """Other bytes in the first field of that name, which is there; offsets into the field."""
        at = self._m.start_of(self._m.index[name])
        self._slices.append((at + start, at + end, data))

    def remove_line(self, place: int) -> None:
        """Without one field."""
        at = self._m.start_of(place)
        self._slices.append((at, at + self._m.fields[place].size, b""))

    @property
    def uri(self) -> bytes:
        """The Request-URI as it will be."""
        return self._m.uri if self._uri is None else self._uri

    def replace_uri(self, uri: bytes) -> None:
        """Another Request-URI; the last one counts."""
        self._uri = uri

    def set_max_forwards(self, hops: int) -> None:
        """Another number in Max-Forwards."""
        m = self._m
        place = m.index.get(b"max-forwards")
        if place is not None:
            at, field = m.start_of(place), m.fields[place]
            self._slices.append((at + field.at, at + field.size, b" %d\r\n" % hops))

    def mark_received(self, host: str, port: int) -> None:
        """`received` and `rport` of the top Via."""
        marks = received_marks(self._m, host, port)
        if marks:
            at = self._m.start_of(self._m.index[b"via"])
            self._slices += [(at + start, at + end, data) for start, end, data in marks]

    def remove_top_via(self) -> None:
        """Without the top Via value."""
        via: Via = self._m.via()
        if via.more:
            self.replace_in(b"via", via.start, via.next, b"")
        else:
            self.remove_line(self._m.index[b"via"])

    def set_routes(self, values: Sequence[bytes]) -> None:
        """Other Route values, on one line where the first one stood; none: no Route at all."""
        line = b"Route: " + b", ".join(values) + b"\r\n" if values else b""
        for place, field in enumerate(self._m.fields):
            if field.name == b"route":
                at = self._m.start_of(place)
                self._slices.append((at, at + field.size, line))
                line = b""

    def render(self) -> bytes:
        """The bytes to send."""
        data = self._m.data
        slices = self._slices
        out: list[bytes] = []
        at = 0
        if self._uri is not None:  # what stands first is put in first
            start = len(self._m.method) + 1
            out.append(data[:start])
            out.append(self._uri)
            at = start + len(self._m.uri)
        if self._top:
            out.append(data[at : self._m.start_end])
            out.append(self._top)
            at = self._m.start_end
        if not _in_order(slices):
            slices.sort(key=_ORDER)
        for start, end, new in slices:
            out.append(data[at:start])
            out.append(new)
            at = end
        out.append(data[at:])
        return b"".join(out)


def _in_order(slices: list[Slice]) -> bool:
    """Whether they stand as they were asked for: nearly always, and that is told sooner than they are sorted."""
    last = 0
    for start, end, _ in slices:
        if start < last:
            return False
        last = end
    return True


def response(
    request: Message,
    status: int,
    reason: bytes,
    *,
    to_tag: bytes | None,
    headers: Sequence[bytes] = (),
    received: tuple[str, int] | None = None,
    body: bytes = b"",
) -> bytes:
    """A response of our own: Via, From, To, Call-ID and CSeq as in the request (RFC 3261 8.2.6), whichever are there.

    `received` is where the request came from, for the top Via; `to_tag` is added where To has none.
    """
    marks = received_marks(request, received[0], received[1]) if received is not None else []
    out = [b"SIP/2.0 %d " % status, reason, b"\r\n"]
    wanted = _ECHOED if status != 100 else _ECHOED_100
    for field in request.fields:
        name = field.name
        if name not in wanted:
            continue
        raw = field.raw
        if name == b"to" and to_tag is not None:
            raw = _tagged(request, field, to_tag)
        elif name == b"via" and marks:
            if not _in_order(marks):
                marks.sort(key=_ORDER)
            for start, end, new in reversed(marks):
                raw = raw[:start] + new + raw[end:]
            marks = []  # they are of the top one
        out.append(raw)
        out.append(b"\r\n")
    out += headers
    out.append(b"Content-Length: %d\r\n\r\n" % len(body))
    out.append(body)
    return b"".join(out)


def _tagged(request: Message, field: Field, tag: bytes) -> bytes:
    try:
        if request.to().tag is not None:
            return field.raw
    except BadHeader:
        pass  # it goes back as it came, with a tag behind it
    return field.raw.rstrip(b"\r\n \t") + b";tag=" + tag
