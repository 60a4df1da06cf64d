"""The few pieces of RFC 3261 section 25 that every header shares: tokens, quoted strings, splitting outside quotes."""

from __future__ import annotations

import re
from typing import Final

TOKEN: Final = re.compile(rb"[A-Za-z0-9\-.!%*_+`'~]+")  # RFC 3261 25.1 token
FOLD: Final = re.compile(rb"\r\n[ \t]+")
_QUOTE: Final = ord('"')
_STOPS: Final = {wanted: re.compile(rb'["<' + wanted + rb"]") for wanted in (b",", b";", b",;")}  # of `find_outside`
# What stands between semicolons outside quotes and brackets. It gives nothing back, so it reads no octet twice.
_PIECE: Final = re.compile(rb'(?:[^;"<]++|"(?:[^"\\]++|\\.)*+"|<[^>]*+>|["<].*+)*+', re.DOTALL)
# Octets, looked for as numbers: `b"," in data` asks first whether the bytes are a number, which takes twenty times as
# long as to find it.
TAB: Final = 9
LF: Final = 10
CR: Final = 13
SPACE: Final = 32
PERCENT: Final = 37
COMMA: Final = 44
SEMICOLON: Final = 59
LESS: Final = 60
QUESTION: Final = 63
WHITE: Final = b" \t\r\n"  # inside a folded line, CR LF belong to the white space


def closing_quote(data: bytes, at: int, end: int) -> int:
    """The offset of the quote that closes the one at `at`; -1 where there is none before `end`."""
    i = at + 1
    quote = at
    while True:
        if quote < i:  # looked for once, not again after each backslash before it
            quote = data.find(b'"', i, end)
            if quote < 0:
                return -1
        slash = data.find(b"\\", i, quote)
        if slash < 0:
            return quote
        i = slash + 2


def find_outside(data: bytes, wanted: bytes, at: int, end: int) -> int:
    """The offset of the first of the bytes `wanted` outside quotes and angle brackets; `end` where there is none.

    An unclosed quote or bracket runs to the end.
    """
    search = _STOPS[wanted].search
    while True:
        found = search(data, at, end)
        if found is None:
            return end
        at = found.start()
        c = data[at]
        if c == _QUOTE:
            close = closing_quote(data, at, end)
        elif c == LESS:
            close = data.find(b">", at, end)
        else:
            return at
        if close < 0:
            return end
        at = close + 1


def split_values(data: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """The offsets of the comma-separated values of one line, white space around them left out."""
    if data.find(b",", start, end) < 0:
        return [trim(data, start, end)]
    out = []
    while True:
        comma = find_outside(data, b",", start, end)
        out.append(trim(data, start, comma))
        if comma >= end:
            return out
        start = comma + 1


def trim(data: bytes, start: int, end: int) -> tuple[int, int]:
    """The same offsets without white space at either side."""
    while start < end and data[start] in WHITE:
        start += 1
    while end > start and data[end - 1] in WHITE:
        end -= 1
    return start, end


def parse_params(raw: bytes) -> dict[str, bytes | None]:
    """Parameters after the first semicolon: lower-case name to value (quotes taken off), None for one without a value.

    Empty parameters are passed over; the first of a repeated one counts.
    """
    out: dict[str, bytes | None] = {}
    pieces = raw.split(b";") if b'"' not in raw else _PIECE.findall(raw)
    for piece in pieces:
        if not piece:  # a row of semicolons
            continue
        name, equals, value = piece.partition(b"=")
        key = name.strip(WHITE).lower().decode("latin-1")
        if not key:
            continue
        if equals:
            value = value.strip(WHITE)
            if len(value) >= 2 and value[:1] == b'"' == value[-1:]:
                value = value[1:-1]
        out.setdefault(key, value if equals else None)
    return out


# What our own sentences hold beside ASCII, as a typewriter has it.
_TYPED: Final = str.maketrans({"…": "...", "’": "'", "‘": "'", "“": '"', "”": '"', "–": "-", "€": "EUR", "§": "s. "})


def quote_text(text: str) -> bytes:
    """A quoted-string that is safe in any header: printable ASCII, quotes and backslashes escaped, the rest as `?`."""
    safe = "".join(c if " " <= c <= "~" else "?" for c in text.translate(_TYPED))
    return b'"' + safe.replace("\\", "\\\\").replace('"', '\\"').encode() + b'"'
