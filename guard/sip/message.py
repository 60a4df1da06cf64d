"""A SIP message as its original bytes plus an index of header lines (RFC 3261 section 7).

Nothing is parsed until it is read, and then once. A header that cannot be read fails that read (`BadHeader`), not the
message. What goes out again is the original with a few slices replaced (`edit.Edit`).
"""

from __future__ import annotations

import re
from typing import Final

from guard.sip.grammar import FOLD, TOKEN, WHITE, split_values, trim, unfold
from guard.sip.headers import BadHeader, NameAddr, Via, parse_via

MAX_LINES: Final = 512  # header lines of one message: the longest route and Via paths seen have about 60
MAX_NAMES: Final = 2048  # spellings of header names remembered
MAX_NAME: Final = 64  # bytes of a spelling worth remembering: a flood of long ones must not fill the memory

MAX_DIGITS: Final = 10  # of a number: what 32 bits can say

COMPACT: Final = {
    b"i": b"call-id", b"m": b"contact", b"e": b"content-encoding", b"l": b"content-length", b"c": b"content-type",
    b"f": b"from", b"s": b"subject", b"k": b"supported", b"t": b"to", b"v": b"via", b"r": b"refer-to",
    b"b": b"referred-by", b"o": b"event", b"u": b"allow-events", b"x": b"session-expires", b"a": b"accept-contact",
    b"j": b"reject-contact", b"d": b"request-disposition", b"y": b"identity", b"n": b"identity-info",
}  # fmt: skip
_CSEQ: Final = re.compile(rb"(\d+)[ \t\r\n]+([^ \t\r\n]+)")
_USUAL_CSEQ: Final = re.compile(rb" (\d{1,9}) ([A-Z]+)\r\n")
_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_BLANK: Final = frozenset({b" ", b"\t"})
_REQUEST: Final = re.compile(rb"([A-Z]+) ([^ ]+) SIP/2\.0")
_STATUS: Final = re.compile(rb"SIP/2\.0 ([1-6]\d\d) ([^\r\n]*)")
_NO_LINE: Final = (b"", 0, 0, 0)
_names: dict[bytes, bytes] = {}

Line = tuple[bytes, int, int, int]
Index = tuple[list[Line], dict[bytes, int], set[bytes]]


