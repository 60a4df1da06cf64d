"""SIP as the simulated peers speak it: a small parser and builder of their own.

It shares nothing with `guard.sip` on purpose: a peer that understood messages through the guard's own eyes could not
see what the guard does wrong. It reads well-formed messages only, which is what the guard has to send.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

Headers = list[tuple[str, str]]

COMPACT = {
    "v": "via",
    "f": "from",
    "t": "to",
    "i": "call-id",
    "m": "contact",
    "l": "content-length",
    "c": "content-type",
}
PHRASES = {
    100: "Trying",
    180: "Ringing",
    183: "Session Progress",
    200: "OK",
    302: "Moved Temporarily",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    407: "Proxy Authentication Required",
    480: "Temporarily Unavailable",
    481: "Call/Transaction Does Not Exist",
    486: "Busy Here",
    487: "Request Terminated",
    501: "Not Implemented",
    503: "Service Unavailable",
}


class WireError(ValueError):
    """Bytes that are no SIP message."""


class Sip:
    """One received message: its bytes, and its headers in their order with lower-case names."""

    def __init__(self, data: bytes) -> None:
        head, sep, body = data.partition(b"\r\n\r\n")
        if not sep:
            raise WireError("no empty line after the headers")
        lines = head.decode("utf-8", "surrogateescape").replace("\r\n ", " ").replace("\r\n\t", " ").split("\r\n")
        self.data = data
        self.body = body
        self.start = lines[0]
        self.headers: Headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise WireError(f"a header without a colon: {line!r}")
            name = name.strip().lower()
            self.headers.append((COMPACT.get(name, name), value.strip()))
        words = self.start.split(" ", 2)
        if len(words) < 3:
            raise WireError(f"a start line of too few words: {self.start!r}")
        self.is_request = words[2] == "SIP/2.0"
        self.uri = words[1] if self.is_request else ""
        self.status = 0 if self.is_request else int(words[1])
        self.phrase = "" if self.is_request else words[2]
        number, _, method = self.get("cseq").partition(" ")
        self.cseq = int(number)
        self.method = words[0] if self.is_request else method.strip()

    def get(self, name: str) -> str:
        """The first header of that name, "" when there is none."""
        return next((v for n, v in self.headers if n == name), "")

    def all(self, name: str) -> list[str]:
        """Every header of that name."""
        return [v for n, v in self.headers if n == name]

    @property
    def call_id(self) -> str:
        return self.get("call-id")

    @property
    def branch(self) -> str:
        """The branch of the top Via."""
        return param(self.get("via").split(",", 1)[0], "branch")

    @property
    def from_tag(self) -> str:
        return tag(self.get("from"))

    @property
    def to_tag(self) -> str:
        return tag(self.get("to"))

    @property
    def called(self) -> str:
        """The user part of the Request-URI."""
        return user(self.uri)


def param(value: str, name: str) -> str:
    """A parameter of a header value, "" when it is not there."""
    for part in value.split(";")[1:]:
        key, _, found = part.partition("=")
        if key.strip().lower() == name:
            return found.strip().strip('"')
    return ""


def tag(address: str) -> str:
    """The tag of a From or To value."""
    return param(address.rpartition(">")[2] if ">" in address else address, "tag")


def uri_of(address: str) -> str:
    """The URI of a name-addr."""
    if "<" in address:
        return address.partition("<")[2].partition(">")[0]
    return address.partition(";")[0].strip()


def user(uri: str) -> str:
    """The user part of a SIP URI, or the number of a tel URI."""
    rest = uri.partition(":")[2]
    if uri.lower().startswith("tel:"):
        return rest.partition(";")[0]
    return rest.rpartition("@")[0]


def host_port(uri: str) -> tuple[str, int, str]:
    """The numeric host, port and transport that a SIP URI names."""
    rest = uri.partition(":")[2].partition("?")[0]
    address, _, params = rest.rpartition("@")[2].partition(";")
    host, _, port = address.partition(":")
    transport = param(";" + params, "transport").lower() or "udp"
    return host, int(port or 5060), transport


def build(start: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> bytes:
    """A message; Content-Length is added."""
    lines = [start, *(f"{name}: {value}" for name, value in headers), f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def respond(request: Sip, status: int, *, to_tag: str = "", headers: Headers | None = None, body: bytes = b"") -> bytes:
    """A response to `request` (RFC 3261 8.2.6)."""
    to = request.get("to")
    if to_tag and not request.to_tag:
        to += f";tag={to_tag}"
    lines: Headers = [("Via", v) for v in request.all("via")]
    if status != 100:  # the route set is learnt from 101-299 answers (RFC 3261 12.1.1)
        lines += [("Record-Route", v) for v in request.all("record-route")]
    lines += [
        ("From", request.get("from")),
        ("To", to),
        ("Call-ID", request.call_id),
        ("CSeq", request.get("cseq")),
        *(headers or []),
    ]
    return build(f"SIP/2.0 {status} {PHRASES.get(status, 'Whatever')}", lines, body)


def digest(challenge: str, method: str, uri: str, username: str, password: str) -> str:
    """The credentials that answer a digest challenge without qop (RFC 2617 3.2.2)."""
    realm, nonce = _quoted(challenge, "realm"), _quoted(challenge, "nonce")
    response = _md5(f"{_md5(f'{username}:{realm}:{password}')}:{nonce}:{_md5(f'{method}:{uri}')}")
    return (
        f'Digest username="{username}",realm="{realm}",nonce="{nonce}",uri="{uri}",response="{response}",algorithm=MD5'
    )


def proves(credentials: str, method: str, password: str) -> bool:
    """Whether digest credentials were made with `password`."""
    username, uri = _quoted(credentials, "username"), _quoted(credentials, "uri")
    return credentials.replace(", ", ",") == digest(credentials, method, uri, username, password)


def _quoted(value: str, name: str) -> str:
    return value.partition(f'{name}="')[2].partition('"')[0]


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def split_stream(buffer: bytearray) -> list[bytes]:
    """Take whole messages off the front of a stream's buffer; keep-alive line ends are dropped."""
    out: list[bytes] = []
    while True:
        while buffer[:2] == b"\r\n":
            del buffer[:2]
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            return out
        length = 0
        for line in bytes(buffer[:end]).split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() in (b"content-length", b"l"):
                length = int(value)
        if len(buffer) < end + 4 + length:
            return out
        out.append(bytes(buffer[: end + 4 + length]))
        del buffer[: end + 4 + length]
