"""A SIP message as its original bytes plus an index of header lines (RFC 3261 section 7).

Nothing is parsed until it is read, and then once. A header that cannot be read fails that read (`BadHeader`), not the
message. What goes out again is the original with a few slices replaced (`edit.Edit`).
"""

from __future__ import annotations

import re
from typing import Final

from mypy_extensions import mypyc_attr

from guard.sip.fields import KNOWN, Field, field_of
from guard.sip.grammar import CR, LF, TOKEN
from guard.sip.headers import BadHeader, NameAddr, Via

MAX_LINES: Final = 512  # header lines of one message: the longest route and Via paths seen have about 60

_BARE: Final = re.compile(rb"\r(?!\n)|(?<!\r)\n")
_BLANK: Final = frozenset({b" ", b"\t"})
_REQUEST: Final = re.compile(rb"([A-Z]+) ([^ ]+) SIP/2\.0")
_STATUS: Final = re.compile(rb"SIP/2\.0 ([1-6]\d\d) ([^\r\n]*)")
MAX_STATUS: Final = 64  # bytes of a status line worth remembering
MAX_STATUSES: Final = 256  # of them: invented ones only push each other out
_statuses: Final[dict[bytes, tuple[int, bytes]]] = {}
# What nearly all requests begin with and end in; any other start line is read by the grammar, and means the same.
_METHODS: Final[dict[bytes, bytes]] = {
    method: method
    for method in (
        b"INVITE", b"ACK", b"BYE", b"CANCEL", b"OPTIONS", b"REGISTER", b"PRACK", b"UPDATE", b"INFO", b"SUBSCRIBE",
        b"NOTIFY", b"REFER", b"MESSAGE", b"PUBLISH",
    )
}  # fmt: skip
_SIP: Final = b"SIP/2.0"
_WORDS: Final = 3

Line = tuple[bytes, int, int, int]
Index = tuple[list[Field], dict[bytes, int], frozenset[bytes]]
_NONE: Final[frozenset[bytes]] = frozenset()
_NOTHING: Final[Index] = ([], {}, _NONE)
_KEY: Final = (1 << 50) - 1  # of a machine word, whatever is shifted in
MAX_SHAPES: Final = 1024  # orders of names that are remembered: some for each kind of message of a peer
MAX_SHAPE: Final = 64  # names of one worth remembering: who writes more makes them up


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