class BadMessage(ValueError):
    """Bytes that are no message one could pass on. `status` is what a request gets; `fatal`: it cannot be answered.

    `message` is what could be indexed of it, for the answer; `headers` are lines that belong into the answer.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        *,
        fatal: bool = False,
        message: Message | None = None,
        headers: tuple[bytes, ...] = (),
    ) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason
        self.fatal = fatal
        self.message = message
        self.headers = headers


class Message:
    """One message. `lines` holds (canonical name, start, start of value, end past the line's CRLF) of each header,
    `index` where in `lines` each name stands first, and `repeated` the names that stand there more than once.

    Requests have `method`, `uri` and `version`; responses `status` and `reason`, and an empty `method`. `whole` tells
    that all of it is in order; what `BadMessage.message` holds is not, and its body need not be as long as it says.
    """

    __slots__ = (
        "_cseq", "_from", "_routes", "_to", "_via", "body_at", "data", "index", "is_request", "lines", "method",
        "reason", "repeated", "start_end", "status", "uri", "version", "whole",
    )  # fmt: skip

    def __init__(self, data: bytes, found: Index, start_end: int, body_at: int) -> None:
        self.data = data
        self.lines, self.index, self.repeated = found
        self.start_end = start_end
        self.body_at = body_at
        self.is_request = True
        self.whole = False
        self.method = self.uri = self.reason = b""
        self.version = b"SIP/2.0"
        self.status = 0
        self._via: Via | None = None
        self._cseq: tuple[int, bytes] | None = None
        self._from: NameAddr | None = None
        self._to: NameAddr | None = None
        self._routes: list[NameAddr] | None = None

    # ---- raw values ------------------------------------------------------------------------------------------------

    def first(self, name: bytes) -> bytes | None:
        """The value of the first line of that (lower-case, long) name, unfolded; None where there is none."""
        at = self.index.get(name)
        if at is None:
            return None
        line = self.lines[at]
        value = self.data[line[2] : line[3]].strip(WHITE)
        return FOLD.sub(b" ", value) if b"\r\n" in value else value

    def all(self, name: bytes) -> list[bytes]:
        """The value of every line of that name, unfolded."""
        if name not in self.repeated:
            value = self.first(name)
            return [] if value is None else [value]
        return [unfold(self.data[line[2] : line[3]]) for line in self.lines if line[0] == name]

    def count(self, name: bytes) -> int:
        """How many lines have that name."""
        if name not in self.repeated:
            return 1 if name in self.index else 0
        return sum(line[0] == name for line in self.lines)

    # ---- parsed when read, once ------------------------------------------------------------------------------------

    def via(self) -> Via:
        """The top Via value."""
        if self._via is None:
            at = self.index.get(b"via")
            if at is None:
                raise BadHeader("Via", "missing")
            _, _, start, end = self.lines[at]
            via = Via.usual(self.data, start, end)
            if via is None:
                spans = split_values(self.data, start, end)
                via = parse_via(self.data, *spans[0])
                others = [first for first, past in spans[1:] if first < past]  # a stray comma is no value
                if others:
                    via.more, via.next = True, others[0]
            via.line = at
            self._via = via
        return self._via

    def vias(self) -> list[Via]:
        """All Via values, from the top."""
        out: list[Via] = []
        for name, _, start, end in self.lines:
            if name == b"via":
                out += [parse_via(self.data, s, e) for s, e in split_values(self.data, start, end)]
        return out

    def cseq(self) -> tuple[int, bytes]:
        """Number and method of CSeq; a number of more than 32 bits cannot be read (RFC 3261 8.1.1.5)."""
        if self._cseq is None:
            at = self.index.get(b"cseq")
            line = self.lines[at] if at is not None else _NO_LINE
            # The usual form first, where it stands.
            found = _USUAL_CSEQ.fullmatch(self.data, line[2], line[3]) or _CSEQ.fullmatch(self.first(b"cseq") or b"")
            if found is None or len(found.group(1)) > 20 or int(found.group(1)) > 0xFFFFFFFF:
                raise BadHeader("CSeq", "not a 32-bit number and a method")
            self._cseq = int(found.group(1)), found.group(2)
        return self._cseq

    def call_id(self) -> bytes:
        """Call-ID."""
        value = self.first(b"call-id")
        if not value:
            raise BadHeader("Call-ID", "missing")
        return value

    def from_(self) -> NameAddr:
        """From."""
        if self._from is None:
            self._from = self._one(b"from", "From")
        return self._from

    def to(self) -> NameAddr:
        """To."""
        if self._to is None:
            self._to = self._one(b"to", "To")
        return self._to

    def _one(self, name: bytes, shown: str) -> NameAddr:
        at = self.index.get(name)
        if at is None:
            raise BadHeader(shown, "missing")
        _, _, start, end = self.lines[at]
        return NameAddr.usual(self.data, start, end) or NameAddr(self.data, *trim(self.data, start, end), shown)

    def routes(self, name: bytes = b"route") -> list[NameAddr]:
        """All name-addr values of all lines of that name. The list is for reading only."""
        if name not in self.index:
            return []
        if name != b"route":
            return self._values(name)
        if self._routes is None:
            self._routes = self._values(name)
        return self._routes

    def _values(self, name: bytes) -> list[NameAddr]:
        out: list[NameAddr] = []
        data, shown = self.data, name.decode()
        for canonical, _, start, end in self.lines if name in self.repeated else (self.lines[self.index[name]],):
            if canonical != name:
                continue
            usual = NameAddr.usual(data, start, end)
            if usual is not None:
                out.append(usual)
            else:
                out += [NameAddr(data, s, e, shown) for s, e in split_values(data, start, end)]
        return out

    def max_forwards(self) -> int | None:
        """Max-Forwards; None where there is none."""
        return self._number(b"max-forwards", "Max-Forwards")

    def content_length(self) -> int | None:
        """Content-Length; None where there is none. Lines that disagree cannot be read."""
        if b"content-length" in self.repeated and len(set(self.all(b"content-length"))) > 1:
            raise BadHeader("Content-Length", "two that disagree")
        return self._number(b"content-length", "Content-Length")

    def _number(self, name: bytes, shown: str) -> int | None:
        value = self.first(name)
        if value is None:
            return None
        if not value.isdigit() or len(value) > MAX_DIGITS:
            raise BadHeader(shown, "not a number")
        return int(value)

    def body(self) -> bytes:
        """The body; `parse` made sure that it has the length that it says."""
        return self.data[self.body_at :]


def _canonical(raw: bytes) -> bytes | None:
    """The canonical form of a header name as it was written; None where it is no token."""
    name = raw.rstrip(b" \t").lower()
    if not TOKEN.fullmatch(name):
        return None
    name = COMPACT.get(name, name)
    if len(raw) <= MAX_NAME:
        if len(_names) >= MAX_NAMES:
            _names.clear()  # only a flood of invented names gets here
        _names[raw] = name
    return name


def parse(data: bytes, *, stream: bool = False, most: int = MAX_LINES) -> Message:
    """Index one message: a datagram, or a message that a stream's framer cut out, of at most `most` header lines.

    A datagram loses what follows its Content-Length, and is refused when it is shorter; what came over a stream has to
    say its length, and have it (RFC 3261 18.3). Lines may all end in a bare LF; a mixture is refused, since others
    would see other lines in it. Raises BadMessage.
    """
    if data[:1] in {b"\r", b"\n"}:
        data = data.lstrip(b"\r\n")  # RFC 3261 7.5
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        data, head_end = _without_empty_line(data)
    start_end = data.find(b"\r\n") + 2
    raws = data[start_end:head_end].split(b"\r\n") if start_end < head_end else []
    breaks = len(raws)  # one stands before each header line
    bare = data.count(b"\n", 0, head_end) != breaks or data.count(b"\r", 0, head_end) != breaks
    if bare:
        data = _BARE.sub(b" ", data[: head_end + 4]) + data[head_end + 4 :]  # an answer must not echo them
        raws = data[start_end:head_end].split(b"\r\n")
    found, bad = _index(raws, start_end)
    lines = found[0]
    m = Message(data, found, start_end, head_end + 4)
    _start_line(m, data[: start_end - 2])
    if len(lines) > most:
        raise BadMessage(400, "too many header lines", fatal=not m.is_request, message=m)
    if bare:
        raise BadMessage(400, "a bare CR or LF in a header", fatal=not m.is_request, message=m)
    if bad:
        raise BadMessage(400, bad, fatal=not m.is_request, message=m)
    _fit_body(m, stream=stream)
    m.whole = True
    return m


def _index(raws: list[bytes], start: int) -> tuple[Index, str]:
    """The header lines from offset `start` (see `Message`), and what is wrong with them ("": nothing)."""
    lines: list[Line] = []
    index: dict[bytes, int] = {}
    repeated: set[bytes] = set()
    bad = ""
    at = start
    known, append = _names.get, lines.append
    for raw in raws:
        past = at + len(raw) + 2
        spelled, colon, _ = raw.partition(b":")
        canonical = known(spelled) if colon else None
        if canonical is None:
            if raw[:1] in _BLANK:  # of the line before
                if lines and lines[-1][3] == at:
                    name, first, value, _ = lines[-1]
                    lines[-1] = (name, first, value, past)
                else:
                    bad = bad or "the first header line is folded"
            else:
                canonical = _canonical(spelled) if colon else None
                if canonical is None:
                    bad = bad or "a header line without a name"
        if canonical is not None:
            if canonical in index:
                repeated.add(canonical)
            else:
                index[canonical] = len(lines)
            append((canonical, at, at + len(spelled) + 1, past))
        at = past
    return (lines, index, repeated), bad


def _without_empty_line(data: bytes) -> tuple[bytes, int]:
    """A message whose lines end in LF, or that ends with its last header line: made whole. Raises BadMessage."""
    if b"\r\n" not in data:
        head, _, body = data.partition(b"\n\n")
        data = head.rstrip(b"\n").replace(b"\n", b"\r\n") + b"\r\n\r\n" + body
    elif data.endswith(b"\r\n"):
        data += b"\r\n"
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0 or b" " not in data[:head_end]:
        raise BadMessage(400, "not a SIP message", fatal=True)
    return data, head_end


def _start_line(m: Message, line: bytes) -> None:
    """RFC 3261 7.1, 7.2; exactly one space between the parts."""
    found = _REQUEST.fullmatch(line)
    if found is not None:
        m.method, m.uri = found.group(1, 2)
        return
    found = _STATUS.fullmatch(line)
    if found is not None:
        m.is_request = False
        m.status, m.reason = int(found.group(1)), found.group(2)
        return
    if line[:4].upper() == b"SIP/":
        m.is_request = False
        version, _, rest = line.partition(b" ")
        code, _, reason = rest.partition(b" ")
        if version.upper() != b"SIP/2.0" or len(code) != 3 or not code.isdigit() or not 100 <= int(code) <= 699:
            raise BadMessage(400, "not a status line", fatal=True)
        m.status, m.reason, m.version = int(code), reason, version
        return
    parts = line.split(b" ")
    if len(parts) >= 3:
        m.method, m.uri, m.version = parts[0], b" ".join(parts[1:-1]), parts[-1]
    if len(parts) != 3 or not TOKEN.fullmatch(m.method) or not m.uri or m.version[:4].upper() != b"SIP/":
        looks = len(parts) >= 3 and TOKEN.fullmatch(m.method) is not None and b"SIP/" in line.upper()
        raise BadMessage(400, "not a request line", fatal=not looks, message=m if looks else None)


def _fit_body(m: Message, *, stream: bool) -> None:
    """Make the body of a datagram as long as it says. That of a stream is: else others would cut it elsewhere."""
    if b"content-length" not in m.index:
        if stream:
            raise BadMessage(400, "no Content-Length", fatal=not m.is_request, message=m)
        return
    line = m.lines[m.index[b"content-length"]]
    digits = m.data[line[2] : line[3]].strip(WHITE)
    if digits.isdigit() and len(digits) <= MAX_DIGITS and b"content-length" not in m.repeated:
        length = int(digits)
    else:
        try:
            length = m.content_length() or 0  # two that agree, or what cannot be read
        except BadHeader as error:
            raise BadMessage(400, error.reason, fatal=not m.is_request, message=m) from error
    there = len(m.data) - m.body_at
    if length > there:
        # Of a stream, only the head is handed on where the framer would not wait for such a body.
        status, why = (413, "body too long") if stream else (400, "body shorter than Content-Length")
        raise BadMessage(status, why, fatal=not m.is_request, message=m)
    if length < there:
        if stream:
            raise BadMessage(400, "body longer than Content-Length", fatal=not m.is_request, message=m)
        m.data = m.data[: m.body_at + length]
