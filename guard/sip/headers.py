"""Header values that a proxy reads: Via, and whatever has the form of a name-addr (RFC 3261 20.10, 20.42, 25.1).

Offsets are into the bytes of the message, so that a value can be edited where it stands.
"""

from __future__ import annotations

import re
from typing import Final

from guard.sip.grammar import WHITE, closing_quote, find_outside, parse_params, quote_text

__all__ = ["BadHeader", "NameAddr", "Via", "parse_name_addr", "parse_via", "quote_text"]

_TAG: Final = re.compile(rb";tag=([A-Za-z0-9\-.!%*_+`'~]+)")
_PLAIN_VIA: Final = re.compile(
    rb"SIP/(2\.0)/([A-Za-z]+) ([A-Za-z0-9.\-]+)(?::(\d{1,5}))?"
    rb"((?:;[A-Za-z0-9\-.!%*_+`'~]+(?:=[A-Za-z0-9\-.!%*_+`'~:]*)?)*)"
)
_BRANCH: Final = re.compile(rb";branch(?:=([^;]*))?(?=;|$)")
_VIA: Final = re.compile(
    rb"SIP\s*/\s*(\d\.\d)\s*/\s*([A-Za-z0-9\-.!%*_+`'~]+)\s+(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_\-.]+)\s*(?::\s*(\d{1,5}))?\s*(?=;|$)",
    re.IGNORECASE,
)


class BadHeader(ValueError):
    """One header that cannot be read. The read fails, not the message."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(f"{name}: {reason}")
        self.name = name
        self.reason = reason


class Via:
    """One Via value. `rport` is None where the parameter is absent, b"" where it is empty; `received` likewise.

    `start` and `end` are its offsets, `line` the index of its line; `more` tells that others follow on that line, and
    `next` where the first of them starts.
    """

    __slots__ = (
        "_data", "_params", "branch", "end", "host", "line", "more", "next", "params_start", "port", "received",
        "rport", "sent_by", "start", "transport", "version",
    )  # fmt: skip

    def __init__(self, data: bytes, start: int, end: int) -> None:
        self.start = start
        self.end = end
        self.line = 0
        self.more = False
        self.next = end
        self._params: dict[str, bytes | None] | None = None
        # The form that nearly every peer writes needs no splitting; whatever else the grammar allows does.
        found = _PLAIN_VIA.fullmatch(data, start, end)
        if found is not None:
            params = found.group(5)
            branch = _BRANCH.search(params)
            self.params_start = found.start(5)
            if branch is not None and b";r" not in params and b"R" not in params:
                self.branch: bytes | None = branch.group(1)
                self.received: bytes | None = None
                self.rport: bytes | None = None
                self._data = data
                self._own(found)
                return
        else:
            found = _VIA.match(data, start, end)
            if found is None:
                raise BadHeader("Via", "not SIP/2.0/transport host")
            self.params_start = found.end()
        self._data = data
        self._own(found)
        params_ = self.params
        self.branch = params_.get("branch")
        self.received = params_.get("received")
        self.rport = (params_["rport"] or b"") if "rport" in params_ else None

    def _own(self, found: re.Match[bytes]) -> None:
        self.version, transport, host, port = found.group(1, 2, 3, 4)
        self.transport = transport.upper()
        self.host = host.decode().lower()
        self.port = int(port) if port else None
        if self.port is not None and not 0 < self.port < 65536:
            raise BadHeader("Via", "bad port")
        self.sent_by = host.lower() + (b":" + port if port else b"")

    @property
    def params(self) -> dict[str, bytes | None]:
        """All parameters, by lower-case name."""
        if self._params is None:
            self._params = parse_params(self._data[self.params_start : self.end])
        return self._params


def parse_via(data: bytes, start: int, end: int) -> Via:
    """The Via value at these offsets. Raises BadHeader."""
    return Via(data, start, end)


class NameAddr:
    """A name-addr or addr-spec with its parameters: From, To, Contact, Route, the identity headers.

    `start` to `params_start` is the address itself (display name and URI), `uri_start` to `uri_end` the URI alone,
    `params_start` to `end` the parameters with their semicolon.
    """

    __slots__ = ("_data", "_params", "bracketed", "end", "params_start", "start", "uri", "uri_end", "uri_start")

    def __init__(self, data: bytes, start: int, end: int, name: str) -> None:
        self._data = data
        self._params: dict[str, bytes | None] | None = None
        self.start = start
        self.end = end
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
            if find_outside(data, b",;", i, less) < less:
                raise BadHeader(name, "the display name needs quotes")
            self.bracketed = True
            self.uri_start = less + 1
            self.uri_end = data.find(b">", less, end)
            if self.uri_end < 0:
                raise BadHeader(name, "a bracket is not closed")
            self.params_start = self.uri_end + 1
        else:
            self.bracketed = False
            self.uri_start = i
            semicolon = data.find(b";", i, end)
            self.uri_end = self.params_start = semicolon if semicolon >= 0 else end
            while self.uri_end > i and data[self.uri_end - 1] in WHITE:
                self.uri_end -= 1
        self.uri = data[self.uri_start : self.uri_end]
        if not self.uri or b" " in self.uri or b"\r" in self.uri or b"\t" in self.uri:
            raise BadHeader(name, "no URI" if not self.uri else "white space in the URI")

    @property
    def params(self) -> dict[str, bytes | None]:
        """The header's parameters, by lower-case name."""
        if self._params is None:
            self._params = parse_params(self._data[self.params_start : self.end])
        return self._params

    @property
    def tag(self) -> bytes | None:
        """The tag parameter; an empty one is none, so that nothing passes for a dialog by it."""
        if self.params_start >= self.end:
            return None
        if self._params is None:
            # The usual form needs no splitting.
            found = _TAG.fullmatch(self._data, self.params_start, self.end)
            if found is not None:
                return found.group(1)
        return self.params.get("tag") or None

    @property
    def display(self) -> bytes:
        """What stands before the address, as it stands, quotes included; b"" where nothing does."""
        return self._data[self.start : self.uri_start - 1].strip(WHITE) if self.bracketed else b""


def parse_name_addr(data: bytes, start: int, end: int, name: str) -> NameAddr:
    """The value at these offsets (white space around it already left out). Raises BadHeader."""
    return NameAddr(data, start, end, name)
