"""Header fields as they stand in a message, one object for all messages that have the same bytes there.

The messages of a call repeat each other: From, To and Call-ID are the same in all of them, a phone's Contact in all of
its calls. So a field is read once, and what was read of it is at hand in the next message. Offsets are into the field's
own bytes, and nobody changes a field.
"""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from guard.sip.grammar import FOLD, LF, SPACE, TOKEN, WHITE, split_values, trim
from guard.sip.headers import BadHeader, NameAddr, Via, parse_name_addr, parse_via, usual_name_addr, usual_via
from guard.sip.remember import Table

MAX_NAMES: Final = 2048  # spellings of header names remembered
MAX_NAME: Final = 64  # bytes of a spelling worth remembering: a flood of long ones must not fill the memory
MAX_FIELDS: Final = 8192  # fields remembered: a second of a busy guard has some hundreds that are new
MAX_VALUES: Final = 512  # commas of one field that is split: as many values as a message may have lines
LONGEST: Final = 300  # bytes of a field worth remembering: the long ones (credentials, Identity) come once

COMPACT: Final = {
    b"i": b"call-id", b"m": b"contact", b"e": b"content-encoding", b"l": b"content-length", b"c": b"content-type",
    b"f": b"from", b"s": b"subject", b"k": b"supported", b"t": b"to", b"v": b"via", b"r": b"refer-to",
    b"b": b"referred-by", b"o": b"event", b"u": b"allow-events", b"x": b"session-expires", b"a": b"accept-contact",
    b"j": b"reject-contact", b"d": b"request-disposition", b"y": b"identity", b"n": b"identity-info",
}  # fmt: skip
_CSEQ: Final = re.compile(rb"(\d+)[ \t\r\n]+([^ \t\r\n]+)")
_fields: Final[Table[bytes, Field]] = Table(MAX_FIELDS)  # by its bytes
KNOWN: Final[dict[bytes, Field]] = _fields.known
_names: Final[dict[bytes, bytes]] = {}
MAX_DIGITS: Final = 10  # of a number: what 32 bits can say
_UNREAD: Final = -2
_CODE: Final = (1 << 30) - 1


@mypyc_attr(acyclic=True)
class Field:
    """One field: its bytes without the last CRLF, its canonical name (lower case, compact forms expanded), its value
    unfolded and without white space around it, and where in the bytes that begins. `code` is the same for the same
    name, and seldom for another.

    What is parsed is parsed when it is read, and once; each raises BadHeader where it cannot be.
    """

    __slots__ = ("_addrs", "_cseq", "_number", "_party", "_via", "at", "code", "name", "raw", "size", "value")

    def __init__(self, raw: bytes, name: bytes, at: int) -> None:
        self.raw = raw
        self.name = name
        self.code = hash(name) & _CODE
        self.at = at
        size = len(raw)
        self.size = size + 2
        if at + 1 < size and raw[at] == SPACE and raw[at + 1] > SPACE and raw[size - 1] > SPACE:
            value = raw[at + 1 :]  # as nearly everybody writes it
        else:
            value = raw[at:].strip(WHITE)
        self.value = FOLD.sub(b" ", value) if LF in value else value
        self._number = _UNREAD
        self._via: Via | None = None
        self._party: NameAddr | None = None
        self._addrs: tuple[NameAddr, ...] | None = None
        self._cseq: tuple[int, bytes] | None = None

    def _spans(self, shown: str) -> list[tuple[int, int]]:
        """Where its values stand."""
        if self.raw.count(b",", self.at) > MAX_VALUES:
            raise BadHeader(shown, "too many values")
        return split_values(self.raw, self.at, len(self.raw))

    def via(self) -> Via:
        """The first Via value."""
        if self._via is None:
            raw = self.raw
            via = usual_via(raw, self.at)
            if via is None:
                spans = self._spans("Via")
                via = parse_via(raw, *spans[0])
                others = [first for first, past in spans[1:] if first < past]  # a stray comma is no value
                if others:
                    via.more, via.next = True, others[0]
            self._via = via
        return self._via

    def vias(self) -> list[Via]:
        """All Via values."""
        return [parse_via(self.raw, start, end) for start, end in self._spans("Via")]

    def party(self, shown: str) -> NameAddr:
        """The whole value as one name-addr: From, To."""
        if self._party is None:
            raw = self.raw
            self._party = usual_name_addr(raw, self.at) or parse_name_addr(raw, *trim(raw, self.at, len(raw)), shown)
        return self._party

    def addrs(self, shown: str) -> tuple[NameAddr, ...]:
        """All its name-addr values, split at commas outside quotes and brackets."""
        if self._addrs is None:
            raw = self.raw
            usual = usual_name_addr(raw, self.at)
            if usual is not None:
                self._addrs = (usual,)
            else:
                self._addrs = tuple(parse_name_addr(raw, s, e, shown) for s, e in self._spans(shown))
        return self._addrs

    def cseq(self) -> tuple[int, bytes]:
        """Number and method of CSeq; a number of more than 32 bits cannot be read (RFC 3261 8.1.1.5)."""
        if self._cseq is None:
            found = _CSEQ.fullmatch(self.value)
            if found is None or len(found.group(1)) > 20 or int(found.group(1)) > 0xFFFFFFFF:
                raise BadHeader("CSeq", "not a 32-bit number and a method")
            self._cseq = int(found.group(1)), found.group(2)
        return self._cseq

    def number(self) -> int:
        """The number that its value is, -1 where it is none, or has more than `MAX_DIGITS` digits."""
        if self._number == _UNREAD:
            value = self.value
            self._number = int(value) if value.isdigit() and len(value) <= MAX_DIGITS else -1
        return self._number


def field_of(raw: bytes) -> Field | None:
    """The field of these bytes; None where they have no name. `KNOWN` has those that were seen before."""
    found = KNOWN.get(raw)
    if found is not None:
        return found
    colon = raw.find(b":")
    spelled = raw[:colon] if colon > 0 else b""
    name = (_names.get(spelled) or _name(spelled)) if spelled else b""
    if not name:
        return None
    found = Field(raw, name, len(spelled) + 1)
    if len(raw) <= LONGEST:
        _fields.put(raw, found)
    return found


def _name(spelled: bytes) -> bytes:
    """The canonical form of a header name as it was written, b"" where it is no token."""
    name = spelled.rstrip(b" \t").lower()
    if not TOKEN.fullmatch(name):
        return b""
    name = COMPACT.get(name, name)
    if len(spelled) <= MAX_NAME:
        if len(_names) >= MAX_NAMES:
            _names.clear()  # only a flood of invented names gets here
        _names[spelled] = name
    return name