@mypyc_attr(acyclic=True)
class Message:
    """One message: its bytes, and its header `fields` in order (what has no name is there under b""), `index` where
    each name stands first among them, and `repeated` the names that stand there more than once.

    Requests have `method`, `uri` and `version`; responses `status` and `reason`, and an empty `method`. `whole` tells
    that all of it is in order; what `BadMessage.message` holds is not, and its body need not be as long as it says.
    """

    __slots__ = (
        "_lines", "body_at", "data", "fields", "index", "is_request", "method", "reason", "repeated",
        "start_end", "status", "uri", "version", "whole",
    )  # fmt: skip

    def __init__(self, data: bytes, found: Index, start_end: int, body_at: int) -> None:
        self.data = data
        self.fields, self.index, self.repeated = found
        self.start_end = start_end
        self.body_at = body_at
        self.is_request = True
        self.whole = False
        self.method = self.uri = self.reason = b""
        self.version = _SIP
        self.status = 0
        self._lines: list[Line] | None = None

    @property
    def lines(self) -> list[Line]:
        """(Canonical name, start, start of value, end past the CRLF) of each field that has a name, as offsets into
        `data`."""
        if self._lines is None:
            at, self._lines = self.start_end, []
            for field in self.fields:
                if field.name:
                    self._lines.append((field.name, at, at + field.at, at + field.size))
                at += field.size
        return self._lines

    def start_of(self, place: int) -> int:
        """Where the field at that place begins in `data`."""
        at, fields = self.start_end, self.fields
        for i in range(place):
            at += fields[i].size
        return at

    # ---- raw values ------------------------------------------------------------------------------------------------

    def first(self, name: bytes) -> bytes | None:
        """The value of the first field of that (lower-case, long) name, unfolded; None where there is none."""
        at = self.index.get(name)
        return None if at is None else self.fields[at].value

    def all(self, name: bytes) -> list[bytes]:
        """The value of every field of that name, unfolded."""
        if name in self.repeated:
            return [field.value for field in self.fields if field.name == name]
        at = self.index.get(name)
        return [] if at is None else [self.fields[at].value]

    def count(self, name: bytes) -> int:
        """How many fields have that name."""
        if name not in self.repeated:
            return 1 if name in self.index else 0
        return sum(field.name == name for field in self.fields)

    # ---- parsed when read, once ------------------------------------------------------------------------------------

    def _field(self, name: bytes, shown: str) -> Field:
        at = self.index.get(name)
        if at is None:
            raise BadHeader(shown, "missing")
        return self.fields[at]

    def via(self) -> Via:
        """The top Via value; its offsets, as of all that is parsed, are into its field's own bytes."""
        return self._field(b"via", "Via").via()

    def vias(self) -> list[Via]:
        """All Via values, from the top."""
        return [via for field in self.fields if field.name == b"via" for via in field.vias()]

    def cseq(self) -> tuple[int, bytes]:
        """Number and method of CSeq; a number of more than 32 bits cannot be read (RFC 3261 8.1.1.5)."""
        return self._field(b"cseq", "CSeq").cseq()

    def call_id(self) -> bytes:
        """Call-ID."""
        value = self.first(b"call-id")
        if not value:
            raise BadHeader("Call-ID", "missing")
        return value

    def from_(self) -> NameAddr:
        """From."""
        return self._field(b"from", "From").party("From")

    def to(self) -> NameAddr:
        """To."""
        return self._field(b"to", "To").party("To")

    def routes(self, name: bytes = b"route") -> list[NameAddr]:
        """All name-addr values of all fields of that name."""
        at = self.index.get(name)
        if at is None:
            return []
        if name not in self.repeated:
            return list(self.fields[at].addrs(name.decode()))
        return [addr for field in self.fields if field.name == name for addr in field.addrs(name.decode())]

    def max_forwards(self) -> int | None:
        """Max-Forwards; None where there is none."""
        return self._number(b"max-forwards", "Max-Forwards")

    def content_length(self) -> int | None:
        """Content-Length; None where there is none. Lines that disagree cannot be read."""
        if b"content-length" in self.repeated and len(set(self.all(b"content-length"))) > 1:
            raise BadHeader("Content-Length", "two that disagree")
        return self._number(b"content-length", "Content-Length")

    def _number(self, name: bytes, shown: str) -> int | None:
        at = self.index.get(name)
        if at is None:
            return None
        number = self.fields[at].number()
        if number < 0:
            raise BadHeader(shown, "not a number")
        return number

    def body(self) -> bytes:
        """The body; `parse` made sure that it has the length that it says."""
        return self.data[self.body_at :]


@mypyc_attr(acyclic=True)
class _Shape:
    """The names of the fields of a message, in order: where each stands first, and which stand there more than once.
    Messages of one kind and peer have the same, and share it."""

    __slots__ = ("index", "names", "repeated")

    def __init__(self, fields: list[Field]) -> None:
        self.names = [field.name for field in fields]
        self.index: dict[bytes, int] = {}
        again: list[bytes] = []
        for place, name in enumerate(self.names):
            if name and self.index.setdefault(name, place) != place:
                again.append(name)
        self.repeated = frozenset(again) if again else _NONE

    def fits(self, fields: list[Field]) -> bool:
        """Whether these have the same names."""
        names = self.names
        if len(names) != len(fields):
            return False
        return all(names[i] == fields[i].name for i in range(len(names)))


_shapes: Final[dict[int, _Shape]] = {}


def _shape(fields: list[Field], key: int) -> _Shape:
    """The shape of these fields, of which `key` is made."""
    found = _shapes.get(key)
    if found is not None and found.fits(fields):
        return found
    found = _Shape(fields)
    if len(fields) <= MAX_SHAPE:
        if len(_shapes) >= MAX_SHAPES:
            _shapes.clear()
        _shapes[key] = found
    return found


