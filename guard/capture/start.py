"""Knowing SIP by what it says: the start line (RFC 3261 7.1, 7.2), on whatever port it travels."""

from __future__ import annotations

import re
from typing import Final

MAX_START_LINE: Final = 8192  # bytes: a Request-URI may be long (RFC 4475 3.1.1.6), but a line has to end

_LINE: Final = (
    rb"(?:SIP/2\.0 [1-6][0-9][0-9](?: |\r?\n)"
    rb"|[A-Za-z0-9.!%*_+`'~-]{1,64} [^\r\n]{1,8000} SIP/[0-9]{1,3}\.[0-9]{1,3}[ \t]*\r?\n)"
)
_AT_START: Final = re.compile(rb"[\r\n]*" + _LINE)
_ANYWHERE: Final = re.compile(rb"(?:(?<=\n)|\A)" + _LINE)
_POSSIBLE: Final = bytes(
    1 if (chr(b).isalnum() and b < 128) or b in b"\r\n.!%*_+`'~-" else 0 for b in range(256)
)  # fmt: skip
_RESPONSE: Final = b"SIP/2.0 "
_USUAL_LINE: Final = 2048  # bytes of a start line that is looked at without the expression
_METHODS: Final = frozenset(
    b"INVITE ACK BYE CANCEL OPTIONS REGISTER PRACK UPDATE INFO MESSAGE SUBSCRIBE NOTIFY PUBLISH REFER".split()
)


def is_sip(data: bytes) -> bool:
    """Whether a datagram or a framed message begins as SIP does (empty lines may come before, RFC 3261 7.5)."""
    return data[:8] == _RESPONSE or _usual(data) or _by_expression(data)


def _usual(data: bytes) -> bool:
    """Whether it is a request as nearly all are: a method that an RFC names, a URI, the version, CR and LF. Whatever
    this knows, the expression knows too; it takes a third of its time."""
    end, space = data.find(b"\r", 0, _USUAL_LINE), data.find(b" ", 0, _USUAL_LINE)
    version = end - 8  # where it has to begin, with its space
    return (
        0 < space < version - 1
        and data[version : end + 2] == b" SIP/2.0\r\n"
        and data.find(b"\n", 0, end) < 0
        and data[:space] in _METHODS
    )


def _by_expression(data: bytes) -> bool:
    return (
        bool(data)
        and _POSSIBLE[data[0]] == 1
        and b" SIP/" in data[:MAX_START_LINE]
        and _AT_START.match(data) is not None
    )


def next_start(data: bytes, at: int = 0) -> int:
    """Where the next message may begin, at the beginning of a line from `at` on; -1 where none does."""
    if data.find(b"SIP/", at) < 0:
        return -1
    found = _ANYWHERE.search(data, at)
    return found.start() if found is not None else -1