def parse(data: bytes, *, stream: bool = False, most: int = MAX_LINES) -> Message:
    """Index one message: a datagram, or a message that a stream's framer cut out, of at most `most` header lines.

    A datagram loses what follows its Content-Length, and is refused when it is shorter; what came over a stream has to
    say its length, and have it (RFC 3261 18.3). Lines may all end in a bare LF; a mixture is refused, since others
    would see other lines in it. Raises BadMessage.
    """
    if data and (data[0] == CR or data[0] == LF):
        data = data.lstrip(b"\r\n")  # RFC 3261 7.5
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        data, head_end = _without_empty_line(data)
    raws = data[:head_end].split(b"\r\n")
    start = raws.pop(0)
    found, bad, bare = _index(raws)
    if bare or LF in start or CR in start:
        bare = True
        data = _BARE.sub(b" ", data[: head_end + 4]) + data[head_end + 4 :]  # an answer must not echo them
        raws = data[:head_end].split(b"\r\n")
        start = raws.pop(0)
        found, bad, _ = _index(raws)
    m = Message(data, found, len(start) + 2, head_end + 4)
    _start_line(m, start)
    if len(m.fields) > most:
        raise BadMessage(400, "too many header lines", fatal=not m.is_request, message=m)
    if bare:
        raise BadMessage(400, "a bare CR or LF in a header", fatal=not m.is_request, message=m)
    if bad:
        raise BadMessage(400, bad, fatal=not m.is_request, message=m)
    _fit_body(m, stream=stream)
    m.whole = True
    return m


def _index(raws: list[bytes], *, joined: bool = False) -> tuple[Index, str, bool]:
    """The fields of these lines (see `Message`), what is wrong with them ("": nothing), and whether a bare CR or LF is
    in one: then only that is to be believed. Lines that are known were looked at before."""
    fields: list[Field] = []
    key = 0
    bad = ""
    for raw in raws:
        field = KNOWN.get(raw)
        if field is None:
            if not joined and (LF in raw or CR in raw):
                return _NOTHING, bad, True
            field = field_of(raw)
        if field is None:
            if raw[:1] in _BLANK and fields:
                bare = any(LF in r or CR in r for r in raws)
                return _index(_joined(raws), joined=True) if not bare else (_NOTHING, bad, True)
            bad = bad or ("the first header line is folded" if raw[:1] in _BLANK else "a header line without a name")
            field = Field(raw, b"", 0)
        key = (key << 7 ^ key >> 43 ^ field.code) & _KEY  # turned round, so that no name is forgotten
        fields.append(field)
    shape = _shape(fields, key)
    return (fields, shape.index, shape.repeated), bad, False


def _joined(raws: list[bytes]) -> list[bytes]:
    """These lines, each with those that are folded below it (RFC 3261 7.3.1), in one go: one by one would take the
    square of their number."""
    starts = [i for i, raw in enumerate(raws) if i == 0 or raw[:1] not in _BLANK]
    return [b"\r\n".join(raws[i:j]) for i, j in zip(starts, [*starts[1:], len(raws)], strict=True)]


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
    seen = _statuses.get(line)
    if seen is not None:
        m.is_request = False
        m.status, m.reason = seen
        return
    words = line.split(b" ")
    if len(words) == _WORDS and words[2] == _SIP and words[1]:
        method = _METHODS.get(words[0])
        if method is not None:
            m.method, m.uri = method, words[1]
            return
    found = _REQUEST.fullmatch(line)
    if found is not None:
        m.method, m.uri = found.group(1, 2)
        return
    found = _STATUS.fullmatch(line)
    if found is not None:
        m.is_request = False
        m.status, m.reason = int(found.group(1)), found.group(2)
        if len(line) <= MAX_STATUS:
            if len(_statuses) >= MAX_STATUSES:
                _statuses.clear()
            _statuses[line] = m.status, m.reason
        return
    if line[:4].upper() == b"SIP/":
        m.is_request = False
        version, _, rest = line.partition(b" ")
        code, _, reason = rest.partition(b" ")
        if version.upper() != b"SIP/2.0" or len(code) != 3 or not code.isdigit() or not 100 <= int(code) <= 699:
            raise BadMessage(400, "not a status line", fatal=True)
        m.status, m.reason, m.version = int(code), reason, version
        return
    if len(words) >= _WORDS:
        m.method, m.uri, m.version = words[0], b" ".join(words[1:-1]), words[-1]
    if len(words) != _WORDS or not TOKEN.fullmatch(m.method) or not m.uri or m.version[:4].upper() != b"SIP/":
        looks = len(words) >= _WORDS and TOKEN.fullmatch(m.method) is not None and b"SIP/" in line.upper()
        raise BadMessage(400, "not a request line", fatal=not looks, message=m if looks else None)


def _fit_body(m: Message, *, stream: bool) -> None:
    """Make the body of a datagram as long as it says. That of a stream is: else others would cut it elsewhere."""
    if b"content-length" not in m.index:
        if stream:
            raise BadMessage(400, "no Content-Length", fatal=not m.is_request, message=m)
        return
    length = m.fields[m.index[b"content-length"]].number()
    if length < 0 or b"content-length" in m.repeated:
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
